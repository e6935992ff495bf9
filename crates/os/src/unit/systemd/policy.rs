//! `Restart=` and the start limit in the words of both systems.

use std::time::Duration;

use super::properties::Recovery;
use crate::unit::policy::{Answer, Covers, Policy};

/// The policy of a service. A unit of another type has none, which reads as `Restart=no`.
pub(crate) fn policy(recovery: &Recovery) -> Policy {
    let covers = match recovery.restart.as_str() {
        // What does its work and ends with success has nothing to be restarted for.
        "always" => Covers::ALL,
        "on-success" => Covers { success: true, ..Covers::NOTHING },
        "on-failure" => Covers { success: recovery.is_oneshot, ..Covers::ALL },
        "on-abnormal" => Covers { crash: true, watchdog: true, ..Covers::NOTHING },
        "on-abort" => Covers { crash: true, ..Covers::NOTHING },
        "on-watchdog" => Covers { watchdog: true, ..Covers::NOTHING },
        _ => Covers::NOTHING,
    };
    let pause = Duration::from_micros(recovery.pause);
    let answers = if covers == Covers::NOTHING { Vec::new() } else { vec![Answer::Restart(pause)] };
    let has_limit = recovery.burst > 0 && recovery.interval > 0;
    let window = Duration::from_micros(recovery.interval);
    let restart = if recovery.restart.is_empty() { "no" } else { &recovery.restart };
    let words = match (answers.is_empty(), has_limit) {
        (true, _) => format!("Restart={restart}"),
        (false, true) => format!(
            "Restart={restart} RestartSec={pause:?} StartLimitBurst={} StartLimitIntervalSec={window:?}",
            recovery.burst
        ),
        (false, false) => format!("Restart={restart} RestartSec={pause:?} StartLimitIntervalSec=0"),
    };
    Policy { covers, answers, reset: None, limit: has_limit.then_some((recovery.burst, window)), words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::policy::{Hole, holes};

    fn recovery(restart: &str, pause: u64) -> Recovery {
        let restart = restart.to_owned();
        Recovery { restart, pause, burst: 5, interval: 10_000_000, is_oneshot: false }
    }

    #[test]
    fn each_restart_setting_has_its_holes() {
        let found = |restart| holes(&policy(&recovery(restart, 100_000)));
        assert_eq!(found("no"), [Hole::Unprotected]);
        assert_eq!(found(""), [Hole::Unprotected]);
        assert_eq!(found("always"), []);
        assert_eq!(found("on-failure"), [Hole::Success]);
        assert_eq!(found("on-abnormal"), [Hole::Error, Hole::Success]);
        assert_eq!(found("on-watchdog"), [Hole::Crash, Hole::Error, Hole::Success]);
        let slow = policy(&recovery("always", 5_000_000));
        assert_eq!(holes(&slow), [Hole::Endless(Duration::from_secs(5))]);
        assert_eq!(slow.words, "Restart=always RestartSec=5s StartLimitBurst=5 StartLimitIntervalSec=10s");
        let unlimited = policy(&Recovery { interval: 0, ..recovery("always", 100_000) });
        assert_eq!(holes(&unlimited), [Hole::Endless(Duration::from_millis(100))]);
        let job = policy(&Recovery { is_oneshot: true, ..recovery("on-failure", 100_000) });
        assert_eq!(holes(&job), []);
    }
}
