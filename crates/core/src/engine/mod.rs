//! The engine: takes inputs, keeps the truth about every service, asks for effects.
//!
//! `mod.rs` holds the table of services and the way of each input; `configure` what a (re)load changes in it;
//! `clock` the engine's own time, `timers` who is woken when; `beats` the way of heartbeats; `budget` how much may
//! be asked at suspicion; `hosts` the table of hosts; `service` one service and its evidence, `rare` how what few
//! of them need is kept; `jobs` its runs where it is a job; `judge` the states that follow from it; `last_words`
//! what is left at its end; `topology` what many silent services say about their hosts; `incident` and `restart`
//! what is made of a state; `memory` what the next life is to know; `orders` what people want; `names` those of
//! metrics, `rules` the rules over them; `views`, `explain` and `describe` what people see.
//!
//! **Time.** The engine lives in *virtual* time: the monotonic clock less every stretch in which the engine
//! itself did not run. The shell steps it at least every [`TICK`]; a longer gap was our own stall, a
//! suspended machine or a stopped process, and moves every deadline by itself instead of killing services.

mod beats;
mod budget;
mod clock;
mod configure;
mod describe;
mod explain;
mod hosts;
mod incident;
mod jobs;
mod judge;
mod last_words;
mod memory;
mod names;
mod orders;
mod rare;
mod restart;
mod rules;
mod service;
#[cfg(test)]
mod tests;
mod timers;
mod topology;
mod views;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::budget::Budget;
use self::clock::VirtualClock;
pub use self::explain::CODES as EXPLAIN_CODES;
use self::hosts::Hosts;
use self::last_words::output_of;
use self::memory::SNAPSHOT_SILENT;
use self::names::Names;
use self::rules::Rules;
use self::service::Service;
use self::timers::Wake;
use self::topology::Network;
use crate::detect::Heart;
use crate::dispatch::Dispatcher;
use crate::effect::{Alert, AuditEntry, Effect, Incident, Memory, Notification, TimelineEntry};
use crate::evidence::{Beat, BeatStatus, CheckReport, Exit, HostSample, UnitFacts, UnitReport, UnitState};
use crate::input::{ALONE, ActionReport, DeliveryReport, Input, Refusal};
use crate::model::{IncidentId, ServiceId, ServiceIx, State};
use crate::mutation::{Rule, on};
use crate::remedy::Step;
use crate::spec::Unknown;
use crate::time::{Mono, Now, Wall};
use crate::view::Counts;

/// The shell steps the engine at least this often, with [`Input::Tick`] if nothing else happens.
pub const TICK: Duration = Duration::from_millis(250);
/// A gap between two steps longer than this was a stall of our own: all of it beyond a [`TICK`] never was, as
/// far as deadlines are concerned.
pub const STALL: Duration = Duration::from_millis(500);
/// A stall this long is written into the audit log.
const NOTABLE_STALL: Duration = Duration::from_secs(2);
/// Most metrics kept for one service or host; further names are ignored.
pub const MAX_METRICS: usize = 256;

/// What the store remembers of an earlier life.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Past {
    /// The services' memories.
    pub memories: Vec<Memory>,
    /// Open incidents with their timelines.
    pub incidents: Vec<(Incident, Vec<TimelineEntry>)>,
    /// The number of the next incident.
    pub next_incident: u64,
    /// Pending and firing alerts.
    pub alerts: Vec<Alert>,
    /// The newest notification of each receiver and group.
    pub notified: Vec<Notification>,
}

/// What the giver of an input is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken.
    Done,
    /// A heartbeat was taken; the service's state after it.
    Beat(State),
    /// There is no such service.
    NoSuchService,
    /// The order was refused.
    Refused(Refusal),
    /// The order became this action.
    Action(Arc<str>),
}

/// The engine. See the crate's documentation for its contract.
#[derive(Debug, Default)]
pub struct Engine {
    /// By [`ServiceIx`]. Numbers are never used again, so a removed service leaves its place empty.
    services: Vec<Service>,
    /// The hot side of `services`: one flat entry each.
    hearts: Vec<Heart>,
    by_id: HashMap<ServiceId, ServiceIx>,
    /// The order of the configuration; after it what heartbeats have made.
    order: Vec<ServiceIx>,
    /// What becomes of heartbeats of services that nobody has named, and how many they have made.
    unknown: Option<Unknown>,
    created: u32,
    /// For each service those that depend on it directly.
    dependents: BTreeMap<ServiceIx, Vec<ServiceIx>>,
    hosts: Hosts,
    network: Network,
    rules: Rules,
    dispatcher: Dispatcher,
    /// Pending and firing alerts by fingerprint.
    alerts: BTreeMap<Arc<str>, Alert>,
    timers: BinaryHeap<Reverse<(Mono, Wake)>>,
    /// When all last-seen times are next written.
    next_snapshot: Mono,
    /// Wall less monotonic time in milliseconds, as last written with the memories.
    wall_offset: Option<i64>,
    next_incident: u64,
    counts: Counts,
    /// Questions at suspicion.
    budget: Budget,
    clock: VirtualClock,
    /// The names of metrics.
    names: Names,
    past: HashMap<ServiceId, Memory>,
    past_incidents: HashMap<IncidentId, (Incident, Vec<TimelineEntry>)>,
}

/// One step's time and effects.
struct Turn<'a> {
    /// Virtual time: decides.
    now: Mono,
    /// Wall time: is shown.
    wall: Wall,
    out: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    fn audit(&mut self, by: &Arc<str>, action: &str, target: impl Into<String>, detail: impl Into<String>) {
        self.out.push(Effect::Audit(AuditEntry {
            at: self.wall,
            by: Arc::clone(by),
            action: action.into(),
            target: target.into(),
            detail: detail.into(),
        }));
    }
}

impl Engine {
    /// An engine that watches nothing yet.
    pub fn new() -> Self {
        Self { next_incident: 1, ..Self::default() }
    }

    /// Takes over what an earlier life knew. Call once, before the first [`Input::Configure`].
    pub fn restore(&mut self, now: Now, past: Past) {
        let (virtual_now, _) = self.clock.advance(now.mono);
        self.next_incident = past.next_incident.max(1);
        self.past = past.memories.into_iter().map(|memory| (memory.service.clone(), memory)).collect();
        self.past_incidents =
            past.incidents.into_iter().map(|(incident, lines)| (incident.id, (incident, lines))).collect();
        self.alerts =
            past.alerts.iter().map(|alert| (Arc::clone(&alert.fingerprint), alert.clone())).collect();
        self.dispatcher.restore(virtual_now, now.wall, past.notified, &past.alerts);
    }

    /// Takes one input and appends what has to be done.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) -> Answer {
        let mut turn = self.begin_turn(now, out);
        let answer = self.take(input, &mut turn);
        self.end_turn(&mut turn);
        answer
    }

    fn begin_turn<'a>(&mut self, now: Now, out: &'a mut Vec<Effect>) -> Turn<'a> {
        let (virtual_now, stall) = self.clock.advance(now.mono);
        let mut turn = Turn { now: virtual_now, wall: now.wall, out };
        if let Some(stall) = stall.filter(|stall| *stall >= NOTABLE_STALL) {
            let by = Arc::from("lifesign");
            let detail = format!("lifesign itself did not run for {}; all deadlines moved", words(stall));
            turn.audit(&by, "stall", "engine", detail);
        }
        self.follow_wall(now, &mut turn);
        if let Some(stall) = stall {
            self.jobs_were_unheard(stall, &mut turn);
        }
        turn
    }

    fn take(&mut self, input: Input, turn: &mut Turn<'_>) -> Answer {
        match input {
            Input::Configure(spec) => {
                self.configure(&spec, turn);
                Answer::Done
            }
            Input::Beat(beat) => self.beat(beat, turn),
            Input::Unit { service, report } => self.on_unit(&service, report, turn),
            Input::UnitFacts { service, facts } => self.on_unit_facts(&service, facts),
            Input::Check { service, check, report } => self.on_check(&service, check, report, turn),
            Input::Host(sample) => {
                self.on_host(sample, turn);
                Answer::Done
            }
            Input::Link { host, connected } => {
                self.on_link(&host, connected, turn);
                Answer::Done
            }
            Input::Late { age, input } => self.on_late(age, *input, turn),
            Input::ActionDone(report) => self.on_action(report, turn),
            Input::Order { by, order } => self.on_order(&by, &order, turn),
            Input::Delivery(report) => {
                self.on_delivery(&report, turn);
                Answer::Done
            }
            Input::Tick => Answer::Done,
        }
    }

    fn end_turn(&mut self, turn: &mut Turn<'_>) {
        self.run_timers(turn);
        self.drop_stale_timers();
        self.dispatcher.flush(turn.now, turn.wall, turn.out);
    }

    /// How many services heartbeats have made that nobody had named.
    pub fn created(&self) -> u32 {
        self.created
    }

    /// How often the engine found that it had been stalled.
    pub fn stalls(&self) -> u64 {
        self.clock.stalls
    }

    fn count(&mut self, state: State, change: i32) {
        let counter = match state {
            State::Pending => &mut self.counts.pending,
            State::Up => &mut self.counts.up,
            State::Degraded => &mut self.counts.degraded,
            State::Suspect => &mut self.counts.suspect,
            State::Down => &mut self.counts.down,
            State::Unknown => &mut self.counts.unknown,
        };
        *counter = counter.saturating_add_signed(change);
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).map(|ix| ix.0 as usize)
    }

    fn on_unit(&mut self, id: &ServiceId, report: UnitReport, turn: &mut Turn<'_>) -> Answer {
        let Some(index) = self.find(id.as_str()) else { return Answer::NoSuchService };
        let ix = self.services[index].ix;
        if let UnitState::CouldNotLook(_) = report.state {
            // Changes no state: what was last seen stays true. Only who never saw anything is blind.
            let service = &mut self.services[index];
            if service.unit.report.is_none() {
                service.unit.report = Some((turn.wall, report));
            }
            self.reconsider(ix, turn);
            return Answer::Done;
        }
        let running = self.services[index].remedy.is_running();
        let report = self.excuse_no_history(index, report);
        let service = &mut self.services[index];
        if matches!(report.state, UnitState::Stopped { ordered: true, .. })
            && turn.now < service.unit.late_stop_until
            && on(Rule::LateStop)
        {
            // The stop of our own restart, told after its end. Once only, and the truth is asked for.
            service.unit.late_stop_until = Mono::ZERO;
            turn.out.push(Effect::LookNow(id.clone()));
            return Answer::Done;
        }
        match &report.state {
            UnitState::Stopped { ordered, .. } => {
                service.unit.stopped_by_us = running && (*ordered || service.unit.stopped_by_us);
            }
            UnitState::Running(_) => service.unit.stopped_by_us = false,
            UnitState::Starting
            | UnitState::Stopping
            | UnitState::Paused
            | UnitState::NotFound
            | UnitState::CouldNotLook(_) => {}
        }
        let before = service.unit.report.as_ref().map(|(_, last)| &last.state);
        let was_running = matches!(before, Some(UnitState::Running(_)));
        let was_stopped =
            before.is_some_and(|state| !matches!(state, UnitState::Running(_) | UnitState::CouldNotLook(_)));
        if let UnitState::Running(process) = report.state {
            let another =
                service.unit.process.is_some() && process.is_some() && process != service.unit.process;
            let first_sight = service.unit.process.is_none();
            let mut former = None;
            if process.is_some() {
                service.unit.process = process;
                former = service.unit.former_process.take();
            }
            if (another && on(Rule::NewProcess))
                || (was_stopped && first_sight)
                || (was_stopped && process.is_none())
            {
                self.begin_anew(index, turn);
            } else if first_sight && (former.is_some() || !was_running) {
                service.unit.process_since = turn.now;
                // What earlier lives listened in vain to this very process counts, or frequent restarts of
                // lifesign would hide that it hangs.
                if former != process || !on(Rule::RememberProcess) {
                    let grace = judge::first_grace(&service.spec, turn.now);
                    self.hearts[index].wait(turn.now, Duration::ZERO, grace);
                }
            }
            if (another || was_stopped) && self.services[index].remedy.is_resumed() {
                self.end_resumed(index, turn);
            }
        }
        let left = self.keep_last_words(index, &report);
        self.services[index].unit.report = Some((turn.wall, report));
        self.reconsider(ix, turn);
        self.tell_last_words(index, left, turn);
        Answer::Done
    }

    /// A unit that does not run at the first look, of which the system remembers nothing: nobody has started
    /// it since boot, or it was stopped long ago. Nobody wants it to run, so that is no outage; a start that
    /// failed, and a unit whose incident is open, are told otherwise.
    fn excuse_no_history(&self, index: usize, mut report: UnitReport) -> UnitReport {
        let service = &self.services[index];
        let first_look = service
            .unit
            .report
            .as_ref()
            .is_none_or(|(_, last)| matches!(last.state, UnitState::CouldNotLook(_)));
        if let UnitState::Stopped { ordered, exit: Exit::Unseen } = &mut report.state
            && first_look
            && service.incident.is_none()
        {
            *ordered = true;
        }
        report
    }

    /// Another process runs: whatever was known of the old one proves nothing about it.
    fn begin_anew(&mut self, index: usize, turn: &mut Turn<'_>) {
        let service = &mut self.services[index];
        service.unit.process_since = turn.now;
        service.beat_status = BeatStatus::Alive;
        service.progress = None;
        for check in &mut service.checks {
            check.forget();
        }
        let grace = turn.now + judge::chance(&service.spec);
        self.hearts[index].wait(turn.now, Duration::ZERO, grace);
    }

    fn on_check(&mut self, id: &ServiceId, check: u16, report: CheckReport, turn: &mut Turn<'_>) -> Answer {
        let Some(index) = self.find(id.as_str()) else { return Answer::NoSuchService };
        let service = &mut self.services[index];
        let in_grace =
            service.spec.unit.is_some() && turn.now < service.unit.process_since + service.spec.start_grace;
        let place = usize::from(check);
        let (Some(run), Some(spec)) = (service.checks.get_mut(place), service.spec.checks.get(place)) else {
            // A result of a check that a reload has just removed.
            return Answer::Done;
        };
        let counts = !(in_grace && run.verdict().is_none() && on(Rule::StartGrace));
        let answer = judge::answer_of(spec.kind, report.outcome);
        run.take(turn.wall, report, spec.rise, spec.fall, counts);
        let ix = service.ix;
        if let Some(answer) = answer {
            self.hearts[index].answer(turn.now, u32::from(check), answer);
        }
        self.reconsider(ix, turn);
        Answer::Done
    }

    /// Shown to people; it judges nothing.
    fn on_unit_facts(&mut self, service: &ServiceId, facts: Box<UnitFacts>) -> Answer {
        let Some(index) = self.find(service.as_str()) else { return Answer::NoSuchService };
        let service = &mut self.services[index];
        if service.spec.unit.is_some() {
            service.unit.facts = Some(facts);
        }
        Answer::Done
    }

    /// What an agent saw while it could not reach us. It belongs into the story, and judges nothing: the
    /// present was told or will be. Only a heartbeat counts, from the moment it was heard.
    fn on_late(&mut self, age: Duration, input: Input, turn: &mut Turn<'_>) -> Answer {
        let (service, what) = match input {
            Input::Beat(beat) => return self.beat(Beat { age: beat.age.saturating_add(age), ..beat }, turn),
            Input::Unit { service, report } => {
                let what = ["the unit was", &report.os].join(" ");
                (service, [what].into_iter().chain(output_of(&report)).collect::<Vec<_>>().join("\n"))
            }
            Input::Check { service, report, .. } => (service, format!("a check found: {}", report.output)),
            // Figures of the past fire nothing now; orders and answers are not kept in spools.
            Input::Host(_)
            | Input::UnitFacts { .. }
            | Input::Configure(_)
            | Input::Link { .. }
            | Input::Late { .. }
            | Input::ActionDone(_)
            | Input::Order { .. }
            | Input::Delivery(_)
            | Input::Tick => return Answer::Done,
        };
        let Some(index) = self.find(service.as_str()) else { return Answer::NoSuchService };
        let ix = self.services[index].ix;
        self.note(ix, "late", format!("told {} late: {what}", words(age)), turn);
        Answer::Done
    }

    fn on_host(&mut self, sample: HostSample, turn: &mut Turn<'_>) {
        let ix = self.hosts.number(&sample.host);
        let host = self.hosts.get_mut(ix);
        host.sampled_at = Some(turn.wall);
        for (name, value) in &sample.metrics {
            set_metric(&mut host.metrics, &mut self.names, name, *value);
        }
        for (name, value) in sample.metrics {
            self.on_host_metric(&sample.host, &name, value, turn);
        }
    }

    fn on_action(&mut self, report: ActionReport, turn: &mut Turn<'_>) -> Answer {
        let Some(index) = self.find(report.service.as_str()) else { return Answer::NoSuchService };
        let ours = matches!(&self.services[index].remedy.step, Step::Running { id, .. } if *id == report.id);
        match (ours, report.result) {
            (false, Ok(_)) if report.id.starts_with(ALONE) => self.restarted_alone(index, turn),
            (true, Err(why)) if report.refused => self.refuse_restart(index, &why, turn),
            (true, result) => self.finish_restart(index, result, turn),
            // Given up already, or ordered by an earlier life: its stop may still be told.
            (false, Ok(_)) => self.end_resumed(index, turn),
            (false, Err(_)) => {}
        }
        Answer::Done
    }

    fn on_delivery(&mut self, report: &DeliveryReport, turn: &mut Turn<'_>) {
        let Some(incident) = report.incident else { return };
        let (what, detail) = if report.delivered {
            ("notified", format!("{} was told: {}", report.receiver, report.answer))
        } else {
            (
                "notify_failed",
                format!(
                    "{} could not be told (attempt {}): {}",
                    report.receiver, report.attempt, report.answer
                ),
            )
        };
        let entry = TimelineEntry { at: turn.wall, what: what.into(), detail };
        let of_service = self
            .services
            .iter_mut()
            .filter_map(|service| service.incident.as_mut())
            .find(|open| open.record.id == incident);
        if let Some(open) = of_service.filter(|open| open.timeline.len() < service::MAX_TIMELINE) {
            open.timeline.push(entry.clone());
        }
        turn.out.push(Effect::Timeline { incident, entry });
    }

    /// Adds a line to the timeline of the service's open incident, if it has one.
    fn note(&mut self, ix: ServiceIx, what: &str, detail: impl Into<String>, turn: &mut Turn<'_>) {
        if let Some(open) = &mut self.services[ix.0 as usize].incident {
            let entry = TimelineEntry { at: turn.wall, what: what.into(), detail: detail.into() };
            if open.timeline.len() < service::MAX_TIMELINE {
                open.timeline.push(entry.clone());
            }
            turn.out.push(Effect::Timeline { incident: open.record.id, entry });
        }
    }
}

/// Sets a metric in place; a name never seen before is added while there is room.
fn set_metric(metrics: &mut Vec<(Arc<str>, f64)>, names: &mut Names, name: &Arc<str>, value: f64) {
    if let Some((_, old)) = metrics.iter_mut().find(|(known, _)| known == name) {
        *old = value;
    } else if metrics.len() < MAX_METRICS {
        metrics.push((names.share(name), value));
    }
}

/// A duration as people say it: `250 ms`, `3.2 s`, `5 min`, `2 h 5 min`.
pub(crate) fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..10 if span.subsec_millis() >= 100 => format!("{seconds}.{} s", span.subsec_millis() / 100),
        1..120 => format!("{seconds} s"),
        120..7200 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
