//! Chen, Toueg and Aguilera's NFD-E: the expected arrival of the next heartbeat, plus a margin.
//!
//! "On the Quality of Service of Failure Detectors", IEEE Transactions on Computers 51(5), 2002, section 6
//! (clocks not synchronised). With arrivals `A_i` of heartbeats numbered `s_i`, sent every `Δ`:
//!
//! `EA(ℓ+1) = mean over the last n of (A_i − Δ·s_i) + Δ·(ℓ+1)`, freshness point `τ = EA(ℓ+1) + α`.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Detector, after, seconds};
use crate::time::Mono;

/// NFD-E over a window of arrivals.
#[derive(Debug, Clone)]
pub struct Chen {
    interval: f64,
    margin: f64,
    window: usize,
    /// Arrival of the first heartbeat: everything else is told relative to it, so that a `f64` is exact.
    origin: Option<(Mono, u64)>,
    normalised: VecDeque<f64>,
    sum: f64,
}

impl Chen {
    /// For heartbeats sent every `interval`; `margin` is the paper's α, `window` its n (at least 1).
    pub fn new(interval: Duration, margin: Duration, window: u32) -> Self {
        let window = window.max(1) as usize;
        Self {
            interval: interval.as_secs_f64(),
            margin: margin.as_secs_f64(),
            window,
            origin: None,
            normalised: VecDeque::new(),
            sum: 0.0,
        }
    }
}

impl Detector for Chen {
    fn arrival(&mut self, at: Mono, seq: u64) -> Mono {
        let (origin, first) = *self.origin.get_or_insert((at, seq));
        let number = seq.saturating_sub(first) as f64;
        let normalised = seconds(at, origin) - self.interval * number;
        self.normalised.push_back(normalised);
        self.sum += normalised;
        if self.normalised.len() > self.window {
            self.sum -= self.normalised.pop_front().unwrap_or(0.0);
        }
        let mean = self.sum / self.normalised.len() as f64;
        after(origin, mean + self.interval * (number + 1.0) + self.margin).max(at)
    }

    fn reset(&mut self, interval: Duration) {
        self.interval = interval.as_secs_f64();
        self.origin = None;
        self.normalised.clear();
        self.sum = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's formula by hand: Δ = 10 s, α = 5 s, arrivals 0.1, 10.3, 20.2 s:
    /// normalised 0.1, 0.3, 0.2, mean 0.2, so τ = 0.2 + 30 + 5.
    #[test]
    fn the_freshness_point_is_the_mean_normalised_arrival_one_interval_on_plus_the_margin() {
        let mut chen = Chen::new(Duration::from_secs(10), Duration::from_secs(5), 1000);
        assert_eq!(chen.arrival(Mono::from_millis(100), 0), Mono::from_millis(15_100));
        assert_eq!(chen.arrival(Mono::from_millis(10_300), 1), Mono::from_millis(25_200));
        assert_eq!(chen.arrival(Mono::from_millis(20_200), 2), Mono::from_millis(35_200));
    }

    #[test]
    fn a_window_of_one_is_a_fixed_timeout_from_the_last_arrival() {
        let mut chen = Chen::new(Duration::from_secs(10), Duration::from_secs(5), 1);
        chen.arrival(Mono::from_millis(100), 7);
        assert_eq!(chen.arrival(Mono::from_millis(13_000), 8), Mono::from_millis(28_000));
    }

    #[test]
    fn a_lost_heartbeat_does_not_move_the_expected_arrival() {
        let mut chen = Chen::new(Duration::from_secs(10), Duration::from_secs(5), 1000);
        chen.arrival(Mono::from_millis(0), 0);
        assert_eq!(chen.arrival(Mono::from_millis(30_000), 3), Mono::from_millis(45_000));
    }
}
