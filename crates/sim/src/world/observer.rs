//! The process of lifesign around the engine: its clocks, its queue, its stalls, its deaths and new lives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::Effect;
use lifesign_core::engine::{Engine, Past, STALL, TICK};
use lifesign_core::input::{DeliveryReport, Input};
use lifesign_core::model::ServiceId;
use lifesign_core::time::{Mono, Now, Wall};

use super::plan::{HostKind, Plan};
use super::service::EPOCH;
use super::store::Store;
use super::{Event, SECOND, World, truth};
use crate::fault::Fault;
use crate::oracle::Rule;

/// Heartbeats that wait for a stalled lifesign; as many as the queue of the server holds.
const QUEUE: usize = 4096;
/// Worlds whose seed is a multiple of this are replayed from their recorded inputs.
const REPLAYED: u64 = 8;
/// Most steps in one virtual second without an input: the tick, and a few timers for each service.
const STEPS: u64 = 64;

/// What lifesign is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Running,
    /// It does not run; whether what arrives is lost.
    Stalled(bool),
    /// There is no process.
    Down,
}

/// One life, as far as a replay needs it.
#[derive(Debug)]
struct Record {
    began: Now,
    past: Past,
    inputs: Vec<(Now, Input)>,
    effects: Vec<Effect>,
}

/// How often the engine was stepped in this second.
#[derive(Debug)]
struct Busy {
    began: Mono,
    ticks: u64,
}

/// Lifesign.
#[derive(Debug)]
pub(super) struct Observer {
    engine: Engine,
    status: Status,
    /// What it will read from the monotonic clock is the true time plus this.
    mono_offset: Duration,
    pub(super) wall_offset: i64,
    /// Parts in a million by which the wall clock is fast.
    wall_drift: f64,
    /// How late inputs are taken.
    pub(super) lag: Duration,
    queue: VecDeque<Input>,
    /// What was received and when, and waits because lifesign is overloaded; it is taken until then.
    taking: VecDeque<(Mono, Input)>,
    taken_until: Mono,
    /// How long the engine has run, all lives together, as its deadlines should see it.
    pub(super) run: Duration,
    last_mono: Option<Mono>,
    life: u32,
    pub(super) store: Store,
    pending: VecDeque<(Mono, Vec<Effect>)>,
    record: Option<Record>,
    recording: bool,
    busy: Busy,
}

impl Observer {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            engine: Engine::new(),
            status: Status::Down,
            mono_offset: Duration::from_secs(1_000_000),
            wall_offset: 0,
            wall_drift: if plan.faults.has(Fault::WallStep) { 50.0 } else { 0.0 },
            lag: Duration::ZERO,
            queue: VecDeque::new(),
            taking: VecDeque::new(),
            taken_until: Mono::ZERO,
            // Not zero, so that news from before the start has a place.
            run: Duration::from_secs(3600),
            last_mono: None,
            life: 0,
            store: Store::default(),
            pending: VecDeque::new(),
            record: None,
            recording: plan.seed.is_multiple_of(REPLAYED),
            busy: Busy { began: Mono::ZERO, ticks: 0 },
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// Which life of it this is.
    pub(super) fn life(&self) -> u32 {
        self.life
    }

    /// Whether there is a process.
    pub(super) fn is_up(&self) -> bool {
        self.status != Status::Down
    }

    /// Whether something that is sent now will be taken some time; what a link carries is sent again after a
    /// suspend.
    pub(super) fn hears(&self, linked: bool) -> bool {
        match self.status {
            Status::Running => true,
            Status::Stalled(lossy) => linked || !lossy,
            Status::Down => false,
        }
    }
}

impl World {
    fn clocks(&self) -> Now {
        self.clocks_at(self.now)
    }

    fn clocks_at(&self, at: Mono) -> Now {
        let observer = &self.observer;
        let millis = at.as_nanos() as f64 / 1e6 * (1.0 + observer.wall_drift / 1e6);
        #[expect(clippy::cast_possible_truncation, reason = "a few hours in milliseconds")]
        let wall = Wall::from_millis(EPOCH + millis as i64 + observer.wall_offset);
        Now { mono: at + observer.mono_offset, wall }
    }

    /// When the engine wants to be stepped, in true time.
    pub(super) fn engine_deadline(&self) -> Mono {
        // While inputs wait, the time of the engine is that of the oldest of them.
        if !self.observer.is_running() || !self.observer.taking.is_empty() {
            return Mono::NEVER;
        }
        self.observer.engine.next_deadline().back(self.observer.mono_offset)
    }

    /// Something reaches lifesign.
    pub(super) fn arrive(&mut self, input: Input, linked: bool) {
        if !self.observer.hears(linked) {
            return;
        }
        match self.observer.status {
            Status::Running if self.observer.lag.is_zero() && self.observer.taking.is_empty() => {
                self.step(input);
            }
            Status::Running => {
                let at = (self.now + self.observer.lag).max(self.observer.taken_until);
                self.observer.taking.push_back((self.now, input));
                self.observer.taken_until = at;
                self.at(at, Event::Take);
            }
            // Heartbeats of programs are refused by a full queue; an agent waits until it can tell what it has seen.
            Status::Stalled(_) if self.observer.queue.len() < QUEUE || !matches!(input, Input::Beat(_)) => {
                self.observer.queue.push_back(input);
            }
            Status::Stalled(_) | Status::Down => {}
        }
    }

    pub(super) fn take_next(&mut self) {
        if self.observer.is_running()
            && let Some((received, input)) = self.observer.taking.pop_front()
        {
            self.step_at(self.clocks_at(received), input);
        }
    }

    pub(super) fn stall(&mut self, span: Duration, lossy: bool) {
        if !self.observer.is_running() {
            return;
        }
        self.figures.stalls += 1;
        self.observer.status = Status::Stalled(lossy);
        self.after(span, Event::Wake);
    }

    pub(super) fn wake(&mut self) {
        if !matches!(self.observer.status, Status::Stalled(_)) {
            return;
        }
        self.observer.status = Status::Running;
        self.log(|| "lifesign runs again".to_owned());
        if self.chance.happens(0.3) {
            self.step(Input::Tick);
        }
        let taking = std::mem::take(&mut self.observer.taking);
        for input in
            taking.into_iter().map(|(_, input)| input).chain(std::mem::take(&mut self.observer.queue))
        {
            self.step(input);
        }
        self.step(Input::Tick);
    }

    /// Lifesign ends.
    pub(super) fn go_down(&mut self, span: Duration, killed: bool) {
        if !self.observer.is_running() {
            return;
        }
        self.figures.restarts += 1;
        if !killed {
            for (_, input) in std::mem::take(&mut self.observer.taking) {
                self.step(input);
            }
            while !self.observer.pending.is_empty() {
                self.commit_one();
            }
        }
        self.check_replay();
        self.observer.pending.clear();
        self.observer.taking.clear();
        self.observer.queue.clear();
        self.observer.status = Status::Down;
        self.observer.life += 1;
        for host in 0..self.plan.hosts.len() {
            self.truth.hosts[host].linked = false;
            self.truth.hosts[host].epoch += 1;
        }
        self.oracle.life_ends();
        self.after(span, Event::Boot);
    }

    /// Lifesign starts: takes over what the store knows, and its agents look at everything.
    pub(super) fn boot(&mut self) {
        let past = self.observer.store.past();
        // Each life may be after a start of the machine.
        self.observer.mono_offset = self.chance.time(10_000 * SECOND, 1_000_000 * SECOND);
        self.observer.engine = Engine::new();
        self.observer.status = Status::Running;
        self.observer.last_mono = None;
        let began = self.clocks();
        self.log(|| format!("lifesign starts, knows {} services", past.memories.len()));
        self.observer.record = self.observer.recording.then(|| Record {
            began,
            past: past.clone(),
            inputs: Vec::new(),
            effects: Vec::new(),
        });
        self.oracle.life_begins(&self.plan, &past, self.observer.run);
        self.observer.engine.restore(began, past);
        self.step(Input::Configure(Arc::clone(&self.plan.spec)));
        let services = self.observer.engine.services(began);
        self.oracle.adopt(&services, self.observer.run);
        for host in 0..self.plan.hosts.len() {
            match self.plan.hosts[host].kind {
                HostKind::Local => self.look_at_all(host),
                HostKind::Bare => {}
                HostKind::Remote => {
                    self.unreachable(host);
                    self.reachable(host);
                }
            }
        }
    }

    /// One step of the engine, and everything that follows from it.
    pub(super) fn step(&mut self, input: Input) {
        self.step_at(self.clocks(), input);
    }

    /// As [`World::step`], with clocks read when the input was received.
    fn step_at(&mut self, now: Now, input: Input) {
        let gap = self.observer.last_mono.map_or(Duration::ZERO, |last| now.mono.since(last));
        // An order may be taken before what was received earlier: the clock of the engine never goes back.
        self.observer.last_mono = self.observer.last_mono.max(Some(now.mono));
        self.observer.run += if gap > STALL { TICK } else { gap };
        if gap > STALL {
            self.oracle.stalled(self.observer.run);
        }
        self.figures.steps += 1;
        let run = self.observer.run;
        if self.trace.is_some() && !matches!(input, Input::Tick | Input::Configure(_)) {
            self.log(|| format!("  → {}", brief(&input)));
        }
        if matches!(input, Input::Beat(_)) {
            self.figures.beats += 1;
        }
        self.count_steps(&input);
        self.oracle.given(&self.plan, &input, run, now.wall);
        let about = subject(&input);
        let mut effects = Vec::new();
        if let Some(record) = &mut self.observer.record {
            record.inputs.push((now, input.clone()));
        }
        self.observer.engine.step(now, input, &mut effects);
        if self.observer.engine.next_deadline() <= now.mono {
            self.oracle.violate(Rule::Deadline, "the next deadline has passed already".to_owned());
        }
        if let Some(record) = &mut self.observer.record {
            record.effects.extend(effects.iter().cloned());
        }
        if !effects.is_empty() {
            for effect in &effects {
                if self.trace.is_some() {
                    self.log(|| brief_effect(effect));
                }
                self.ask_to_look(effect);
            }
            self.oracle.asked(&self.plan, &self.truth, &effects, run);
            self.keep(effects);
        }
        self.oracle.counted(self.observer.engine.counts());
        if let Some(view) = about.and_then(|service| self.observer.engine.service(service.as_str(), now)) {
            self.oracle.shown(&view);
        }
    }

    /// Ticks must not come faster than there is something to do.
    fn count_steps(&mut self, input: &Input) {
        let services = self.plan.services.len() as u64;
        let busy = &mut self.observer.busy;
        if self.now.since(busy.began) >= SECOND {
            *busy = Busy { began: self.now, ticks: 0 };
        }
        busy.ticks += u64::from(matches!(input, Input::Tick));
        if busy.ticks > STEPS + 8 * services {
            let text = format!("{} ticks within a second", busy.ticks);
            self.oracle.violate(Rule::Deadline, text);
        }
    }

    /// Hands effects to the store.
    fn keep(&mut self, effects: Vec<Effect>) {
        let kept: Vec<Effect> =
            effects.into_iter().filter(|effect| !matches!(effect, Effect::LookNow(_))).collect();
        if kept.is_empty() {
            return;
        }
        let takes = if self.plan.faults.has(Fault::SlowStore) {
            self.chance.scale(SECOND / 1000, 5 * SECOND)
        } else {
            self.chance.time(SECOND / 1000, SECOND / 50)
        };
        let busy = self.observer.pending.back().map_or(Mono::ZERO, |(at, _)| *at);
        let at = (self.now + takes).max(busy);
        self.observer.pending.push_back((at, kept));
        let life = self.observer.life;
        self.at(at, Event::Commit(life));
    }

    pub(super) fn commit(&mut self, life: u32) {
        if life != self.observer.life {
            return;
        }
        match self.observer.status {
            // The store stands still with the rest of lifesign.
            Status::Stalled(_) => self.after(SECOND / 10, Event::Commit(life)),
            Status::Running | Status::Down => self.commit_one(),
        }
    }

    fn commit_one(&mut self) {
        let Some((_, effects)) = self.observer.pending.pop_front() else { return };
        let run = self.observer.run;
        for effect in &effects {
            let new = self.observer.store.apply(effect);
            if let Err(why) = self.oracle.books.written(effect, new, run, self.now) {
                self.oracle.violate(Rule::Books, why);
            }
        }
        if let Err(why) = self.oracle.books.balance(&self.observer.store) {
            self.oracle.violate(Rule::Books, why);
        }
        for effect in effects {
            match effect {
                Effect::Act(action) => {
                    if let Some(service) = truth::index(action.service.as_str()) {
                        self.act(service, action.id);
                    }
                }
                Effect::Notify(notification) => {
                    self.figures.notifications += 1;
                    let report = DeliveryReport {
                        id: notification.id,
                        incident: notification.incident,
                        receiver: notification.receiver,
                        attempt: 1,
                        delivered: true,
                        answer: String::new(),
                    };
                    let wait = self.chance.time(SECOND / 100, SECOND / 2);
                    self.after(wait, Event::Arrive(Input::Delivery(report), true));
                }
                Effect::Incident(incident) if incident.closed_at.is_some() => {
                    self.figures.incidents += 1;
                    self.figures.group_incidents +=
                        u64::from(truth::index(incident.service_id.as_str()).is_none());
                }
                _ => {}
            }
        }
    }

    /// What the engine and the plan say of the service that a violation is about.
    pub(super) fn log_subject(&mut self) {
        let Some(id) = self.oracle.violation().and_then(|found| found.text.split(' ').next()) else { return };
        let Some(service) = truth::index(id).filter(|service| *service < self.plan.services.len()) else {
            return;
        };
        let spec = format!("{:?}", self.plan.spec.services[service]);
        let explained = self.observer.engine.explain(&format!("s{service}"), self.clocks());
        self.log(|| spec);
        for fact in explained.into_iter().flat_map(|explanation| explanation.facts) {
            self.log(|| format!("explained: {}", fact.text));
        }
    }

    /// The same inputs at the same times give the same effects.
    pub(super) fn check_replay(&mut self) {
        let Some(record) = self.observer.record.take() else { return };
        let mut engine = Engine::new();
        engine.restore(record.began, record.past);
        let mut effects = Vec::new();
        for (now, input) in record.inputs {
            engine.step(now, input, &mut effects);
        }
        if effects != record.effects {
            let at = effects.iter().zip(&record.effects).position(|(one, other)| one != other);
            self.oracle.violate(Rule::Replay, format!("the replay differs from effect {at:?} on"));
        }
    }
}

/// The service whose view is looked at after this input.
fn subject(input: &Input) -> Option<ServiceId> {
    match input {
        Input::Unit { service, .. } | Input::Check { service, .. } => Some(service.clone()),
        Input::ActionDone(report) => Some(report.service.clone()),
        Input::Late { input, .. } => match &**input {
            Input::Beat(beat) => Some(beat.service.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn brief(input: &Input) -> String {
    match input {
        Input::Beat(beat) => format!("beat {} {:?} age {:?}", beat.service, beat.status, beat.age),
        Input::Unit { service, report } => format!("unit {service} {:?}", report.state),
        Input::Check { service, check, report } => format!("check {service}/{check} {:?}", report.outcome),
        other => format!("{other:?}"),
    }
}

fn brief_effect(effect: &Effect) -> String {
    match effect {
        Effect::Transition(t) => {
            format!("        ← {} {} → {} {:?}: {}", t.service, t.from, t.to, t.reason, t.detail)
        }
        Effect::Incident(i) => {
            format!("        ← incident {} of {} {:?} closed {:?}", i.id, i.service_id, i.reason, i.closed_at)
        }
        Effect::Timeline { incident, entry } => {
            format!("        ← timeline {incident}: {} {}", entry.what, entry.detail)
        }
        Effect::Alert(a) => {
            let labels: Vec<&str> = a.labels.iter().map(|(_, value)| value.as_ref()).collect();
            format!("        ← alert {:?} {} {}", a.state, a.fingerprint, labels.join(" "))
        }
        Effect::Notify(n) => {
            let told: Vec<String> =
                n.alerts.iter().map(|alert| format!("{} {:?}", alert.fingerprint, alert.state)).collect();
            format!("        ← notify {} {:?}: {}", n.receiver, n.reason, told.join(", "))
        }
        Effect::Act(a) => format!("        ← act {} by {}", a.service, a.by),
        Effect::LookNow(id) => format!("        ← look now {id}"),
        Effect::Remember(m) => {
            format!("        ← remember {} {} silence {:?}", m.service, m.state, m.silence)
        }
        Effect::Audit(a) => format!("        ← audit {} {} {}", a.action, a.target, a.detail),
    }
}
