//! A monitor that was stalled or suspended for a minute, restarted, or had its clock stepped by an hour makes no
//! mistake, at any number of services.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::Effect;
use lifesign_core::engine::{Engine, Past};
use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::{ServiceId, State};
use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Profile, ServiceSpec, Spec, Terms};
use lifesign_core::time::{Mono, Now, Wall};
use lifesign_sim::world::store::Store;

const INTERVAL: u64 = 10_000;
const MINUTE: u64 = 60_000;
const HOUR: i64 = 3_600_000;

/// Punctual senders, each with its own phase, and the lifesign that hears them.
struct Watched {
    ids: Vec<ServiceId>,
    spec: Arc<Spec>,
    engine: Engine,
    store: Store,
    /// Milliseconds since the beginning.
    now: u64,
    wall_offset: i64,
    mistakes: Vec<String>,
    missing: Vec<bool>,
}

impl Watched {
    fn new(services: usize, detector: DetectorSpec) -> Self {
        let ids: Vec<ServiceId> =
            (0..services).map(|n| ServiceId::new(&format!("s{n}")).expect("the letters of an id")).collect();
        let heartbeat = HeartbeatSpec {
            interval: Duration::from_millis(INTERVAL),
            timeout: Duration::from_millis(if detector == DetectorSpec::Fixed { 15_000 } else { 30_000 }),
            detector,
            confirm: true,
            ..HeartbeatSpec::never()
        };
        let service = |id: &ServiceId| {
            ServiceSpec::new(
                id.clone(),
                Terms {
                    heartbeat: Some(heartbeat.clone()),
                    alert_on_degraded: true,
                    start_grace: Duration::from_secs(10),
                    ..Terms::on("web".into())
                },
            )
        };
        let spec = Spec {
            services: ids.iter().map(service).collect(),
            receivers: vec!["hook".into()],
            ..Spec::default()
        };
        let mut watched = Self {
            missing: vec![false; services],
            ids,
            spec: Arc::new(spec),
            engine: Engine::new(),
            store: Store::default(),
            now: 0,
            wall_offset: 0,
            mistakes: Vec::new(),
        };
        watched.give(Input::Configure(Arc::clone(&watched.spec)));
        watched.runs(5 * INTERVAL);
        watched
    }

    fn clocks(&self) -> Now {
        let wall = 1_700_000_000_000 + i64::try_from(self.now).expect("a few minutes") + self.wall_offset;
        Now { mono: Mono::from_millis(1_000_000 + self.now), wall: Wall::from_millis(wall) }
    }

    fn give(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.engine.step(self.clocks(), input, &mut effects);
        for effect in effects {
            if let Effect::Transition(transition) = &effect
                && transition.to == State::Down
            {
                self.mistakes.push(format!("{}: {}", transition.service, transition.detail));
            }
            self.store.apply(&effect);
        }
    }

    /// Time passes; `heard`: lifesign runs, and hears what is sent.
    fn pass(&mut self, millis: u64, heard: bool) {
        let services = self.ids.len() as u64;
        for _ in 0..millis / 250 {
            // Those whose turn falls into this quarter of a second.
            let (from, to) = (self.now % INTERVAL, self.now % INTERVAL + 250);
            if heard {
                let first = (from * services).div_ceil(INTERVAL);
                let end = (to * services).div_ceil(INTERVAL);
                for n in first..end.min(services) {
                    let n = usize::try_from(n).expect("a few thousand");
                    if !self.missing[n] {
                        self.give(Input::Beat(Beat::alive(self.ids[n].clone())));
                    }
                }
            }
            self.now += 250;
            if heard {
                self.give(Input::Tick);
            }
        }
    }

    fn runs(&mut self, millis: u64) {
        self.pass(millis, true);
    }

    fn is_away(&mut self, millis: u64) {
        self.pass(millis, false);
    }

    fn restarts(&mut self) {
        let past: Past = self.store.past();
        self.engine = Engine::new();
        let now = self.clocks();
        self.engine.restore(now, past);
        self.give(Input::Configure(Arc::clone(&self.spec)));
    }

    fn makes_no_mistake(&mut self, what: &str) {
        self.runs(2 * MINUTE);
        let first: Vec<&String> = self.mistakes.iter().take(3).collect();
        assert!(self.mistakes.is_empty(), "{what}, {} services: {first:?}", self.ids.len());
        let up = self.engine.counts().up as usize;
        assert_eq!(up, self.ids.len(), "{what}: all are up afterwards");
        // It is not blind for being patient: one that dies now is noticed.
        self.missing[0] = true;
        self.runs(MINUTE);
        assert_eq!(self.mistakes.len(), 1, "{what}: the one that died is noticed, and no other");
    }
}

fn each(what: &str, fault: impl Fn(&mut Watched)) {
    for services in [1, 100, 10_000] {
        for detector in [DetectorSpec::Fixed, DetectorSpec::Adaptive(Profile::Default)] {
            let mut watched = Watched::new(services, detector);
            fault(&mut watched);
            watched.makes_no_mistake(what);
        }
    }
}

#[test]
fn a_minute_away_makes_no_mistake() {
    each("away for a minute", |watched| watched.is_away(MINUTE));
}

#[test]
fn a_restart_makes_no_mistake() {
    each("restarted after five seconds", |watched| {
        watched.is_away(5000);
        watched.restarts();
    });
}

#[test]
fn a_clock_stepped_by_an_hour_makes_no_mistake() {
    each("an hour forward", |watched| watched.wall_offset += HOUR);
    each("an hour back", |watched| watched.wall_offset -= HOUR);
}

#[test]
fn all_of_it_together_makes_no_mistake() {
    each("away, restarted, stepped", |watched| {
        watched.is_away(MINUTE);
        watched.runs(1000);
        watched.restarts();
        watched.wall_offset += HOUR;
        watched.runs(3 * INTERVAL);
        watched.is_away(MINUTE);
        watched.wall_offset -= 2 * HOUR;
    });
}
