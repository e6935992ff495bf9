//! A weak mobile link after Gilbert and Elliott: every ten minutes a bad period of 15 s on average that loses
//! half of all packets and carries the others eight times slower; three of a hundred are outages of a minute.

use super::{Bad, Source, Weather};
use crate::draws::Draws;

const INTERVAL: f64 = 10.0;
/// Share of packets lost between bad periods.
const LOSS: f64 = 0.01;
/// When the sender tries, counted from its heartbeat: after 1, 2 and 4 s without an acknowledgement.
const TRIES: [f64; 4] = [0.0, 1.0, 3.0, 7.0];

pub(super) struct Weak {
    slot: f64,
    tries: &'static [f64],
}

impl Weak {
    pub(super) fn new(end: f64, retries: bool, draws: &mut Draws, weather: &mut Weather) -> Self {
        let mut time = 0.0;
        while time < end {
            let from = time + draws.exponential(600.0);
            let outage = draws.happens(0.03);
            let length = if outage { 20.0 + draws.exponential(40.0) } else { draws.exponential(15.0) };
            time = from + length;
            weather.bad.push(Bad { from, until: time, loss: if outage { 1.0 } else { 0.5 } });
        }
        Self { slot: 0.0, tries: if retries { &TRIES } else { &TRIES[..1] } }
    }
}

/// One packet.
fn carry(at: f64, weather: &Weather, draws: &mut Draws) -> Option<f64> {
    let (loss, slower) = weather.at(at).map_or((LOSS, 1.0), |bad| (bad.loss, 8.0));
    if draws.happens(loss) {
        return None;
    }
    Some(at + 0.08 * (0.6 * draws.normal()).exp() * slower)
}

impl Source for Weak {
    fn send(&mut self, draws: &mut Draws, weather: &mut Weather) -> (f64, Option<f64>) {
        self.slot += INTERVAL;
        let sent = self.slot + 0.02 * draws.unit();
        (sent, self.tries.iter().find_map(|after| carry(sent + after, weather, draws)))
    }

    fn carry(&self, at: f64, _: bool, weather: &Weather, draws: &mut Draws) -> Option<f64> {
        carry(at, weather, draws)
    }
}
