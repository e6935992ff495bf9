//! Three traces that were made to hurt.
//!
//! In none of them is anything an outage that would excuse a mistake, but for the rare long ones of [`Bursts`].

use super::{Bad, Source, Weather};
use crate::draws::Draws;

const INTERVAL: f64 = 10.0;
const DAY: f64 = 86_400.0;

/// Bursts of loss, one every half an hour: most lose nine of ten packets for 20 s on average; every fourth
/// loses all for 8 s on average, which is nearly always too short to be excused and long enough to hurt.
pub(super) struct Bursts {
    slot: f64,
}

impl Bursts {
    pub(super) fn new(end: f64, draws: &mut Draws, weather: &mut Weather) -> Self {
        let mut time = 0.0;
        while time < end {
            let from = time + draws.exponential(1800.0);
            let total = draws.happens(0.25);
            time = from + draws.exponential(if total { 8.0 } else { 20.0 });
            weather.bad.push(Bad { from, until: time, loss: if total { 1.0 } else { 0.9 } });
        }
        Self { slot: 0.0 }
    }
}

impl Source for Bursts {
    fn send(&mut self, draws: &mut Draws, weather: &mut Weather) -> (f64, Option<f64>) {
        self.slot += INTERVAL;
        let sent = self.slot + 0.02 * draws.unit();
        (sent, self.carry(sent, false, weather, draws))
    }

    fn carry(&self, at: f64, _: bool, weather: &Weather, draws: &mut Draws) -> Option<f64> {
        let loss = weather.at(at).map_or(0.002, |bad| bad.loss);
        (!draws.happens(loss)).then(|| at + 0.05 * (0.4 * draws.normal()).exp())
    }
}

/// The hours of the day: at four in the morning 50 ms and hardly any loss, in the afternoon queues of seconds
/// with much jitter, and one packet in eight is lost.
#[derive(Default)]
pub(super) struct Diurnal {
    slot: f64,
}

/// How busy the network is, from 0 to 1.
fn rush(at: f64) -> f64 {
    (0.5 - 0.5 * (std::f64::consts::TAU * at / DAY).cos()).powi(3)
}

impl Source for Diurnal {
    fn send(&mut self, draws: &mut Draws, weather: &mut Weather) -> (f64, Option<f64>) {
        self.slot += INTERVAL;
        let sent = self.slot + 0.02 * draws.unit();
        (sent, self.carry(sent, false, weather, draws))
    }

    fn carry(&self, at: f64, _: bool, _: &Weather, draws: &mut Draws) -> Option<f64> {
        let rush = rush(at);
        let lost = draws.happens(0.001 + 0.125 * rush);
        (!lost).then(|| at + 0.05 + 2.0 * rush * (0.6 * draws.normal()).exp())
    }
}

/// Senders that pause, on a good network.
///
/// Every two hours the process stands still for 12 s on average (garbage, swap, a debugger): its heartbeats
/// wait, and the agent beside it answers for it. Once a day the whole host is frozen for 8 s on average (a
/// snapshot, a migration): then nobody answers before it thaws, which no observer can tell from a death.
#[derive(Default)]
pub(super) struct Pauses {
    slot: f64,
    next_pause: f64,
    pause_until: f64,
    next_freeze: f64,
    /// Begin and end of each freeze.
    freezes: Vec<(f64, f64)>,
}

impl Pauses {
    /// When the host, asked at `at`, gets to do something.
    fn thaw(&self, at: f64) -> f64 {
        let next = self.freezes.partition_point(|(_, end)| *end < at);
        self.freezes.get(next).filter(|(begin, _)| *begin <= at).map_or(at, |(_, end)| *end)
    }
}

impl Source for Pauses {
    fn send(&mut self, draws: &mut Draws, _: &mut Weather) -> (f64, Option<f64>) {
        self.slot += INTERVAL;
        while self.next_freeze < self.slot + INTERVAL {
            let begin = self.next_freeze.max(self.freezes.last().map_or(0.0, |(_, end)| *end));
            self.freezes.push((begin, begin + draws.exponential(8.0)));
            self.next_freeze = begin + draws.exponential(DAY);
        }
        while self.next_pause < self.slot {
            self.pause_until = self.next_pause + draws.exponential(12.0);
            self.next_pause = self.pause_until + draws.exponential(7200.0);
        }
        let sent = self.thaw((self.slot + 0.01 * draws.unit()).max(self.pause_until));
        (sent, (!draws.happens(0.001)).then(|| sent + 0.001 + draws.exponential(0.002)))
    }

    fn carry(&self, at: f64, to_sender: bool, _: &Weather, draws: &mut Draws) -> Option<f64> {
        if draws.happens(0.001) {
            return None;
        }
        let arrived = at + 0.001 + draws.exponential(0.002);
        Some(if to_sender { self.thaw(arrived) } else { arrived })
    }
}
