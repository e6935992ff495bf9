//! Detectors from papers and programs that lifesign does not offer, to be measured beside its own.
//!
//! Akka's and Cassandra's are laws of `core`'s accrual detector; chitchat's is the exponential one without its
//! `ln 10`.

use std::collections::VecDeque;
use std::time::Duration;

use lifesign_core::detect::{Accrual, Adaptive, Detector, Distribution};
use lifesign_core::time::Mono;

/// Window of the reference's table.
pub const WINDOW: u32 = 1000;

/// The φ of the paper as the reference measured it: the logistic approximation of the normal tail, a
/// deviation of at least a hundredth of the interval.
pub fn phi(interval: Duration, threshold: f64) -> Accrual {
    let law = Distribution::Logistic { floor: interval / 100, pause: Duration::ZERO };
    Accrual::new(interval, threshold, WINDOW, law)
}

/// The φ of the paper with the normal law's own tail.
pub fn phi_exact(interval: Duration, threshold: f64) -> Accrual {
    let law = Distribution::Normal { floor: interval / 100, pause: Duration::ZERO };
    Accrual::new(interval, threshold, WINDOW, law)
}

/// Akka's detector with the defaults of its cluster (made for an interval of 1 s) at this interval: threshold 8,
/// deviation at least 0.1, pause 3 intervals.
pub fn akka(interval: Duration) -> Accrual {
    let law = Distribution::Logistic { floor: interval / 10, pause: interval * 3 };
    Accrual::new(interval, 8.0, WINDOW, law)
}

/// Cassandra's: exponential, threshold 8, so 18.4 mean gaps.
pub fn cassandra(interval: Duration) -> Accrual {
    Accrual::new(interval, 8.0, WINDOW, Distribution::Exponential)
}

/// chitchat's: 8 mean gaps; without its five pseudo-samples, which a full window makes up for.
pub fn chitchat(interval: Duration) -> Accrual {
    Accrual::new(interval, 8.0 / std::f64::consts::LN_10, WINDOW, Distribution::Exponential)
}

/// 2W-FD: the later of the expected arrivals of two windows, here of 1 and of 1000 (Tomsic and others, "2W-FD: A
/// Failure Detector Algorithm with QoS", IPDPS 2015).
#[derive(Debug, Clone)]
pub struct TwoWindows {
    interval: f64,
    margin: f64,
    long: Normalised,
}

impl TwoWindows {
    /// For heartbeats every `interval`; `margin` is the paper's Δ_to.
    pub fn new(interval: Duration, margin: Duration) -> Self {
        let interval = interval.as_secs_f64();
        Self { interval, margin: margin.as_secs_f64(), long: Normalised::new(interval) }
    }
}

impl Detector for TwoWindows {
    fn arrival(&mut self, at: Mono, seq: u64) -> Mono {
        let x = self.long.add(at, seq);
        let expected = self.long.mean().max(x);
        self.long.point(expected + self.interval + self.margin, seq).max(at)
    }

    fn reset(&mut self, interval: Duration) {
        *self = Self::new(interval, Duration::from_secs_f64(self.margin));
    }
}

/// Bertier, Marin and Sens, "Implementation and Performance Evaluation of an Adaptable Failure Detector", DSN
/// 2002: Chen's expected arrival and Jacobson's margin `β·d + φ·v`, with β = 1, φ = 4, γ = 0.1.
#[derive(Debug, Clone)]
pub struct Bertier {
    interval: f64,
    delay: f64,
    variation: f64,
    arrivals: Normalised,
}

impl Bertier {
    const BETA: f64 = 1.0;
    const PHI: f64 = 4.0;
    const GAMMA: f64 = 0.1;

    /// For heartbeats every `interval`.
    pub fn new(interval: Duration) -> Self {
        let interval = interval.as_secs_f64();
        Self { interval, delay: 0.0, variation: 0.0, arrivals: Normalised::new(interval) }
    }
}

impl Detector for Bertier {
    fn arrival(&mut self, at: Mono, seq: u64) -> Mono {
        let expected = (!self.arrivals.window.is_empty()).then(|| self.arrivals.mean());
        let x = self.arrivals.add(at, seq);
        let error = x - expected.unwrap_or(x) - self.delay;
        self.delay += Self::GAMMA * error;
        self.variation += Self::GAMMA * (error.abs() - self.variation);
        let margin = Self::BETA * self.delay + Self::PHI * self.variation;
        self.arrivals.point(self.arrivals.mean() + self.interval + margin, seq).max(at)
    }

    fn reset(&mut self, interval: Duration) {
        *self = Self::new(interval);
    }
}

/// The default's own exponential means with a longer margin: the reference's rows `EWMA slack Δ` and `2Δ`.
#[derive(Debug, Clone)]
pub struct Slack(Adaptive, Duration);

impl Slack {
    /// For heartbeats every `interval`, `slack` more than the default's suspicion.
    pub fn new(interval: Duration, slack: Duration) -> Self {
        Self(Adaptive::new(interval), slack)
    }
}

impl Detector for Slack {
    fn arrival(&mut self, at: Mono, seq: u64) -> Mono {
        self.0.arrival(at, seq) + self.1
    }

    fn reset(&mut self, interval: Duration) {
        self.0.reset(interval);
    }
}

/// The normalised arrivals `a − Δ·s` of a window and their mean, relative to the first arrival.
#[derive(Debug, Clone)]
struct Normalised {
    interval: f64,
    origin: Option<(Mono, u64)>,
    window: VecDeque<f64>,
    sum: f64,
}

impl Normalised {
    fn new(interval: f64) -> Self {
        Self { interval, origin: None, window: VecDeque::new(), sum: 0.0 }
    }

    fn add(&mut self, at: Mono, seq: u64) -> f64 {
        let (origin, first) = *self.origin.get_or_insert((at, seq));
        let since = at.since(origin).as_secs_f64() - origin.since(at).as_secs_f64();
        let x = since - self.interval * seq.saturating_sub(first) as f64;
        self.window.push_back(x);
        self.sum += x;
        if self.window.len() > WINDOW as usize {
            self.sum -= self.window.pop_front().unwrap_or(0.0);
        }
        x
    }

    fn mean(&self) -> f64 {
        self.sum / self.window.len().max(1) as f64
    }

    /// The reading at which the heartbeat `seq` was due, `x` seconds later.
    fn point(&self, x: f64, seq: u64) -> Mono {
        let (origin, first) = self.origin.unwrap_or_default();
        let after = x + self.interval * seq.saturating_sub(first) as f64;
        let span = Duration::try_from_secs_f64(after.abs()).unwrap_or(Duration::MAX);
        if after >= 0.0 { origin + span } else { origin.back(span) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Mono {
        Mono::from_millis(millis)
    }

    /// Normalised arrivals 0, 0.4, 0.2 s: mean 0.2, last 0.2; after the second the last one was the later.
    #[test]
    fn two_windows_expect_the_later_of_two_means() {
        let mut detector = TwoWindows::new(INTERVAL, INTERVAL / 2);
        assert_eq!(detector.arrival(at(0), 0), at(15_000));
        assert_eq!(detector.arrival(at(10_400), 1), at(25_400));
        assert_eq!(detector.arrival(at(20_200), 2), at(35_200));
    }

    /// The paper's update by hand: errors 0 and 0.4 s give d = 0.04, v = 0.04, a margin of 0.2 s over the mean
    /// of 0 and 0.4.
    #[test]
    fn bertier_adds_delay_and_four_variations_to_the_mean() {
        let mut detector = Bertier::new(INTERVAL);
        assert_eq!(detector.arrival(at(0), 0), at(10_000));
        assert_eq!(detector.arrival(at(10_400), 1), at(20_400));
    }

    /// Akka's z(8) = 5.23: a mean of 1, a pause of 3 and 5.23 floors of the deviation, in intervals.
    #[test]
    fn the_multiples_of_the_field_are_reached() {
        for (mut detector, multiple) in
            [(akka(INTERVAL), 4.523), (cassandra(INTERVAL), 18.42), (chitchat(INTERVAL), 8.0)]
        {
            let mut point = at(0);
            for n in 0..50 {
                point = detector.arrival(at(10_000 * n), n);
            }
            let intervals = point.since(at(490_000)).as_secs_f64() / 10.0;
            assert!((intervals - multiple).abs() < 0.01, "{intervals}, not {multiple}");
        }
    }
}
