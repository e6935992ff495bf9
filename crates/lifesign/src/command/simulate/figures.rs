//! The figures of one service, in JSON word for word.

use std::time::Duration;

use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Profile};
use lifesign_core::whatif::{Qos, Spread};
use serde::Serialize;

use super::play::Player;

const DAY: f64 = 86_400.0;

/// One service as it is told, in JSON word for word.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) id: String,
    pub(super) detector: &'static str,
    pub(super) profile: Option<&'static str>,
    pub(super) confirm: bool,
    pub(super) interval_s: f64,
    pub(super) beats: u64,
    pub(super) lost: u64,
    pub(super) ignored: u64,
    pub(super) days: f64,
    pub(super) detection: Detection,
    pub(super) worst_phase: Times,
    pub(super) mistakes: Mistakes,
    pub(super) query_accuracy: Option<f64>,
    pub(super) questions_per_day: Option<f64>,
    /// Only where they are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) alternatives: Vec<Alternative>,
}

/// The same service with another `heartbeat`.
#[derive(Debug, Serialize)]
pub(super) struct Alternative {
    /// As it is written in a configuration.
    pub(super) heartbeat: String,
    pub(super) worst_phase: Times,
    pub(super) mistakes: Mistakes,
    pub(super) query_accuracy: Option<f64>,
    pub(super) questions_per_day: Option<f64>,
}

/// From a crash to `down`.
#[derive(Debug, Serialize)]
pub(super) struct Detection {
    /// Crashes in the trace.
    pub(super) crashes: u64,
    /// Those that were over, or out of the trace, before they were noticed.
    pub(super) missed: u64,
    #[serde(flatten)]
    pub(super) times: Times,
}

/// Seconds; `None` where there was nothing to measure.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Times {
    pub(super) mean_s: Option<f64>,
    pub(super) p99_s: Option<f64>,
    pub(super) max_s: Option<f64>,
}

/// `down` while the service was alive.
#[derive(Debug, Serialize)]
pub(super) struct Mistakes {
    pub(super) count: u64,
    pub(super) per_day: Option<f64>,
    pub(super) during_outage_per_day: Option<f64>,
    pub(super) avoidable_per_day: Option<f64>,
    pub(super) mean_duration_s: Option<f64>,
}

impl Figures {
    /// What `qos` of the service in `player` with `spec` amounts to.
    pub(super) fn of(player: &Player, spec: &HeartbeatSpec, qos: &Qos) -> Self {
        let (detector, profile) = detector_of(spec);
        Self {
            id: player.id().to_string(),
            detector,
            profile,
            confirm: spec.confirm,
            interval_s: spec.interval.as_secs_f64(),
            beats: player.beats() as u64,
            lost: player.lost() as u64,
            ignored: player.ignored(),
            days: tidy(qos.observed.as_secs_f64() / DAY),
            detection: Detection {
                crashes: qos.noticed.count() + qos.missed,
                missed: qos.missed,
                times: Times::of(&qos.noticed),
            },
            worst_phase: Times::of(&qos.worst_phase),
            mistakes: Mistakes::of(qos),
            query_accuracy: accuracy(qos),
            questions_per_day: qos.per_day(qos.questions).map(tidy),
            alternatives: Vec::new(),
        }
    }
}

impl Alternative {
    /// What `qos` with `heartbeat` amounts to.
    pub(super) fn of(heartbeat: String, qos: &Qos) -> Self {
        Self {
            heartbeat,
            worst_phase: Times::of(&qos.worst_phase),
            mistakes: Mistakes::of(qos),
            query_accuracy: accuracy(qos),
            questions_per_day: qos.per_day(qos.questions).map(tidy),
        }
    }
}

impl Mistakes {
    fn of(qos: &Qos) -> Self {
        let per_day = |count| qos.per_day(count).map(tidy);
        Self {
            count: qos.mistakes(),
            per_day: per_day(qos.mistakes()),
            during_outage_per_day: per_day(qos.in_outages),
            avoidable_per_day: per_day(qos.avoidable),
            mean_duration_s: qos.mean_mistake().map(seconds),
        }
    }
}

impl Times {
    fn of(spread: &Spread) -> Self {
        Self {
            mean_s: spread.mean().map(seconds),
            p99_s: spread.quantile(0.99).map(seconds),
            max_s: spread.max().map(seconds),
        }
    }
}

/// A share that is close to one needs more places than a time.
fn accuracy(qos: &Qos) -> Option<f64> {
    qos.query_accuracy().map(|share| (share * 1e9).round() / 1e9)
}

fn seconds(time: Duration) -> f64 {
    tidy(time.as_secs_f64())
}

/// Microseconds are more than anybody measures; what a `f64` adds behind them is noise.
fn tidy(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

fn detector_of(spec: &HeartbeatSpec) -> (&'static str, Option<&'static str>) {
    match spec.detector {
        DetectorSpec::Fixed => ("fixed", None),
        DetectorSpec::Chen { .. } => ("chen", None),
        DetectorSpec::Accrual { .. } => ("phi", None),
        DetectorSpec::Adaptive(Profile::Fast) => ("adaptive", Some("fast")),
        DetectorSpec::Adaptive(Profile::Default) => ("adaptive", Some("default")),
        DetectorSpec::Adaptive(Profile::Strict) => ("adaptive", Some("strict")),
    }
}
