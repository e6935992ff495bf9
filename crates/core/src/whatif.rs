//! What if: a specification tried against heartbeats whose truth is known.
//!
//! A [`Trial`] drives the engine's own [`Heart`] over arrivals, crashes and recoveries, and measures the quality
//! of service of Chen, Toueg and Aguilera ("On the Quality of Service of Failure Detectors", IEEE ToC 51(5),
//! 2002) into [`Qos`]. Whom the heart can ask at suspicion is the caller's: a [`Path`] says what became of a
//! question sent at a given time. Nothing here draws chance, and memory does not grow with the trace.
//!
//! ```
//! # use std::time::Duration;
//! # use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Profile};
//! # use lifesign_core::time::Mono;
//! # use lifesign_core::whatif::{Path, Trial};
//! /// Nobody ever answers.
//! struct Void;
//! impl Path for Void {
//!     fn ask(&mut self, _: Mono, _: Duration) -> Option<Duration> { None }
//!     fn was_out(&mut self, _: Mono, _: Mono) -> bool { false }
//! }
//! let second = Mono::from_millis(1000).since(Mono::ZERO);
//! let spec = HeartbeatSpec {
//!     interval: 10 * second,
//!     timeout: 30 * second,
//!     detector: DetectorSpec::Adaptive(Profile::Default),
//!     confirm: true,
//!     ..HeartbeatSpec::never()
//! };
//! let mut trial = Trial::new(&spec, Mono::ZERO);
//! for n in 1..100 {
//!     trial.beat(Mono::from_millis(10_000 * n), Mono::from_millis(10_000 * n + 2), None, &mut Void);
//! }
//! trial.crash(Mono::from_millis(991_000), &mut Void);
//! let qos = trial.finish(Mono::from_millis(1_100_000), &mut Void);
//! assert_eq!((qos.noticed.count(), qos.missed, qos.mistakes()), (1, 0, 0));
//! ```

mod nearby;
mod qos;

use std::time::Duration;

pub use nearby::{AROUND, LossNearby, Sent};
pub use qos::{Qos, Spread};

use crate::detect::{Answer, Arrival, Heart};
use crate::spec::HeartbeatSpec;
use crate::time::Mono;
use crate::verdict::HeartEvidence;

/// The way on which a suspected sender can be asked, and what is known of it afterwards.
pub trait Path {
    /// A question goes to the sender's side at `at`. When its answer is back after at most `within`, how long
    /// that took; else `None`. While the sender is dead this is not called: nobody answers for the dead.
    fn ask(&mut self, at: Mono, within: Duration) -> Option<Duration>;

    /// Whether the network carried nothing for so long, at some time between `from` and `until`, that no
    /// detector could have known better: a mistake made then is not called avoidable.
    fn was_out(&mut self, from: Mono, until: Mono) -> bool;
}

/// One specification on trial.
#[derive(Debug, Clone)]
pub struct Trial {
    heart: Heart,
    qos: Qos,
    /// When the heart has something to do next; kept so that an arrival costs one comparison.
    next: Mono,
    /// Answers under way, at most one for each try of an inquiry.
    answers: Vec<(Mono, Answer)>,
    /// Sources that are asked in each try: one, or as many as a second opinion wants.
    sources: u32,
    /// Arrivals that are only learnt from.
    warm_up: u64,
    begin: Option<Mono>,
    last_sent: Mono,
    /// Since when it is given up.
    down: Option<Mono>,
    /// Since when it is given up wrongly.
    mistaken: Option<Mono>,
    dead: Option<Mono>,
}

impl Trial {
    /// Tries `spec` on a sender that is watched from `begin` on. Somebody can always be asked; without
    /// [`HeartbeatSpec::confirm`] nobody is.
    pub fn new(spec: &HeartbeatSpec, begin: Mono) -> Self {
        let mut heart = Heart::new(Some(spec), begin, Mono::NEVER);
        heart.set_askable(true);
        Self {
            heart,
            qos: Qos::new(spec.interval),
            next: Mono::NEVER,
            answers: Vec::new(),
            sources: spec.second_opinion.map_or(1, |opinion| opinion.of.max(1)),
            warm_up: 0,
            begin: None,
            last_sent: begin,
            down: None,
            mistaken: None,
            dead: None,
        }
    }

    /// Lets the first `beats` arrivals be learnt from and counts nothing until then.
    #[must_use]
    pub fn after_warm_up(mut self, beats: u64) -> Self {
        self.warm_up = beats;
        self
    }

    /// The heartbeat sent at `sent` arrives at `at`. Arrivals are given in the order in which they come; one
    /// that was overtaken (its `seq` is not greater than the last) says nothing.
    #[inline]
    pub fn beat(&mut self, sent: Mono, at: Mono, seq: Option<u64>, path: &mut impl Path) {
        if at >= self.next {
            self.pass(at, path);
        }
        let (before, beats) = (self.heart.last(), self.heart.beats());
        self.heart.beat(at, Arrival { at, seq, interval: None });
        if self.heart.last() == before && self.heart.beats() == beats {
            return;
        }
        self.last_sent = sent;
        self.answers.clear();
        self.next = self.heart.next_deadline();
        if self.down.is_some() {
            self.look(at, path);
        }
        if self.begin.is_some() {
            // It may still be given up: one heartbeat is not enough where `rise` asks for more.
            let given_up = self.heart.given_up();
            if given_up != Mono::NEVER {
                self.qos.worst_phase.add(given_up.since(sent));
            }
        } else if self.warm_up > 0 {
            self.warm_up -= 1;
        } else {
            self.begin = Some(at);
        }
    }

    /// The sender dies.
    pub fn crash(&mut self, at: Mono, path: &mut impl Path) {
        self.pass(at, path);
        if let Some(since) = self.mistaken.take() {
            self.qos.mistaken += at.since(since);
        }
        self.dead.get_or_insert(at);
    }

    /// The sender lives again.
    pub fn recover(&mut self, at: Mono, path: &mut impl Path) {
        self.pass(at, path);
        self.end_crash(at);
    }

    /// The trace ends. A sender that is dead by then is followed until it is given up.
    pub fn finish(mut self, end: Mono, path: &mut impl Path) -> Qos {
        self.pass(end, path);
        if self.dead.is_some() {
            self.pass(Mono::NEVER, path);
            self.end_crash(end);
        }
        if let Some(since) = self.mistaken.take() {
            self.qos.mistaken += end.since(since);
        }
        self.qos.observed = self.begin.map_or(Duration::ZERO, |begin| end.since(begin));
        self.qos
    }

    fn end_crash(&mut self, now: Mono) {
        let Some(dead) = self.dead.take() else { return };
        self.qos.dead += now.since(dead);
        match self.down {
            Some(since) => self.qos.noticed.add(since.since(dead)),
            None => self.qos.missed += 1,
        }
    }

    /// Lets time pass until `until`: answers come in, the heart does what is due.
    #[cold]
    fn pass(&mut self, until: Mono, path: &mut impl Path) {
        loop {
            let answer = self.answers.iter().map(|(at, _)| *at).min().unwrap_or(Mono::NEVER);
            let next = self.heart.next_deadline().min(answer);
            if next > until || next == Mono::NEVER {
                break;
            }
            while let Some(place) = self.answers.iter().position(|(at, _)| *at <= next) {
                let (_, answer) = self.answers.swap_remove(place);
                for source in 0..self.sources {
                    self.heart.answer(next, source, answer);
                }
            }
            if self.heart.advance(next).ask {
                self.ask(next, path);
            }
            if self.heart.inquiry().is_none() {
                self.answers.clear();
            }
            self.look(next, path);
        }
        let answer = self.answers.iter().map(|(at, _)| *at).min().unwrap_or(Mono::NEVER);
        self.next = self.heart.next_deadline().min(answer);
    }

    /// One try. An answer counts until the inquiry ends, also after the next try has been made.
    fn ask(&mut self, now: Mono, path: &mut impl Path) {
        let Some(inquiry) = self.heart.inquiry() else { return };
        let within = inquiry.end().since(now);
        let in_vain = (now + inquiry.gap(), Answer::Against);
        if self.begin.is_some() {
            self.qos.questions += u64::from(self.sources);
        }
        let answer = if self.dead.is_some() { None } else { path.ask(now, within) };
        self.answers.push(match answer {
            Some(took) if took <= within => (now + took, Answer::Beats),
            _ => in_vain,
        });
    }

    /// Compares what the heart says with the truth.
    fn look(&mut self, now: Mono, path: &mut impl Path) {
        let silent = self.heart.evidence() == HeartEvidence::Silent;
        if silent && self.down.is_none() {
            self.down = Some(now);
            if self.dead.is_none() && self.begin.is_some() {
                self.mistaken = Some(now);
                let outage = path.was_out(self.last_sent, now);
                *(if outage { &mut self.qos.in_outages } else { &mut self.qos.avoidable }) += 1;
            }
        } else if !silent && self.down.is_some() {
            self.down = None;
            if let Some(since) = self.mistaken.take() {
                self.qos.mistaken += now.since(since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::{DetectorSpec, Profile};

    const SECOND: Duration = Duration::from_secs(1);

    /// Answers every question after the same time, or never.
    struct Steady(Option<Duration>);

    impl Path for Steady {
        fn ask(&mut self, _: Mono, within: Duration) -> Option<Duration> {
            self.0.filter(|took| *took <= within)
        }

        fn was_out(&mut self, _: Mono, until: Mono) -> bool {
            until >= at(1000)
        }
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    fn fixed() -> HeartbeatSpec {
        HeartbeatSpec { interval: 10 * SECOND, timeout: 30 * SECOND, ..HeartbeatSpec::never() }
    }

    fn adaptive() -> HeartbeatSpec {
        HeartbeatSpec { detector: DetectorSpec::Adaptive(Profile::Default), confirm: true, ..fixed() }
    }

    /// Beats every 10 s from 10 s on, but for those sent within `gap`; ends at `end`.
    fn play(spec: &HeartbeatSpec, gap: std::ops::Range<u64>, end: u64, mut path: Steady) -> Qos {
        let mut trial = Trial::new(spec, Mono::ZERO);
        for n in (10..end).step_by(10).filter(|n| !gap.contains(n)) {
            trial.beat(at(n), at(n) + SECOND, None, &mut path);
        }
        trial.finish(at(end), &mut path)
    }

    #[test]
    fn a_fixed_timeout_is_wrong_about_three_lost_beats_for_as_long_as_they_are_missing() {
        let qos = play(&fixed(), 510..550, 900, Steady(None));
        assert_eq!((qos.avoidable, qos.in_outages), (1, 0));
        // Last arrival at 501 s, given up at 531 s, heard again at 551 s.
        assert_eq!(qos.mistaken, 20 * SECOND);
        assert_eq!(qos.questions, 0);
        let accuracy = qos.query_accuracy().unwrap();
        assert!((accuracy - (1.0 - 20.0 / 889.0)).abs() < 1e-9, "{accuracy}");
        assert_eq!(qos.worst_phase.mean(), Some(31 * SECOND));
        assert_eq!(qos.worst_phase.quantile(0.99), Some(31 * SECOND));
        assert_eq!(qos.worst_phase.max(), Some(31 * SECOND));
    }

    #[test]
    fn a_mistake_in_an_outage_is_told_apart() {
        let qos = play(&fixed(), 1000..1050, 1200, Steady(None));
        assert_eq!((qos.avoidable, qos.in_outages), (0, 1));
    }

    #[test]
    fn an_answer_prevents_the_mistake_and_its_questions_are_counted() {
        let qos = play(&adaptive(), 510..550, 900, Steady(Some(SECOND / 2)));
        assert_eq!(qos.mistakes(), 0);
        assert!((3..=8).contains(&qos.questions), "{}", qos.questions);
    }

    #[test]
    fn a_crash_is_noticed_when_every_question_was_in_vain_and_a_dead_sender_answers_none() {
        let mut path = Steady(Some(SECOND));
        let mut trial = Trial::new(&adaptive(), Mono::ZERO);
        for n in (10..500).step_by(10) {
            trial.beat(at(n), at(n), None, &mut path);
        }
        let expected = trial.heart.given_up();
        trial.crash(at(493), &mut path);
        trial.recover(at(600), &mut path);
        trial.beat(at(600), at(600), None, &mut path);
        let qos = trial.finish(at(700), &mut path);
        assert_eq!((qos.noticed.count(), qos.missed), (1, 0));
        assert_eq!(qos.noticed.max(), Some(expected.since(at(493))));
        assert_eq!(qos.dead, 107 * SECOND);
    }

    #[test]
    fn a_mistake_ends_when_what_it_said_becomes_true() {
        let mut path = Steady(None);
        let mut trial = Trial::new(&fixed(), Mono::ZERO);
        for n in (10..=500).step_by(10) {
            trial.beat(at(n), at(n), None, &mut path);
        }
        // Given up at 530 s while it lives, dead from 540 s on.
        trial.crash(at(540), &mut path);
        let qos = trial.finish(at(600), &mut path);
        assert_eq!((qos.mistakes(), qos.mistaken), (1, 10 * SECOND));
        assert_eq!((qos.noticed.count(), qos.noticed.max()), (1, Some(Duration::ZERO)));
        assert_eq!(qos.dead, 60 * SECOND);
    }

    #[test]
    fn what_was_overtaken_says_nothing_and_what_is_learnt_from_is_not_counted() {
        let mut path = Steady(None);
        let mut trial = Trial::new(&adaptive(), Mono::ZERO).after_warm_up(3);
        for n in [1, 2] {
            trial.beat(at(n * 10), at(n * 10), Some(n), &mut path);
        }
        // Silent for eighty seconds: asked in vain and given up, and nothing of that counts yet.
        trial.beat(at(100), at(100), Some(10), &mut path);
        assert_eq!((trial.qos.mistakes(), trial.qos.questions, trial.qos.worst_phase.count()), (0, 0, 0));
        trial.beat(at(110), at(110), Some(11), &mut path);
        trial.beat(at(110), at(110), Some(12), &mut path);
        trial.recover(at(111), &mut path);
        trial.beat(at(90), at(115), Some(9), &mut path);
        let qos = trial.finish(at(200), &mut path);
        assert_eq!(qos.observed, 90 * SECOND, "since the fourth");
        assert_eq!(qos.mistakes(), 1, "the one that was overtaken has put nothing off");
        assert!(qos.questions > 0);
    }

    #[test]
    fn an_answer_that_comes_after_the_inquiry_is_none() {
        /// Answers when nobody waits for it any more.
        struct Tardy;
        impl Path for Tardy {
            fn ask(&mut self, _: Mono, within: Duration) -> Option<Duration> {
                Some(within + SECOND)
            }
            fn was_out(&mut self, _: Mono, _: Mono) -> bool {
                false
            }
        }
        let mut trial = Trial::new(&adaptive(), Mono::ZERO);
        for n in (10..500).step_by(10) {
            trial.beat(at(n), at(n), None, &mut Tardy);
        }
        assert_eq!(trial.finish(at(600), &mut Tardy).avoidable, 1);
    }

    #[test]
    fn where_one_heartbeat_is_not_enough_the_mistake_lasts_until_the_second() {
        let spec = HeartbeatSpec { rise: 2, ..fixed() };
        let qos = play(&spec, 510..550, 900, Steady(None));
        assert_eq!((qos.avoidable, qos.mistaken), (1, 30 * SECOND));
    }

    #[test]
    fn who_was_never_heard_was_never_watched() {
        let qos = Trial::new(&fixed(), Mono::ZERO).finish(at(1000), &mut Steady(None));
        assert_eq!((qos.observed, qos.mistakes(), qos.query_accuracy()), (Duration::ZERO, 0, None));
    }

    /// What a fixed timeout makes of a trace, from all of it at once. Times in milliseconds.
    fn naive(arrivals: &[u64], crashes: &[(u64, u64)], patience: u64, end: u64) -> [u64; 6] {
        let [mut avoidable, mut in_outages, mut mistaken, mut dead, mut noticed, mut missed] = [0; 6];
        // From when until when it is given up; a sender that is dead at the end is followed further.
        let gaps: Vec<(u64, u64)> = arrivals
            .iter()
            .enumerate()
            .map(|(n, at)| (at + patience, arrivals.get(n + 1).copied().unwrap_or(u64::MAX)))
            .filter(|(from, until)| from <= until)
            .collect();
        let is_dead = |at: u64| crashes.iter().any(|(from, until)| (*from..*until).contains(&at));
        for (from, until) in gaps.iter().filter(|(from, _)| *from <= end && !is_dead(*from)) {
            *(if *from >= 1_000_000 { &mut in_outages } else { &mut avoidable }) += 1;
            let crash = crashes.iter().map(|crash| crash.0).find(|crash| crash > from).unwrap_or(end);
            mistaken += (*until).min(crash).min(end) - from;
        }
        for (crash, recovery) in crashes {
            dead += (*recovery).min(end) - crash;
            let last = if *recovery > end { u64::MAX } else { *recovery };
            match gaps.iter().find(|(from, until)| *from <= last && last <= *until) {
                Some((from, _)) => noticed += 1 + from.saturating_sub(*crash),
                None => missed += 1,
            }
        }
        [avoidable, in_outages, mistaken, dead, noticed, missed]
    }

    proptest! {
        #[test]
        fn a_trial_counts_what_the_whole_trace_at_once_tells(
            delays in prop::collection::vec(prop::option::weighted(0.8, 0_u64..3000), 1..200),
            crashes in prop::collection::vec((1_u64..400, 1_u64..200), 0..5), lasts in any::<bool>(),
        ) {
            let spec = HeartbeatSpec { timeout: 25 * SECOND, retries: 1, ..fixed() };
            // Crashes and recoveries never fall into the millisecond of an arrival.
            let mut dead: Vec<(u64, u64)> = Vec::new();
            let mut from = 10_000;
            for (after, long) in crashes {
                dead.push((from + after * 1000 + 1, from + (after + long) * 1000 + 3));
                from += (after + long + 10) * 1000;
            }
            let sent = |n: usize| 10_000 * (n as u64 + 1);
            let end = sent(delays.len()) + 60_007;
            dead.retain(|(_, recovery)| *recovery < end);
            if let Some(last) = dead.last_mut().filter(|_| lasts) {
                last.1 = u64::MAX;
            }
            let beats: Vec<(u64, u64)> = delays
                .iter()
                .enumerate()
                .filter_map(|(n, delay)| delay.map(|delay| (sent(n), sent(n) + delay / 10 * 10)))
                .filter(|(sent, _)| !dead.iter().any(|(from, until)| (from..until).contains(&sent)))
                .collect();
            prop_assume!(!beats.is_empty() && dead.first().is_none_or(|first| first.0 > beats[0].1));

            let mut path = Steady(None);
            let mut trial = Trial::new(&spec, Mono::ZERO);
            let mut events: Vec<(u64, u8, u64)> = beats.iter().map(|(sent, at)| (*at, 0, *sent)).collect();
            events.extend(dead.iter().flat_map(|(from, until)| [(*from, 1, 0), (*until, 2, 0)]));
            events.sort_unstable();
            for (at, what, sent) in events.into_iter().filter(|event| event.0 < end) {
                let (at, sent) = (Mono::from_millis(at), Mono::from_millis(sent));
                match what {
                    0 => trial.beat(sent, at, None, &mut path),
                    1 => trial.crash(at, &mut path),
                    _ => trial.recover(at, &mut path),
                }
            }
            let qos = trial.finish(Mono::from_millis(end), &mut path);
            let arrivals: Vec<u64> = beats.iter().map(|(_, at)| *at).collect();
            let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap();
            let noticed = qos.noticed.mean().map_or(0, |mean| millis(mean * u32::try_from(qos.noticed.count()).unwrap()));
            let is = [qos.avoidable, qos.in_outages, millis(qos.mistaken), millis(qos.dead)];
            let [avoidable, in_outages, mistaken, death, all_noticed, missed] = naive(&arrivals, &dead, 35_000, end);
            prop_assert_eq!(is, [avoidable, in_outages, mistaken, death], "{:?} {:?}", arrivals, dead);
            prop_assert_eq!(qos.missed, missed);
            // Each that is noticed counts one beside its time; the mean is cut to whole nanoseconds.
            prop_assert!(all_noticed.abs_diff(noticed + qos.noticed.count()) <= 1);
            prop_assert_eq!(millis(qos.observed), end - arrivals[0]);
        }
    }

    #[test]
    fn a_crash_that_is_over_before_it_is_noticed_is_missed() {
        let mut path = Steady(None);
        let mut trial = Trial::new(&fixed(), Mono::ZERO);
        trial.beat(at(10), at(10), None, &mut path);
        trial.crash(at(11), &mut path);
        trial.recover(at(20), &mut path);
        trial.beat(at(20), at(20), None, &mut path);
        let qos = trial.finish(at(40), &mut path);
        assert_eq!((qos.noticed.count(), qos.missed), (0, 1));
    }
}
