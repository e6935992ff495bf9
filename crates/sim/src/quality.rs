//! The quality of detectors side by side: every row sees the same heartbeats, in one pass over each trace.
//!
//! `rows` says who takes part, [`measure`] plays a trace against them, [`targets`] judges what came of it, and
//! [`mod@reference`] holds the published detectors against the reference's own table.

pub mod reference;
pub mod targets;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lifesign_core::detect::{Adaptive, Chen, Detector, Fixed};
use lifesign_core::spec::{DetectorSpec, HeartbeatSpec, Mode, Profile};
use lifesign_core::time::Mono;
use lifesign_core::whatif::{Path, Qos, Trial};

use crate::draws::Draws;
use crate::published;
use crate::trace::{Beat, Recipe, Trace};

/// Arrivals that are learnt from before anything is counted, as in the reference.
const WARM_UP: u64 = 2000;
/// Heartbeats that each row takes before the next row has its turn: they stay in the cache.
const CHUNK: usize = 1024;

/// A detector that takes part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Row {
    /// So many hundredths of an interval after the last arrival.
    Fixed(u32),
    /// Chen's NFD-E, window 1000, α in hundredths of an interval.
    Chen(u32),
    /// 2W-FD with windows of 1 and 1000, margin in hundredths of an interval.
    TwoWindows(u32),
    /// Bertier.
    Bertier,
    /// φ = 8 by the logistic approximation.
    Phi,
    /// φ = 8 by the normal law.
    PhiExact,
    /// Akka's defaults.
    Akka,
    /// chitchat's.
    Chitchat,
    /// Cassandra's.
    Cassandra,
    /// The default's suspicion, taken as a verdict so many hundredths of an interval later.
    Suspicion(u32),
    /// The reference's sketch: suspicion, so many hundredths of an interval of slack, and so many probes at
    /// every tenth of one, of which each fails as often as a single packet is lost.
    Sketch(u32, u32),
    /// A profile of the default detector.
    Profile(Profile),
    /// The default with `confirm: off`.
    Unconfirmed,
}

impl Row {
    /// How it is called in the tables.
    pub fn name(self) -> String {
        let part = |hundredths: u32| f64::from(hundredths) / 100.0;
        match self {
            Self::Fixed(k) => format!("fixed {} x interval", part(k)),
            Self::Chen(alpha) => format!("Chen w1000, margin {}", part(alpha)),
            Self::TwoWindows(margin) => format!("2W-FD 1/1000, margin {}", part(margin)),
            Self::Bertier => "Bertier".to_owned(),
            Self::Phi => "phi 8 normal (logistic)".to_owned(),
            Self::PhiExact => "phi 8 normal (exact)".to_owned(),
            Self::Akka => "Akka-like phi 8, pause 3".to_owned(),
            Self::Chitchat => "chitchat 8 mean gaps".to_owned(),
            Self::Cassandra => "Cassandra phi 8".to_owned(),
            Self::Suspicion(0) => "adaptive, suspicion alone".to_owned(),
            Self::Suspicion(slack) => format!("adaptive, suspicion + {}", part(slack)),
            Self::Sketch(slack, probes) => format!("sketch, slack {} + {probes} probes", part(slack)),
            Self::Profile(Profile::Fast) => "lifesign fast".to_owned(),
            Self::Profile(Profile::Default) => "lifesign default".to_owned(),
            Self::Profile(Profile::Strict) => "lifesign strict".to_owned(),
            Self::Unconfirmed => "lifesign, confirm off".to_owned(),
        }
    }

    /// It, ready for a trace.
    fn watch(self, interval: Duration) -> Watch {
        let part = |hundredths: u32| interval * hundredths / 100;
        let passive =
            |detector: Box<dyn Detector>| Watch::Passive(Box::new(Passive::new(detector, interval)));
        match self {
            Self::Fixed(k) => passive(Box::new(Fixed::new(part(k)))),
            Self::Chen(alpha) => passive(Box::new(Chen::new(interval, part(alpha), published::WINDOW))),
            Self::TwoWindows(margin) => passive(Box::new(published::TwoWindows::new(interval, part(margin)))),
            Self::Bertier => passive(Box::new(published::Bertier::new(interval))),
            Self::Phi => passive(Box::new(published::phi(interval, 8.0))),
            Self::PhiExact => passive(Box::new(published::phi_exact(interval, 8.0))),
            Self::Akka => passive(Box::new(published::akka(interval))),
            Self::Chitchat => passive(Box::new(published::chitchat(interval))),
            Self::Cassandra => passive(Box::new(published::cassandra(interval))),
            Self::Suspicion(0) => passive(Box::new(Adaptive::new(interval))),
            Self::Suspicion(slack) => passive(Box::new(published::Slack::new(interval, part(slack)))),
            Self::Sketch(slack, probes) => {
                let detector = Box::new(published::Slack::new(interval, part(slack)));
                Watch::Passive(Box::new(Passive { probes, ..Passive::new(detector, interval) }))
            }
            Self::Profile(profile) => trial(interval, profile, true),
            Self::Unconfirmed => trial(interval, Profile::Default, false),
        }
    }
}

/// What a configuration with nothing but `interval` and `profile` means.
pub fn spec(interval: Duration, profile: Profile, confirm: bool) -> HeartbeatSpec {
    HeartbeatSpec {
        interval,
        mode: Mode::Fixed,
        timeout: interval * 3,
        retries: 2,
        detector: DetectorSpec::Adaptive(profile),
        confirm,
        ..HeartbeatSpec::never()
    }
}

fn trial(interval: Duration, profile: Profile, confirm: bool) -> Watch {
    let spec = spec(interval, profile, confirm);
    Watch::Heart(Box::new(Trial::new(&spec, Mono::ZERO).after_warm_up(WARM_UP)))
}

/// A row at work.
enum Watch {
    Passive(Box<Passive>),
    Heart(Box<Trial>),
}

/// A detector whose freshness point is its verdict, or is followed by a few probes.
struct Passive {
    detector: Box<dyn Detector>,
    qos: Qos,
    interval: Duration,
    /// When the sender is suspected.
    until: Mono,
    last_sent: Mono,
    last_seq: Option<u64>,
    seen: u64,
    begin: Mono,
    probes: u32,
}

impl Passive {
    fn new(detector: Box<dyn Detector>, interval: Duration) -> Self {
        Self {
            detector,
            qos: Qos::new(interval),
            interval,
            until: Mono::NEVER,
            last_sent: Mono::ZERO,
            last_seq: None,
            seen: 0,
            begin: Mono::ZERO,
            probes: 0,
        }
    }

    fn beat(&mut self, beat: &Beat, trace: &Trace, draws: &mut Draws) {
        if self.last_seq.is_some_and(|last| beat.seq <= last) {
            return;
        }
        let probing = self.interval / 10 * self.probes;
        let counts = self.seen > WARM_UP;
        if counts && beat.arrived > self.until + probing {
            self.mistake(beat.arrived, self.until + probing, trace, draws);
        }
        self.until = self.detector.arrival(beat.arrived, beat.seq);
        (self.last_sent, self.last_seq) = (beat.sent, Some(beat.seq));
        self.seen += 1;
        if counts {
            self.qos.worst_phase.add((self.until + probing).since(beat.sent));
        } else {
            self.begin = beat.arrived;
        }
    }

    #[cold]
    fn mistake(&mut self, heard: Mono, begin: Mono, trace: &Trace, draws: &mut Draws) {
        let answered = (0..self.probes).any(|probe| {
            self.qos.questions += 1;
            trace.passes(self.until + self.interval / 10 * probe, draws)
        });
        if answered {
            return;
        }
        let outage = trace.path(draws).was_out(self.last_sent, begin);
        *(if outage { &mut self.qos.in_outages } else { &mut self.qos.avoidable }) += 1;
        self.qos.mistaken += heard.since(begin);
    }
}

/// Plays `trace` against `rows`; their figures in the same order. `seed` decides what becomes of questions.
pub fn measure(mut trace: Trace, rows: &[Row], seed: u64) -> Vec<Qos> {
    let interval = trace.recipe().interval();
    let mut watches: Vec<(Watch, Draws)> =
        (1..).zip(rows).map(|(n, row)| (row.watch(interval), Draws::mixed(seed ^ (n << 32)))).collect();
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        chunk.extend(trace.by_ref().take(CHUNK));
        if chunk.is_empty() {
            break;
        }
        for (watch, draws) in &mut watches {
            match watch {
                Watch::Passive(passive) => chunk.iter().for_each(|beat| passive.beat(beat, &trace, draws)),
                Watch::Heart(trial) => {
                    let mut path = trace.path(draws);
                    for Beat { seq, sent, arrived } in &chunk {
                        trial.beat(*sent, *arrived, Some(*seq), &mut path);
                    }
                }
            }
        }
    }
    let end = trace.sent();
    watches
        .into_iter()
        .map(|(watch, mut draws)| match watch {
            Watch::Passive(mut passive) => {
                passive.qos.observed = end.since(passive.begin);
                passive.qos
            }
            Watch::Heart(trial) => trial.finish(end, &mut trace.path(&mut draws)),
        })
        .collect()
}

/// A trace to be measured, in independent parts.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its recipe.
    pub recipe: Recipe,
    /// Heartbeats of each part.
    pub beats: u64,
    /// Number of parts.
    pub parts: u64,
    /// Whether it is the reference's own trace (then it has one part).
    pub reference: bool,
    /// Who takes part.
    pub rows: Vec<Row>,
}

/// Carries out all plans, as many parts at a time as there are processors; figures per plan and row.
pub fn carry_out(plans: &[Plan], seed: u64) -> Vec<Vec<Qos>> {
    let parts: Vec<(usize, u64)> = plans
        .iter()
        .enumerate()
        .flat_map(|(plan, Plan { parts, .. })| (0..*parts).map(move |part| (plan, part)))
        .collect();
    let done: Mutex<Vec<(usize, u64, Vec<Qos>)>> = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((plan, part)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Plan { recipe, beats, reference, rows, .. } = &plans[*plan];
                    let seed = seed.wrapping_mul(1000).wrapping_add(*part);
                    let trace = if *reference {
                        Trace::reference(*recipe, *beats)
                    } else {
                        Trace::new(*recipe, *beats, seed)
                    };
                    let figures = measure(trace, rows, seed);
                    if let Ok(mut done) = done.lock() {
                        done.push((*plan, *part, figures));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(plan, part, _)| (*plan, *part));
    let mut all: Vec<Vec<Qos>> = plans
        .iter()
        .map(|plan| plan.rows.iter().map(|_| Qos::new(plan.recipe.interval())).collect())
        .collect();
    for (plan, _, figures) in done {
        for (sum, part) in all[plan].iter_mut().zip(&figures) {
            sum.merge(part);
        }
    }
    all
}
