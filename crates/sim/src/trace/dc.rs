//! A data centre: a heartbeat every 10 s over TCP, which turns loss into delay by its retransmission timer.
//!
//! The application pauses (collection of garbage, no CPU) once in ten thousand heartbeats for 6 s on average;
//! the agent beside it answers all the same. Every five days the network is gone for 10 s on average; what was
//! sent meanwhile, questions too, arrives when it is back.

use super::{Bad, Source, Weather};
use crate::draws::Draws;

const INTERVAL: f64 = 10.0;
const DAY: f64 = 86_400.0;

pub(super) struct DataCentre {
    slot: f64,
    pause_until: f64,
}

impl DataCentre {
    pub(super) fn new(end: f64, draws: &mut Draws, weather: &mut Weather) -> Self {
        let mut time = 0.0;
        while time < end {
            let from = time + draws.exponential(5.0 * DAY);
            let until = from + 2.0 + draws.exponential(8.0);
            weather.bad.push(Bad { from, until, loss: 1.0 });
            time = until;
        }
        Self { slot: 0.0, pause_until: 0.0 }
    }
}

/// What TCP makes of the network at `at`.
fn delay(at: f64, weather: &Weather, draws: &mut Draws) -> f64 {
    let mut delay = 0.0006 + draws.exponential(0.0008);
    if draws.happens(3e-4) {
        delay += 0.2;
        if draws.happens(0.1) {
            delay += 0.4;
        }
        if draws.happens(0.01) {
            delay += 3.0;
        }
    }
    match weather.at(at) {
        Some(bad) => bad.until - at + draws.exponential(1.0),
        None => delay,
    }
}

impl Source for DataCentre {
    fn send(&mut self, draws: &mut Draws, weather: &mut Weather) -> (f64, Option<f64>) {
        self.slot += INTERVAL;
        let mut time = self.slot + 0.002 + draws.exponential(0.005);
        if draws.happens(2e-3) {
            time += draws.exponential(0.4);
        }
        if draws.happens(1e-4) {
            self.pause_until = time + draws.exponential(6.0);
        }
        time = time.max(self.pause_until);
        (time, Some(time + delay(time, weather, draws)))
    }

    fn carry(&self, at: f64, _: bool, weather: &Weather, draws: &mut Draws) -> Option<f64> {
        Some(at + delay(at, weather, draws))
    }
}
