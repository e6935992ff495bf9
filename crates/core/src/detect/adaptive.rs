//! The default detector: when the next heartbeat is due, learnt with three numbers.
//!
//! The normalised arrival `x = a − Δ·s` (Chen et al. 2002) is followed by two exponential means, one slow and
//! one that jumps up and decays: the larger of both is the idea of the two-window detector (2W-FD, Tomsic et
//! al., "2W-FD: A Failure Detector Algorithm with QoS", IPDPS 2015) in constant memory. Its deviation is
//! followed as Jacobson did for TCP (SIGCOMM 1988), fast up and slow down.
//!
//! `τ = max(slow, fast) + Δ·(s+1) + clamp(4·dev, max(50 ms, 0.02·Δ), 0.5·Δ)`

use std::time::Duration;

use super::{Detector, after, seconds};
use crate::time::Mono;

/// The margin is this many deviations …
pub const DEVIATION_GAIN: f64 = 4.0;
/// … at least this part of the interval …
pub const MARGIN_MIN: f64 = 0.02;
/// … and this many seconds …
pub const MARGIN_MIN_TIME: f64 = 0.05;
/// … at most this part of the interval.
pub const MARGIN_MAX: f64 = 0.5;

/// What the slow mean takes over of each new value.
const SLOW: f64 = 1.0 / 64.0;
/// What the fast mean takes over when values fall; it follows at once when they grow.
const FAST: f64 = 1.0 / 4.0;

/// Two exponential means and a deviation.
#[derive(Debug, Clone, Copy)]
pub struct Adaptive {
    interval: f64,
    origin: Option<(Mono, u64)>,
    slow: f64,
    fast: f64,
    deviation: f64,
}

impl Adaptive {
    /// For heartbeats sent every `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval: interval.as_secs_f64(), origin: None, slow: 0.0, fast: 0.0, deviation: 0.0 }
    }

    /// The margin after the expected arrival, in seconds.
    pub fn margin(&self) -> f64 {
        let least = (MARGIN_MIN * self.interval).max(MARGIN_MIN_TIME).min(MARGIN_MAX * self.interval);
        (DEVIATION_GAIN * self.deviation).clamp(least, MARGIN_MAX * self.interval)
    }
}

impl Detector for Adaptive {
    fn arrival(&mut self, at: Mono, seq: u64) -> Mono {
        let (origin, first) = *self.origin.get_or_insert((at, seq));
        let number = seq.saturating_sub(first) as f64;
        let x = seconds(at, origin) - self.interval * number;
        let error = x - self.slow;
        self.slow += error * SLOW;
        self.fast = x.max(self.fast + (x - self.fast) * FAST);
        let off = error.abs();
        self.deviation += (off - self.deviation) * if off > self.deviation { FAST } else { SLOW };
        let due = self.slow.max(self.fast) + self.interval * (number + 1.0);
        after(origin, due + self.margin()).max(at)
    }

    fn reset(&mut self, interval: Duration) {
        *self = Self::new(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_punctual_sender_is_trusted_for_its_interval_and_the_least_margin() {
        let mut adaptive = Adaptive::new(10 * SECOND);
        for n in 0..100 {
            let point = adaptive.arrival(Mono::from_millis(10_000 * n), n);
            assert_eq!(point, Mono::from_millis(10_000 * (n + 1) + 200));
        }
    }

    #[test]
    fn a_late_arrival_widens_the_margin_at_once_and_punctual_ones_narrow_it_slowly() {
        let mut adaptive = Adaptive::new(10 * SECOND);
        adaptive.arrival(Mono::from_millis(0), 0);
        adaptive.arrival(Mono::from_millis(11_000), 1);
        let wide = adaptive.margin();
        assert!(wide > 0.9, "{wide}");
        for n in 2..12 {
            adaptive.arrival(Mono::from_millis(10_000 * n), n);
        }
        assert!(adaptive.margin() > 0.5 * wide);
        for n in 12..400 {
            adaptive.arrival(Mono::from_millis(10_000 * n), n);
        }
        assert!(adaptive.margin() < 0.25, "{}", adaptive.margin());
    }

    #[test]
    fn a_lost_heartbeat_does_not_move_the_expected_arrival() {
        let mut adaptive = Adaptive::new(10 * SECOND);
        adaptive.arrival(Mono::from_millis(0), 0);
        assert_eq!(adaptive.arrival(Mono::from_millis(30_000), 3), Mono::from_millis(40_200));
    }

    #[test]
    fn the_margin_never_exceeds_half_an_interval() {
        let mut adaptive = Adaptive::new(SECOND);
        for n in 0..1000_u64 {
            let jitter = n.wrapping_mul(2_654_435_761) % 900;
            adaptive.arrival(Mono::from_millis(1000 * n + jitter), n);
            assert!(adaptive.margin() <= 0.5);
        }
    }
}
