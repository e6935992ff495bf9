//! The accrual detector: trust ends where the suspicion level φ reaches a threshold.
//!
//! Hayashibara, Défago, Yared, Katayama, "The φ Accrual Failure Detector", SRDS 2004:
//! `φ(t) = −log₁₀ P(the next heartbeat comes later than t)`, the law of the gaps between arrivals taken as
//! normal with the window's mean and deviation. φ grows with t, so a threshold is a deadline: the arrival plus
//! the quantile `1 − 10^−Φ` of the gap. Nothing but sums is touched when a heartbeat arrives.
//!
//! Three distributions are here: the paper's, exactly; the logistic approximation of it that Akka uses, with
//! Akka's floor of the deviation and acceptable pause; and the exponential one of Cassandra.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Detector, after, seconds};
use crate::time::Mono;

/// The law assumed for the gap between two arrivals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Normal, as in the paper; the deviation is at least `floor`, the mean is lengthened by `pause`.
    Normal {
        /// Least deviation.
        floor: Duration,
        /// Added to the mean.
        pause: Duration,
    },
    /// Akka's `PhiAccrualFailureDetector`: the normal tail by the logistic approximation
    /// `1 / (1 + e^(−y·(1.5976 + 0.070566·y²)))` (Bowling et al. 2009), which is too short beyond 4 σ.
    Logistic {
        /// Least deviation.
        floor: Duration,
        /// Added to the mean.
        pause: Duration,
    },
    /// Cassandra's `FailureDetector`: exponential, so φ = t / (mean · ln 10).
    Exponential,
}

/// φ over a window of gaps.
#[derive(Debug, Clone)]
pub struct Accrual {
    interval: f64,
    distribution: Distribution,
    /// Quantile of the standard law at which φ reaches the threshold.
    quantile: f64,
    window: usize,
    gaps: VecDeque<f64>,
    sum: f64,
    squares: f64,
    last: Option<(Mono, u64)>,
}

impl Accrual {
    /// Least deviation assumed, as a part of the interval, where nothing else is said.
    pub const DEVIATION_FLOOR: f64 = 0.01;

    /// For heartbeats sent every `interval` (assumed until the first gap is known); suspicion at φ =
    /// `threshold`, learnt from the last `window` gaps.
    pub fn new(interval: Duration, threshold: f64, window: u32, distribution: Distribution) -> Self {
        let quantile = match distribution {
            Distribution::Normal { .. } => bisect(threshold, phi_normal),
            Distribution::Logistic { .. } => bisect(threshold, phi_logistic),
            Distribution::Exponential => threshold * std::f64::consts::LN_10,
        };
        Self {
            interval: interval.as_secs_f64(),
            distribution,
            quantile,
            window: window.max(2) as usize,
            gaps: VecDeque::new(),
            sum: 0.0,
            squares: 0.0,
            last: None,
        }
    }

    /// How long after an arrival φ reaches the threshold, in seconds.
    fn patience(&self) -> f64 {
        let count = self.gaps.len() as f64;
        let mean = if self.gaps.is_empty() { self.interval } else { self.sum / count };
        let variance = if self.gaps.is_empty() { 0.0 } else { (self.squares / count - mean * mean).max(0.0) };
        match self.distribution {
            Distribution::Normal { floor, pause } | Distribution::Logistic { floor, pause } => {
                mean + pause.as_secs_f64() + self.quantile * variance.sqrt().max(floor.as_secs_f64())
            }
            Distribution::Exponential => mean * self.quantile,
        }
    }
}

impl Detector for Accrual {
    fn arrival(&mut self, at: Mono, seq: u64) -> Mono {
        if let Some((last, _)) = self.last {
            let gap = seconds(at, last);
            self.gaps.push_back(gap);
            self.sum += gap;
            self.squares += gap * gap;
            if self.gaps.len() > self.window {
                let old = self.gaps.pop_front().unwrap_or(0.0);
                self.sum -= old;
                self.squares -= old * old;
            }
        }
        self.last = Some((at, seq));
        after(at, self.patience())
    }

    fn reset(&mut self, interval: Duration) {
        self.interval = interval.as_secs_f64();
        self.gaps.clear();
        self.sum = 0.0;
        self.squares = 0.0;
        self.last = None;
    }
}

/// φ of a standard normal gap: `−log₁₀ Q(y)`.
fn phi_normal(y: f64) -> f64 {
    // Q(y) = ½ erfc(y/√2); erfc as a continued fraction in the tail (Lentz), as a series near the middle.
    -(0.5 * erfc(y / std::f64::consts::SQRT_2)).log10()
}

/// φ of Akka's approximation.
fn phi_logistic(y: f64) -> f64 {
    let e = (-y * (1.5976 + 0.070_566 * y * y)).exp();
    -(e / (1.0 + e)).log10()
}

/// The complementary error function for the arguments that matter here, to about 1e-12 relative
/// (Abramowitz and Stegun 7.1.5 and 7.1.14).
fn erfc(x: f64) -> f64 {
    if x < 2.5 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-17 * sum.abs() && n < 200.0 {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return 1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum;
    }
    let mut fraction = x;
    for k in (1..=60).rev() {
        fraction = x + f64::from(k) / 2.0 / fraction;
    }
    (-x * x).exp() / (std::f64::consts::PI.sqrt() * fraction)
}

/// The `y` at which the growing function `phi` reaches `threshold`.
fn bisect(threshold: f64, phi: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-5.0, 38.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if phi(middle) < threshold { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of the standard normal for tails of 1e-1, 1e-3, 1e-8, 1e-10 (any statistics table).
    #[test]
    fn the_threshold_is_the_quantile_of_the_normal_law() {
        for (phi, quantile) in [(1.0, 1.281_552), (3.0, 3.090_232), (8.0, 5.612_001), (10.0, 6.361_341)] {
            let found = bisect(phi, phi_normal);
            assert!((found - quantile).abs() < 1e-5, "φ {phi}: {found}, not {quantile}");
        }
    }

    /// Akka's approximation reaches its thresholds earlier: z(8) = 5.23, z(10) = 5.80.
    #[test]
    fn akkas_approximation_is_shorter_in_the_tail() {
        assert!((bisect(8.0, phi_logistic) - 5.23).abs() < 0.01);
        assert!((bisect(10.0, phi_logistic) - 5.80).abs() < 0.01);
    }

    /// Cassandra's threshold of 8 is 8 · ln 10 = 18.42 mean gaps.
    #[test]
    fn cassandras_threshold_is_a_multiple_of_the_mean_gap() {
        let mut phi = Accrual::new(Duration::from_secs(1), 8.0, 1000, Distribution::Exponential);
        phi.arrival(Mono::from_millis(0), 0);
        let point = phi.arrival(Mono::from_millis(2000), 1);
        assert!((seconds(point, Mono::from_millis(2000)) - 36.84).abs() < 0.01);
    }

    /// Gaps 9 s and 11 s: mean 10 s, deviation 1 s, so Φ = 1 is reached 11.28 s after the last arrival.
    #[test]
    fn the_freshness_point_is_mean_plus_quantile_times_deviation() {
        let law = Distribution::Normal { floor: Duration::from_millis(100), pause: Duration::ZERO };
        let mut phi = Accrual::new(Duration::from_secs(10), 1.0, 1000, law);
        phi.arrival(Mono::from_millis(0), 0);
        phi.arrival(Mono::from_millis(9000), 1);
        let point = phi.arrival(Mono::from_millis(20_000), 2);
        assert!((seconds(point, Mono::from_millis(20_000)) - 11.2816).abs() < 1e-3);
    }
}
