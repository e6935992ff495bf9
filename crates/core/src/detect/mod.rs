//! Failure detection: from the arrivals of heartbeats to *late* and *silent*.
//!
//! A [`Detector`] turns each arrival into a *freshness point* (Chen, Toueg, Aguilera, "On the Quality of
//! Service of Failure Detectors", IEEE ToC 51(5), 2002): the time until which the sender is trusted without
//! hearing more. Every detector here is such a deadline, also the accrual one, so that the engine never has
//! to ask anybody before that time comes.
//!
//! [`Heart`] is what the engine keeps for each service: a detector, its cap, and the [`Inquiry`] that is
//! opened when the freshness point has passed: the other evidence is asked, a few times in quick succession,
//! and only when it has nothing good to say the service is given up before the cap.
//!
//! | detector | freshness point | memory |
//! |---|---|---|
//! | [`Fixed`] | arrival + timeout | none |
//! | [`Chen`] | mean of the last *n* normalised arrivals, one interval on, + margin | *n* × 8 bytes |
//! | [`Accrual`] | arrival + the quantile at which φ reaches its threshold | *n* × 8 bytes |
//! | [`Adaptive`] | two exponential means of the normalised arrival, one interval on, + deviation | 32 bytes |

mod accrual;
mod adaptive;
mod chen;
mod credit;
mod fixed;
mod heart;
mod inquiry;
#[cfg(test)]
mod properties;

use std::time::Duration;

pub use accrual::{Accrual, Distribution};
pub use adaptive::{Adaptive, DEVIATION_GAIN, MARGIN_MAX, MARGIN_MIN, MARGIN_MIN_TIME};
pub use chen::Chen;
pub use fixed::Fixed;
pub use heart::{Advance, Answer, Arrival, Heart};
pub use inquiry::{Inquiry, TRIES_APART, TRY_AT_LEAST};

use crate::spec::{DetectorSpec, HeartbeatSpec};
use crate::time::Mono;

/// From arrivals to freshness points.
pub trait Detector {
    /// A heartbeat numbered `seq` arrived at `at`; until the returned time its sender is trusted. Numbers grow
    /// (a gap is a lost heartbeat); older ones must not be given. `at` never lies before an earlier arrival.
    fn arrival(&mut self, at: Mono, seq: u64) -> Mono;

    /// Forgets what was learnt: another process sends from now on, or at another interval.
    fn reset(&mut self, interval: Duration);
}

/// The detector of one service, without a box where it is small.
#[derive(Debug, Clone)]
enum AnyDetector {
    Fixed(Fixed),
    Chen(Box<Chen>),
    Accrual(Box<Accrual>),
    Adaptive(Adaptive),
}

impl AnyDetector {
    fn new(spec: &HeartbeatSpec) -> Self {
        match spec.detector {
            DetectorSpec::Fixed => Self::Fixed(Fixed::new(spec.timeout)),
            DetectorSpec::Chen { margin, window } => {
                Self::Chen(Box::new(Chen::new(spec.interval, margin, window)))
            }
            DetectorSpec::Accrual { threshold, window } => {
                let floor = spec.interval.mul_f64(Accrual::DEVIATION_FLOOR);
                Self::Accrual(Box::new(Accrual::new(
                    spec.interval,
                    threshold,
                    window,
                    Distribution::Normal { floor, pause: Duration::ZERO },
                )))
            }
            DetectorSpec::Adaptive(_) => Self::Adaptive(Adaptive::new(spec.interval)),
        }
    }
}

impl Detector for AnyDetector {
    fn arrival(&mut self, at: Mono, seq: u64) -> Mono {
        match self {
            Self::Fixed(detector) => detector.arrival(at, seq),
            Self::Chen(detector) => detector.arrival(at, seq),
            Self::Accrual(detector) => detector.arrival(at, seq),
            Self::Adaptive(detector) => detector.arrival(at, seq),
        }
    }

    fn reset(&mut self, interval: Duration) {
        match self {
            Self::Fixed(detector) => detector.reset(interval),
            Self::Chen(detector) => detector.reset(interval),
            Self::Accrual(detector) => detector.reset(interval),
            Self::Adaptive(detector) => detector.reset(interval),
        }
    }
}

/// Seconds from `origin`, an earlier arrival, to `at`.
fn seconds(at: Mono, origin: Mono) -> f64 {
    at.since(origin).as_secs_f64()
}

/// The reading `seconds` after `origin`, saturating. What is expected never lies before the first arrival, but for
/// what rounding makes of it.
fn after(origin: Mono, seconds: f64) -> Mono {
    origin + Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}
