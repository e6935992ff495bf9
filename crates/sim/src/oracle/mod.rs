//! The judge. It knows what really is, hears what the engine is told and what it asks for, and holds one against
//! the other. It shares no rule with the engine's code: what is promised stands here a second time, in the words
//! of the contract.
//!
//! Times are *run time*: how long lifesign has really run, all its lives together. A stall, a suspend or a
//! restart takes none of it (a stall of more than half a second counts as a quarter), so a bound in run time
//! says: not later than promised, given that we looked.

pub mod books;
mod bounds;
mod evidence;
mod judge;
mod promises;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::engine::Past;
use lifesign_core::model::{Reason, State};
use lifesign_core::time::Wall;
use lifesign_core::view::{Counts, ServiceView};

use self::books::Books;
use self::evidence::Evidence;
use crate::world::plan::Plan;
use crate::world::truth::{self, Truth};

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A service is dead or hung for longer than was promised, and nobody is told.
    Missed,
    /// `down`, `degraded` or an incident, and nothing in the world is to blame.
    False,
    /// A heart was given up before its time.
    Early,
    /// A service is well for long, and is not `up`, or its incident is still open.
    Recovery,
    /// A restart that was not to be.
    Restart,
    /// What is shown of a source of evidence is not what it said.
    Evidence,
    /// An incident was closed before its service had proven itself.
    Proof,
    /// Incidents, alerts and notifications do not add up.
    Books,
    /// The counts are not the sum of the states, or a transition starts from another state.
    Counts,
    /// The engine wants to be woken in the past, or again and again.
    Deadline,
    /// The same inputs gave other effects.
    Replay,
}

/// A broken promise.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// In words.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// What the oracle knows of one service.
#[derive(Debug, Clone)]
struct Watch {
    /// What the engine says.
    state: State,
    reason: Option<Reason>,
    /// Run time since which.
    since: Duration,
    incident: Option<u64>,
    /// Run time at which something in the world last made it look ill; `troubled`: it does now.
    cause: Duration,
    troubled: bool,
    /// Run time at which an operator last stopped it.
    stop: Option<Duration>,
    /// Run time since which its present trouble lasts.
    bad_since: Duration,
    /// Run time before which nothing could be held against it.
    quiet: Duration,
    /// The same, all lives of lifesign together: a start of lifesign excuses nobody.
    hush: Duration,
    /// Run time of the last heartbeat in any life.
    last_beat: Duration,
    /// Run time before which it could not be expected to be `up`.
    well: Duration,
    /// Run time of its last heartbeat in this life, and the interval that it announced.
    beat: Option<Duration>,
    interval: Option<Duration>,
    /// Beats since the engine learnt of its process.
    beats: u32,
    /// Whether one of them was no late news.
    fresh: bool,
    /// When it was last heard, by the clock of lifesign.
    heard_at: Option<Wall>,
    /// Run time of the last beat with progress, and its count.
    progress: (Duration, Option<u64>),
    /// Run time since which its beats say *fail*.
    failing: Option<Duration>,
    /// The last beat announced a stop: until the next one nobody knows that it should run.
    announced_stop: bool,
    /// It was heard in some life, and that is written down.
    known: bool,
    /// The process that was listened to in an earlier life, as far as that is written down.
    listened_to: Option<u32>,
    /// What its unit and its checks said.
    evidence: Evidence,
    /// Run time at which the order for a restart left, until it is answered.
    acting: Option<Duration>,
    /// The restart that was ordered in this life and not answered, and the run time of its order.
    order: Option<(Arc<str>, Duration)>,
    /// Its process when its incident opened; not known for incidents of an earlier life.
    process_at_open: Option<u32>,
    /// Run time of the first good answer of the application since it is suspect.
    answered: Option<Duration>,
    paused: bool,
    /// Run times at which incidents opened, for flapping.
    opened: Vec<Duration>,
}

/// The oracle.
#[derive(Debug)]
pub struct Oracle {
    watches: Vec<Watch>,
    counts: Counts,
    /// Open incidents about hosts and the network, by their service id.
    groups: Vec<(String, u64)>,
    /// What is written down.
    pub books: Books,
    violation: Option<Violation>,
    /// The engine is starting; what it says is taken over as a whole.
    adopting: bool,
    /// Run times at which lifesign started.
    lives: Vec<Duration>,
    /// Run time at which each host was last away: standing still, cut off, or without its agent.
    away: Vec<Option<Duration>>,
    /// Run time at which the last stall of lifesign ended.
    stalled: Duration,
    /// Hosts whose agent is given up.
    lost: Vec<bool>,
}

impl Watch {
    /// Until then nothing could be held against it.
    fn excuse(&mut self, until: Duration) {
        self.quiet = self.quiet.max(until);
        self.hush = self.hush.max(until);
    }
}

impl Oracle {
    /// An oracle of a plan's world.
    pub fn new(plan: &Plan) -> Self {
        let watch = Watch {
            state: State::Pending,
            reason: None,
            since: Duration::ZERO,
            incident: None,
            cause: Duration::ZERO,
            troubled: false,
            stop: None,
            bad_since: Duration::ZERO,
            quiet: Duration::ZERO,
            hush: Duration::ZERO,
            last_beat: Duration::ZERO,
            well: Duration::ZERO,
            beat: None,
            interval: None,
            beats: 0,
            fresh: false,
            heard_at: None,
            progress: (Duration::ZERO, None),
            failing: None,
            announced_stop: false,
            known: false,
            listened_to: None,
            evidence: Evidence::default(),
            acting: None,
            order: None,
            process_at_open: None,
            answered: None,
            paused: false,
            opened: Vec::new(),
        };
        Self {
            watches: vec![watch; plan.services.len()],
            counts: Counts::default(),
            groups: Vec::new(),
            books: Books::new(plan),
            violation: None,
            adopting: true,
            lives: Vec::new(),
            away: vec![None; plan.hosts.len()],
            stalled: Duration::ZERO,
            lost: vec![false; plan.hosts.len()],
        }
    }

    /// The first promise that was broken.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Takes it out.
    pub fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    /// A promise was broken; the first one counts.
    pub fn violate(&mut self, rule: Rule, text: String) {
        self.violation.get_or_insert(Violation { rule, text });
    }

    /// The open incident of a service, as the engine says.
    pub fn open_incident(&self, service: usize) -> Option<u64> {
        self.watches[service].incident
    }

    /// Lifesign runs again after it did not.
    pub fn stalled(&mut self, run: Duration) {
        self.stalled = run;
    }

    /// Lifesign ends.
    pub fn life_ends(&mut self) {
        self.adopting = true;
        for watch in &mut self.watches {
            watch.acting = None;
            watch.order = None;
        }
    }

    /// Lifesign starts. `past`: what is written down.
    pub fn life_begins(&mut self, plan: &Plan, past: &Past, run: Duration) {
        self.adopting = true;
        self.lives.push(run);
        self.lost.fill(false);
        self.books.life_begins(run);
        for (watch, spec) in self.watches.iter_mut().zip(&plan.spec.services) {
            watch.quiet = watch.quiet.max(run);
            watch.well = watch.well.max(run);
            watch.beat = None;
            watch.beats = 0;
            watch.fresh = false;
            watch.failing = None;
            watch.evidence = Evidence::of_a_new_life(spec, run);
            let memory = past.memories.iter().find(|memory| memory.service == spec.id);
            watch.listened_to = memory.and_then(|memory| memory.process).map(|process| process.pid);
            watch.process_at_open = None;
            watch.answered = None;
            watch.progress = (run, None);
        }
    }

    /// Takes over what the engine says after a start.
    pub fn adopt(&mut self, services: &[ServiceView], run: Duration) {
        self.adopting = false;
        self.counts = Counts::default();
        for (service, view) in services.iter().enumerate() {
            let watch = &mut self.watches[service];
            watch.state = view.state;
            watch.reason = view.reason;
            watch.since = run;
            watch.incident = view.incident_id.map(|id| id.0);
            watch.paused = view.paused;
            watch.known = view.last_heartbeat_at.is_some();
            watch.heard_at = view.last_heartbeat_at;
            // An announced stop is remembered with the state it led to.
            watch.announced_stop &=
                (view.state, view.reason) == (State::Down, Some(Reason::StoppedByOperator));
            watch.progress.0 = run;
            bump(&mut self.counts, view.state, 1);
        }
        self.groups.retain(|(id, _)| self.books.is_open(id));
    }

    /// Something in the world changed a service.
    pub fn truth_changed(&mut self, plan: &Plan, truth: &Truth, service: usize, run: Duration) {
        let now = &truth.services[service];
        let watch = &mut self.watches[service];
        if now.trouble.is_some() {
            watch.bad_since = run;
        }
        if now.trouble == Some(crate::world::plan::Trouble::Stopped) {
            watch.stop = Some(run);
        }
        if watch.troubled {
            watch.cause = run;
        }
        watch.well = watch.well.max(run);
        watch.troubled = truth.is_troubled(plan, service);
        if watch.troubled {
            watch.cause = run;
        }
    }

    /// Something in the world changed hosts or the network.
    pub fn note_causes(&mut self, plan: &Plan, truth: &Truth, run: Duration) {
        for (host, away) in self.away.iter_mut().enumerate() {
            if truth.is_unreachable(plan, host) {
                *away = Some(run);
            }
        }
        for (service, watch) in self.watches.iter_mut().enumerate() {
            let troubled = truth.is_troubled(plan, service);
            if troubled || watch.troubled {
                watch.cause = watch.cause.max(run);
                watch.well = watch.well.max(run);
            }
            watch.troubled = troubled;
        }
    }

    /// The network lost something of a service.
    pub fn harmed(&mut self, service: usize, run: Duration) {
        self.harmed_until(service, run);
    }

    /// The network delays something of a service until then.
    pub fn harmed_until(&mut self, service: usize, until: Duration) {
        let watch = &mut self.watches[service];
        watch.cause = watch.cause.max(until);
        watch.well = watch.well.max(until);
    }

    /// The engine's own counts after a step.
    pub fn counted(&mut self, counts: Counts) {
        if !self.adopting && counts != self.counts {
            let text = format!("{counts:?}, and the sum of the states is {:?}", self.counts);
            self.violate(Rule::Counts, text);
        }
    }

    /// Whether an incident about a host, or about the network, is open.
    fn is_group_open(&self, host: &str) -> bool {
        self.groups.iter().any(|(id, _)| id == "network" || id.strip_prefix("host.") == Some(host))
    }
}

/// Changes the count of a state.
fn bump(counts: &mut Counts, state: State, change: i32) {
    let counter = match state {
        State::Pending => &mut counts.pending,
        State::Up => &mut counts.up,
        State::Degraded => &mut counts.degraded,
        State::Suspect => &mut counts.suspect,
        State::Down => &mut counts.down,
        State::Unknown => &mut counts.unknown,
    };
    *counter = counter.saturating_add_signed(change);
}

/// The number of a service, where an id is one.
fn service_of(id: &str) -> Option<usize> {
    truth::index(id)
}
