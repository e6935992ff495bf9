//! The figures of one service, in JSON word for word.

use std::time::Duration;

use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Profile};
use lifesign_proto::trace::ServiceTrace;
use serde::Serialize;

use super::play::Outcome;

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
    /// What `outcome` of `service` with `spec` amounts to.
    pub(super) fn of(service: &ServiceTrace, spec: &HeartbeatSpec, outcome: Outcome) -> Self {
        let (detector, profile) = detector_of(spec);
        let days = outcome.length.as_secs_f64() / DAY;
        let per_day = |count: u64| (days > 0.0).then(|| tidy(count as f64 / days));
        let count = outcome.in_outages + outcome.avoidable;
        let mistaken = outcome.mistaken.as_secs_f64();
        let alive = outcome.length.saturating_sub(outcome.dead).as_secs_f64();
        Self {
            id: service.id.to_string(),
            detector,
            profile,
            confirm: spec.confirm,
            interval_s: spec.interval.as_secs_f64(),
            beats: service.beats.len() as u64,
            lost: service.beats.iter().filter(|beat| beat.received().is_none()).count() as u64,
            ignored: service.ignored,
            days: tidy(days),
            detection: Detection {
                crashes: service.crashes.len() as u64,
                missed: outcome.missed,
                times: Times::of(outcome.detected),
            },
            worst_phase: Times::of(outcome.worst_phase),
            mistakes: Mistakes {
                count,
                per_day: per_day(count),
                during_outage_per_day: per_day(outcome.in_outages),
                avoidable_per_day: per_day(outcome.avoidable),
                mean_duration_s: (count > 0).then(|| tidy(mistaken / count as f64)),
            },
            query_accuracy: (alive > 0.0).then(|| ((1.0 - mistaken / alive).max(0.0) * 1e9).round() / 1e9),
            questions_per_day: per_day(outcome.questions),
            alternatives: Vec::new(),
        }
    }
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        let Some(last) = times.len().checked_sub(1) else { return Self::default() };
        times.sort_unstable();
        let seconds = |time: &Duration| tidy(time.as_secs_f64());
        let sum: f64 = times.iter().map(Duration::as_secs_f64).sum();
        Self {
            mean_s: Some(tidy(sum / times.len() as f64)),
            // The nearest rank: the smallest that 99 of 100 do not exceed.
            p99_s: times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).map(seconds),
            max_s: times.get(last).map(seconds),
        }
    }
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
