//! A WAN like the week from JAIST to EPFL: 103.5 ms, about 142 ms one way, losses in bursts.
//!
//! Of the bursts 70 % lose one heartbeat, the others follow a Pareto law with α = 0.27 up to the longest that
//! was measured, 1093 heartbeats. Delay is an AR(1) process with spikes of congestion that decay.

use super::{Bad, Source, Weather};
use crate::draws::Draws;

const INTERVAL: f64 = 0.1035;
/// Bursts of the week, and heartbeats sent in it.
const BURST: f64 = 814.0 / 5_845_713.0;
/// What the way takes at least.
const DELAY: f64 = 0.1351 + 0.0025;
/// What is left of a spike of congestion one heartbeat later.
const DECAY: f64 = 0.97;
/// Share of single packets that are lost, for questions.
const LOSS: f64 = 0.001;

pub(super) struct Wan {
    time: f64,
    /// Heartbeats of the present burst still to be lost.
    left: u32,
    wander: f64,
    congestion: f64,
    /// Begin and height of each spike.
    spikes: Vec<(f64, f64)>,
}

impl Wan {
    pub(super) fn new() -> Self {
        Self { time: 0.0, left: 0, wander: 0.0, congestion: 0.0, spikes: Vec::new() }
    }
}

impl Source for Wan {
    fn send(&mut self, draws: &mut Draws, weather: &mut Weather) -> (f64, Option<f64>) {
        self.time += INTERVAL + 0.000_189 * draws.normal();
        if draws.happens(2e-6) {
            self.time += 0.13;
        }
        if self.left == 0 && draws.happens(BURST) {
            self.left = if draws.happens(0.7) { 1 } else { pareto(draws.unit()) };
            let length = f64::from(self.left);
            weather.bad.push(Bad {
                from: self.time - INTERVAL / 2.0,
                until: self.time + INTERVAL * (length - 0.5),
                loss: 1.0,
            });
        }
        self.wander = 0.9 * self.wander + 0.004 * draws.normal();
        if draws.happens(2e-5) {
            self.congestion = 0.02 + draws.exponential(0.08);
            self.spikes.push((self.time, self.congestion));
        }
        self.congestion *= DECAY;
        let straggles = if draws.happens(1e-4) { draws.exponential(0.06) } else { 0.0 };
        let delay = DELAY + self.wander.abs() + self.congestion + straggles;
        if self.left > 0 {
            self.left -= 1;
            return (self.time, None);
        }
        (self.time, Some(self.time + delay))
    }

    fn carry(&self, at: f64, _: bool, weather: &Weather, draws: &mut Draws) -> Option<f64> {
        let loss = weather.at(at).map_or(LOSS, |bad| bad.loss);
        if draws.happens(loss) {
            return None;
        }
        let spike = self.spikes.partition_point(|(begin, _)| *begin <= at).checked_sub(1);
        let congestion = spike.map_or(0.0, |place| {
            let (begin, height) = self.spikes[place];
            height * DECAY.powf((at - begin) / INTERVAL)
        });
        // The stationary deviation of the AR(1) process.
        let wander = 0.004 / (1.0_f64 - 0.9 * 0.9).sqrt() * draws.normal();
        Some(at + DELAY + wander.abs() + congestion)
    }
}

/// Length of a longer burst.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 2 and 1093")]
fn pareto(unit: f64) -> u32 {
    let (low, high, alpha) = (2.0_f64, 1093.0_f64, 0.27);
    let (low, high) = (low.powf(alpha), high.powf(alpha));
    (-(unit * high - unit * low - high) / (high * low)).powf(-1.0 / alpha) as u32
}
