//! What holds for a heart whatever happens to it.

use std::time::Duration;

use proptest::prelude::*;

use super::{Answer, Arrival, Heart};
use crate::spec::{Confirm, DetectorSpec, HeartbeatSpec, Mode, Profile};
use crate::time::Mono;
use crate::verdict::HeartEvidence;

/// Something that happens, so many milliseconds after the last.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// A heartbeat; it may have waited, be counted, and say when the next is due.
    Beat { after: u64, age: u64, counted: Option<u64>, next: Option<u64> },
    /// Time passes.
    Nothing { after: u64 },
    /// A source answers.
    Answer { after: u64, source: u32, answer: Answer },
}

fn specs() -> impl Strategy<Value = HeartbeatSpec> {
    let detectors = prop_oneof![
        Just(DetectorSpec::Fixed),
        (1..60_000_u64).prop_map(|ms| DetectorSpec::Chen { margin: Duration::from_millis(ms), window: 8 }),
        (0.1..40.0).prop_map(|threshold| DetectorSpec::Accrual { threshold, window: 8 }),
        Just(DetectorSpec::Adaptive(Profile::Fast)),
        Just(DetectorSpec::Adaptive(Profile::Default)),
        Just(DetectorSpec::Adaptive(Profile::Strict)),
    ];
    let opinions = prop_oneof![Just(None), Just(Some(Confirm { need: 2, of: 3 }))];
    let numbers = (1..100_000_u64, 1.0..5.0, 0..4_u32, 1..4_u32);
    (detectors, numbers, any::<bool>(), any::<bool>(), opinions).prop_map(
        |(detector, (interval, limit, retries, rise), confirm, backoff, second_opinion)| HeartbeatSpec {
            interval: Duration::from_millis(interval),
            timeout: Duration::from_millis(interval).mul_f64(limit),
            mode: if backoff { Mode::Backoff } else { Mode::Fixed },
            retries,
            rise,
            detector,
            confirm,
            second_opinion,
            ..HeartbeatSpec::never()
        },
    )
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let after = || prop_oneof![0..1_000_u64, 0..500_000_u64];
    let beat = (after(), prop_oneof![Just(0), 0..400_000_u64], any::<Option<u8>>(), any::<Option<u16>>())
        .prop_map(|(after, age, counted, next)| Happening::Beat {
            after,
            age,
            counted: counted.map(u64::from),
            next: next.map(u64::from),
        });
    let answers =
        prop_oneof![Just(Answer::Against), Just(Answer::Runs), Just(Answer::Works), Just(Answer::Beats)];
    let answer = (after(), 0..4_u32, answers).prop_map(|(after, source, answer)| Happening::Answer {
        after,
        source,
        answer,
    });
    let nothing = after().prop_map(|after| Happening::Nothing { after });
    proptest::collection::vec(prop_oneof![3 => beat, 1 => nothing, 1 => answer], 0..60)
}

/// A heart after all that, and the time by then.
fn lived(spec: &HeartbeatSpec, happenings: &[Happening]) -> (Heart, Mono) {
    let mut now = Mono::from_millis(1_000_000);
    let mut heart = Heart::new(Some(spec), now, Mono::NEVER);
    heart.set_askable(true);
    for happening in happenings {
        let (Happening::Beat { after, .. } | Happening::Nothing { after } | Happening::Answer { after, .. }) =
            *happening;
        now = now + Duration::from_millis(after);
        match *happening {
            Happening::Beat { age, counted, next, .. } => {
                let at = now.back(Duration::from_millis(age));
                heart.beat(now, Arrival { at, seq: counted, interval: next.map(Duration::from_millis) });
            }
            Happening::Nothing { .. } => {}
            Happening::Answer { source, answer, .. } => {
                heart.answer(now, source, answer);
            }
        }
        heart.advance(now);
        assert!(heart.next_deadline() > now, "what is due at {now:?} stays due: {heart:?}");
    }
    (heart, now)
}

/// Lets everybody who is asked speak against it until it is given up, and tells when that is.
fn die(mut heart: Heart, mut now: Mono) -> Mono {
    let mut before = Mono::ZERO;
    while heart.evidence() != HeartEvidence::Silent {
        let next = heart.next_deadline();
        assert!(next > now && next >= before, "deadlines of a silent heart only grow");
        assert_ne!(next, Mono::NEVER, "nobody would ever look again: {heart:?}");
        (before, now) = (next, next);
        if heart.advance(now).ask {
            (0..3).for_each(|source| {
                heart.answer(now, source, Answer::Against);
            });
        }
    }
    now
}

fn expects(heart: &Heart) -> bool {
    matches!(heart.evidence(), HeartEvidence::Beating | HeartEvidence::Late)
}

proptest! {
    #[test]
    fn silence_is_noticed_when_it_was_foretold_and_never_after_the_cap(
        spec in specs(),
        happenings in happenings(),
    ) {
        let (heart, now) = lived(&spec, &happenings);
        prop_assume!(expects(&heart));
        let (_, cap) = heart.limits();
        prop_assert!(cap <= now.max(heart.alive()) + spec.longest_silence());
        let fresh = heart.inquiry().is_none();
        let foretold = heart.given_up();
        let given_up = die(heart, now);
        prop_assert!(given_up <= cap);
        // One that had answers before is foretold as if they had spoken against it.
        if fresh {
            prop_assert_eq!(given_up, foretold);
        }
    }

    #[test]
    fn a_heartbeat_never_brings_the_cap_nearer(spec in specs(), happenings in happenings(), after in 0..50_000_u64) {
        let spec = HeartbeatSpec { mode: Mode::Fixed, detector: DetectorSpec::Adaptive(Profile::Default), ..spec };
        let (mut heart, now) = lived(&spec, &happenings);
        prop_assume!(expects(&heart) && heart.alive() == heart.last());
        let (_, cap) = heart.limits();
        let now = now + Duration::from_millis(after);
        heart.beat(now, Arrival::at(now));
        prop_assert!(heart.limits().1 >= cap);
    }

    #[test]
    fn late_news_never_revives(spec in specs(), happenings in happenings(), age in 0..1_000_000_u64) {
        let (mut heart, now) = lived(&spec, &happenings);
        prop_assume!(heart.evidence() == HeartEvidence::Silent);
        let age = spec.longest_silence() + Duration::from_millis(age);
        for _ in 0..5 {
            prop_assert!(!heart.beat(now, Arrival::at(now.back(age))));
            heart.advance(now);
            prop_assert_eq!(heart.evidence(), HeartEvidence::Silent);
        }
    }

    #[test]
    fn what_was_overtaken_changes_nothing(spec in specs(), happenings in happenings(), back in 0..10_u64) {
        let (mut heart, now) = lived(&spec, &happenings);
        let now = now + Duration::from_millis(1);
        heart.beat(now, Arrival { at: now, seq: Some(1000), interval: None });
        heart.advance(now);
        let before = format!("{heart:?}");
        let old = Arrival { at: now, seq: Some(1000 - back), interval: Some(Duration::from_millis(1)) };
        prop_assert!(!heart.beat(now, old));
        prop_assert_eq!(format!("{heart:?}"), before);
    }

    #[test]
    fn no_time_is_too_short_or_too_long(
        interval in any::<u64>(),
        timeout in any::<u64>(),
        beats in proptest::collection::vec((any::<u64>(), any::<Option<u64>>(), any::<Option<u64>>()), 0..20),
        detector in specs().prop_map(|spec| spec.detector),
    ) {
        let span = |nanos: u64| Duration::from_nanos(nanos.max(1));
        let spec = HeartbeatSpec {
            interval: span(interval),
            timeout: span(timeout),
            detector,
            confirm: true,
            mode: Mode::Backoff,
            ..HeartbeatSpec::never()
        };
        let mut heart = Heart::new(Some(&spec), Mono::ZERO, Mono::NEVER);
        heart.set_askable(true);
        let mut now = Mono::ZERO;
        for (at, seq, next) in beats {
            now = now.max(Mono::from_nanos(at));
            heart.beat(now, Arrival { at: Mono::from_nanos(at), seq, interval: next.map(span) });
            heart.advance(now);
            heart.answer(now, 0, Answer::Works);
            heart.given_up();
            heart.advance(heart.next_deadline());
        }
    }
}
