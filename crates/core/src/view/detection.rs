//! How soon the death of a service is noticed, for those who choose its interval and timeout.
//!
//! Nothing is calculated twice: a heart after the service's specification beats once and falls silent, and
//! what it says then is the answer. So the numbers hold for a sender that is punctual; what a detector learns
//! of an unpunctual one moves the first two, never the last.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{About, Fact};
use crate::detect::{Arrival, Heart};
use crate::engine::words;
use crate::spec::HeartbeatSpec;
use crate::time::Mono;

/// Times from the last heartbeat on, at the configured interval (in back-off mode the longest).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// When a silent service is suspect.
    pub suspect_after: Duration,
    /// When it is given up if nothing of it answers.
    pub down_after: Duration,
    /// When it is given up if nobody can be asked, or nobody answers for sure. Never later.
    pub at_most: Duration,
    /// When it is called hung though its application answers checks.
    pub hung_after: Duration,
}

impl Detection {
    /// What `spec` leads to. `can_ask`: the service has checks beside its heartbeat.
    pub fn of(spec: &HeartbeatSpec, can_ask: bool) -> Self {
        let last = Mono::from_millis(1);
        let mut heart = Heart::new(Some(spec), last, Mono::NEVER);
        heart.set_askable(can_ask);
        heart.beat(last, Arrival::at(last));
        let (late, given_up) = heart.limits();
        heart.advance(late);
        let asked = heart.inquiry().map_or(given_up, |inquiry| inquiry.end().min(given_up));
        let asks = can_ask && spec.confirm;
        let at_most = given_up.since(last);
        Self {
            suspect_after: late.since(last),
            down_after: asked.since(last),
            at_most,
            hung_after: if asks { spec.longest_silence() } else { at_most },
        }
    }
}

impl Detection {
    /// The codes of [`Detection::facts`], for the translations' test. Variables in the comments.
    pub const CODES: &'static [&'static str] = &[
        "detection",      // in, at_most
        "detection-last", // at_most
        "detection-hung", // in
    ];

    /// The same in sentences.
    pub fn facts(&self) -> Vec<Fact> {
        let (soon, last, hung) = (rounded(self.down_after), rounded(self.at_most), rounded(self.hung_after));
        let mut facts = Vec::new();
        if soon == last {
            let text = format!("A crash is noticed after {last} at the latest.");
            facts.push(fact("detection-last", &[("at_most", last)], text));
        } else {
            let text = format!("A crash is noticed within about {soon}, at the latest after {last}.");
            facts.push(fact("detection", &[("in", soon), ("at_most", last)], text));
        }
        if self.hung_after > self.at_most {
            let text = format!("If it answers checks while its heart is silent, that is hung after {hung}.");
            facts.push(fact("detection-hung", &[("in", hung)], text));
        }
        facts
    }
}

/// In words; from ten seconds on in whole ones, rounded up: nobody is to be promised too much.
fn rounded(span: Duration) -> String {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    words(if span.as_secs() >= 10 { Duration::from_secs(whole) } else { span })
}

fn fact(code: &'static str, args: &[(&str, String)], text: String) -> Fact {
    debug_assert!(Detection::CODES.contains(&code), "{code} is not in CODES");
    let args = args.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    Fact { about: About::Deadline, code: code.into(), args, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{DetectorSpec, Profile};

    const SECOND: Duration = Duration::from_secs(1);

    fn spec(detector: DetectorSpec) -> HeartbeatSpec {
        HeartbeatSpec {
            interval: 10 * SECOND,
            timeout: 30 * SECOND,
            retries: 2,
            detector,
            confirm: true,
            ..HeartbeatSpec::never()
        }
    }

    fn millis(detection: Detection) -> [u128; 4] {
        let Detection { suspect_after, down_after, at_most, hung_after } = detection;
        [suspect_after, down_after, at_most, hung_after].map(|span| span.as_millis())
    }

    #[test]
    fn a_learned_detector_asks_after_one_interval_and_judges_before_its_cap() {
        let default = spec(DetectorSpec::Adaptive(Profile::Default));
        assert_eq!(millis(Detection::of(&default, true)), [10_200, 21_000, 30_000, 50_000]);
        let strict = spec(DetectorSpec::Adaptive(Profile::Strict));
        assert_eq!(millis(Detection::of(&strict, true)), [10_200, 28_500, 30_000, 50_000]);
        let chen = spec(DetectorSpec::Chen { margin: 3 * SECOND, window: 100 });
        assert_eq!(millis(Detection::of(&chen, true)), [13_000, 21_000, 30_000, 50_000]);
    }

    #[test]
    fn with_nobody_to_ask_it_waits_for_its_cap() {
        let alone = spec(DetectorSpec::Adaptive(Profile::Default));
        assert_eq!(millis(Detection::of(&alone, false)), [10_200, 30_000, 30_000, 30_000]);
        let silent = HeartbeatSpec { confirm: false, ..alone };
        assert_eq!(millis(Detection::of(&silent, true)), [10_200, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn a_written_timeout_is_kept_to_the_letter() {
        let written = HeartbeatSpec { confirm: false, ..spec(DetectorSpec::Fixed) };
        assert_eq!(millis(Detection::of(&written, true)), [30_000, 50_000, 50_000, 50_000]);
    }

    #[test]
    fn the_times_are_told_in_sentences() {
        let texts = |detector, confirm, can_ask| {
            let facts = Detection::of(&HeartbeatSpec { confirm, ..spec(detector) }, can_ask).facts();
            facts.into_iter().map(|fact| fact.text).collect::<Vec<_>>()
        };
        assert_eq!(
            texts(DetectorSpec::Adaptive(Profile::Default), true, true),
            [
                "A crash is noticed within about 21 s, at the latest after 30 s.",
                "If it answers checks while its heart is silent, that is hung after 50 s.",
            ]
        );
        assert_eq!(texts(DetectorSpec::Fixed, false, true), ["A crash is noticed after 50 s at the latest."]);
        let quick = HeartbeatSpec {
            interval: SECOND,
            timeout: 5 * SECOND / 2,
            retries: 0,
            ..spec(DetectorSpec::Fixed)
        };
        let facts = Detection::of(&quick, false).facts();
        assert_eq!(facts[0].text, "A crash is noticed after 2.5 s at the latest.");
    }

    #[test]
    fn the_times_are_in_order_for_every_detector() {
        for detector in [
            DetectorSpec::Fixed,
            DetectorSpec::Chen { margin: 500 * SECOND, window: 1 },
            DetectorSpec::Accrual { threshold: 16.0, window: 1000 },
            DetectorSpec::Adaptive(Profile::Fast),
        ] {
            for can_ask in [false, true] {
                let times = millis(Detection::of(&spec(detector), can_ask));
                assert!(times.is_sorted(), "{detector:?}: {times:?}");
            }
        }
    }
}
