//! One service of a trace, played against the detector that would watch it: `lifesign_core::whatif` with the
//! events in their order and chance from a seed.

use std::cell::Cell;
use std::rc::Rc;

use lifesign_core::model::ServiceId;
use lifesign_core::spec::HeartbeatSpec;
use lifesign_core::time::Mono;
use lifesign_core::whatif::{LossNearby, Qos, Sent, Trial};
use lifesign_proto::trace::{Crash, Outage, ServiceTrace, TraceBeat};

/// Draws from 0 to less than 1.
type Draw = Box<dyn FnMut() -> f64>;

/// What is known of a service beside its heartbeats.
#[derive(Clone)]
struct About {
    id: ServiceId,
    ignored: u64,
    crashes: Vec<Crash>,
    outages: Vec<(Mono, Mono)>,
    seed: u64,
}

/// A service that can be played again and again, each time with the same chance.
///
/// Memory: 32 bytes for each heartbeat.
pub(super) struct Player {
    about: About,
    network: LossNearby<Draw>,
    /// The heartbeats that arrived, in the order of their arrival.
    order: Vec<u32>,
    chance: Rc<Cell<u64>>,
}

impl Player {
    /// Takes `service`; what is drawn depends on `seed` and on the service's name, so that a service played
    /// beside it changes nothing.
    pub(super) fn new(service: ServiceTrace, outages: &[Outage], seed: u64) -> Self {
        let name = service.id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let sent =
            |beat: &TraceBeat| Sent { at: beat.sent, delay: beat.received().map(|at| at.since(beat.sent)) };
        let about = About {
            id: service.id,
            ignored: service.ignored,
            crashes: service.crashes,
            outages: outages.iter().map(|outage| (outage.from, outage.until)).collect(),
            seed: seed ^ name,
        };
        Self::of(about, service.beats.iter().map(sent).collect())
    }

    fn of(about: About, beats: Vec<Sent>) -> Self {
        let mut order: Vec<u32> =
            (0_u32..).zip(&beats).filter(|(_, beat)| beat.delay.is_some()).map(|(index, _)| index).collect();
        order.sort_by_key(|index| beats.get(*index as usize).and_then(arrival));
        let chance = Rc::new(Cell::new(about.seed));
        let draws = Rc::clone(&chance);
        let draw: Draw = Box::new(move || draw(&draws));
        Self { network: LossNearby::new(beats, about.outages.clone(), draw), order, chance, about }
    }

    /// Whose it is.
    pub(super) fn id(&self) -> &ServiceId {
        &self.about.id
    }

    /// Heartbeats sent.
    pub(super) fn beats(&self) -> usize {
        self.network.beats().len()
    }

    /// Of these, lost.
    pub(super) fn lost(&self) -> usize {
        self.beats() - self.order.len()
    }

    /// Heartbeats that the trace left out because a dead service cannot have sent them.
    pub(super) fn ignored(&self) -> u64 {
        self.about.ignored
    }

    /// The same service with every second heartbeat left out.
    pub(super) fn halved(&self) -> Self {
        let beats = self.network.beats().iter().step_by(2).copied().collect();
        Self::of(self.about.clone(), beats)
    }

    /// Plays it against `spec`.
    pub(super) fn play(&mut self, spec: &HeartbeatSpec) -> Qos {
        self.chance.set(self.about.seed);
        let beats = self.network.beats();
        let first = beats.first().map_or(Mono::ZERO, |beat| beat.at);
        let last = beats.last().map_or(first, |beat| beat.at);
        let mut trial = Trial::new(spec, first);
        let mut end = last;
        let mut life = self
            .about
            .crashes
            .iter()
            .flat_map(|crash| [Some((crash.at, true)), crash.until.map(|back| (back, false))])
            .flatten()
            .peekable();
        for index in &self.order {
            let Some(beat) = self.network.beats().get(*index as usize).copied() else { continue };
            let Some(at) = arrival(&beat) else { continue };
            while let Some((when, dies)) = life.next_if(|(when, _)| *when <= at) {
                change(&mut trial, when, dies, &mut self.network);
                end = end.max(when);
            }
            // Heartbeats carry no number that lifesign could read.
            trial.beat(beat.at, at, None, &mut self.network);
        }
        for (when, dies) in life {
            change(&mut trial, when, dies, &mut self.network);
            end = end.max(when);
        }
        trial.finish(end, &mut self.network)
    }
}

fn change(trial: &mut Trial, at: Mono, dies: bool, network: &mut LossNearby<Draw>) {
    if dies { trial.crash(at, network) } else { trial.recover(at, network) }
}

fn arrival(beat: &Sent) -> Option<Mono> {
    Some(beat.at + beat.delay?)
}

/// From 0 to less than 1: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn draw(state: &Cell<u64>) -> f64 {
    let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    state.set(next);
    let mut x = next;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
