//! A world on virtual time: hosts and services that live and die, a network between them and lifesign, and
//! lifesign itself with an agent, a store, and faults of its own.
//!
//! `plan` says what a seed makes; `truth` keeps what really is; `network` carries messages; `agent` looks at
//! units, probes and restarts; `observer` is the process of lifesign around the engine; `store` applies effects
//! as the real one does. One heap of events drives all of it, so a world is a pure function of its plan.

mod agent;
mod network;
mod observer;
pub mod plan;
mod service;
pub mod store;
pub mod truth;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::Effect;
use lifesign_core::evidence::Beat;
use lifesign_core::input::{Input, Order};
use lifesign_core::model::IncidentId;
use lifesign_core::time::Mono;

use self::observer::Observer;
use self::plan::{HostKind, Plan, Planned, Trouble};
use self::truth::Truth;
use crate::chance::Chance;
use crate::oracle::{Oracle, Rule, Violation};

/// Everything that can be waiting to happen.
#[derive(Debug, Clone)]
enum Event {
    Planned(Planned),
    /// A sender's turn; the number tells its process from later ones.
    Send(usize, u32),
    /// A beat that was not taken is sent again.
    Resend(usize, Beat, u32),
    /// A message reaches lifesign; whether a link carried it.
    Arrive(Input, bool),
    /// What waited in the queue of an overloaded lifesign is taken.
    Take,
    CheckTurn(usize, u16),
    /// A probe ends.
    CheckDone(usize, Input),
    /// The agent is asked to look.
    Look(usize),
    /// The agent tells of a unit.
    TellUnit(usize),
    /// A start is over.
    Started(usize, u32),
    /// A restart begins, its process comes, and how it ends.
    RestartStops(usize, Arc<str>),
    RestartStarts(usize, Arc<str>),
    /// The stop of a restart is told late.
    Echo(usize),
    /// A bad restart goes wrong again.
    Relapse(usize, u32, Trouble),
    /// Whoever watches a host's link gives it up.
    GiveUp(usize, u32),
    /// An agent connects.
    Connect(usize, u32),
    /// The stall is over.
    Wake,
    /// Lifesign starts.
    Boot,
    Commit(u32),
    /// The oracle looks at everything.
    Scan,
}

#[derive(Debug)]
struct At(Mono, u64, Event);

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// What a world came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Worlds.
    pub worlds: u64,
    /// Virtual time.
    pub simulated: Duration,
    /// Steps of the engine.
    pub steps: u64,
    /// Heartbeats that reached it.
    pub beats: u64,
    /// Services that ended by themselves.
    pub deaths: u64,
    /// Services that hung, lied, stood still or failed.
    pub hangs: u64,
    /// Times the engine did not run.
    pub stalls: u64,
    /// Restarts of lifesign.
    pub restarts: u64,
    /// Incidents that were closed.
    pub incidents: u64,
    /// Of these, about hosts or the network.
    pub group_incidents: u64,
    /// Restarts of services.
    pub actions: u64,
    /// Notifications.
    pub notifications: u64,
}

impl Figures {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.simulated += other.simulated;
        self.steps += other.steps;
        self.beats += other.beats;
        self.deaths += other.deaths;
        self.hangs += other.hangs;
        self.stalls += other.stalls;
        self.restarts += other.restarts;
        self.incidents += other.incidents;
        self.group_incidents += other.group_incidents;
        self.actions += other.actions;
        self.notifications += other.notifications;
    }
}

/// A running world.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    now: Mono,
    heap: BinaryHeap<Reverse<At>>,
    count: u64,
    truth: Truth,
    observer: Observer,
    oracle: Oracle,
    chance: Chance,
    figures: Figures,
    trace: Option<String>,
}

/// Most events within one virtual second: a bound against worlds that stand still.
const EVENTS: u64 = 100_000;
const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// The world of a plan; `trace`: what happens is written down.
    pub fn new(plan: Plan, trace: bool) -> Self {
        let chance = Chance::new(plan.seed, 3);
        let mut world = Self {
            truth: Truth::new(&plan),
            observer: Observer::new(&plan),
            oracle: Oracle::new(&plan),
            now: Mono::ZERO,
            heap: BinaryHeap::new(),
            count: 0,
            chance,
            figures: Figures { worlds: 1, simulated: plan.length, ..Figures::default() },
            trace: trace.then(String::new),
            plan,
        };
        for (at, planned) in world.plan.planned.clone() {
            world.at(at, Event::Planned(planned));
        }
        world.begin_services();
        world.at(Mono::ZERO, Event::Boot);
        world.at(Mono::ZERO + SECOND, Event::Scan);
        world
    }

    /// Lets it run to its end, or to the first violation.
    ///
    /// # Errors
    /// What the oracle found.
    pub fn run(mut self) -> (Figures, Result<(), Violation>, String) {
        let end = Mono::ZERO + self.plan.length;
        let mut moved = (Mono::ZERO, 0_u64);
        while self.oracle.violation().is_none() {
            if self.now.since(moved.0) > SECOND {
                moved = (self.now, 0);
            }
            moved.1 += 1;
            if moved.1 > EVENTS {
                let next = self.heap.peek().map(|Reverse(At(_, _, event))| format!("{event:?}"));
                self.oracle.violate(Rule::Deadline, format!("too much happens in one second: {next:?}"));
            }
            let next = self.heap.peek().map_or(Mono::NEVER, |Reverse(At(at, ..))| *at);
            let deadline = self.engine_deadline();
            let at = next.min(deadline);
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            if deadline <= next {
                self.step(Input::Tick);
            } else if let Some(Reverse(At(_, _, event))) = self.heap.pop() {
                self.happen(event);
            }
        }
        if self.oracle.violation().is_none() {
            self.check_replay();
        }
        self.log_subject();
        let result = self.oracle.take_violation().map_or(Ok(()), Err);
        (self.figures, result, self.trace.unwrap_or_default())
    }

    fn at(&mut self, at: Mono, event: Event) {
        self.count += 1;
        self.heap.push(Reverse(At(at, self.count, event)));
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    fn log(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            // Writing to a string cannot fail.
            let _ = writeln!(
                trace,
                "{:>10.3}s run {:>9.3}s  {}",
                self.now.since(Mono::ZERO).as_secs_f64(),
                self.observer.run.as_secs_f64(),
                text()
            );
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some(host) = self.host_of(&event)
            && self.truth.hosts[host].paused
        {
            // The host stands still: it happens when the host goes on.
            self.truth.hosts[host].frozen += 1;
            let until = self.truth.hosts[host].resumes;
            return self.at(until + Duration::from_micros(1), event);
        }
        match event {
            Event::Planned(planned) => self.happen_as_planned(planned),
            Event::Send(service, epoch) => self.send(service, epoch),
            Event::Resend(service, beat, tries) => self.transmit(service, beat, tries),
            Event::Arrive(input, linked) => self.arrive(input, linked),
            Event::Take => self.take_next(),
            Event::CheckTurn(service, check) => self.check_turn(service, check),
            Event::CheckDone(service, input) => self.tell(service, input),
            Event::Look(service) => self.look(service),
            Event::TellUnit(service) => self.tell_unit(service),
            Event::Started(service, epoch) => self.started(service, epoch),
            Event::RestartStops(service, id) => self.restart_stops(service, id),
            Event::RestartStarts(service, id) => self.restart_starts(service, id),
            Event::Relapse(service, epoch, trouble) => {
                if self.truth.services[service].epoch == epoch {
                    self.goes_wrong(service, trouble);
                }
            }
            Event::Echo(service) => self.echo(service),
            Event::GiveUp(host, epoch) => self.give_up(host, epoch),
            Event::Connect(host, epoch) => self.connect(host, epoch),
            Event::Wake => self.wake(),
            Event::Boot => self.boot(),
            Event::Commit(life) => self.commit(life),
            Event::Scan => {
                self.oracle.scan(&self.plan, &self.truth, self.observer.run);
                self.after(SECOND, Event::Scan);
            }
        }
    }

    /// The host on which something happens, where it can stand still.
    fn host_of(&self, event: &Event) -> Option<usize> {
        let service = match event {
            Event::Send(service, _)
            | Event::Resend(service, ..)
            | Event::Started(service, _)
            | Event::RestartStops(service, _)
            | Event::RestartStarts(service, _)
            | Event::Relapse(service, ..) => *service,
            Event::CheckTurn(service, _)
            | Event::CheckDone(service, _)
            | Event::Look(service)
            | Event::TellUnit(service) => {
                let host = self.plan.services[*service].host;
                // Probes of a host without an agent are run by lifesign.
                return (self.plan.hosts[host].kind != HostKind::Bare).then_some(host);
            }
            Event::Connect(host, _) => return Some(*host),
            _ => return None,
        };
        Some(self.plan.services[service].host)
    }

    fn happen_as_planned(&mut self, planned: Planned) {
        self.log(|| format!("planned: {planned:?}"));
        match planned {
            Planned::Begins(service, trouble) => self.goes_wrong(service, trouble),
            Planned::Ends(service) => self.comes_back(service),
            Planned::Pause(host, true) => {
                let resumes = self.next_planned(|planned| *planned == Planned::Pause(host, false));
                let state = &mut self.truth.hosts[host];
                state.paused = true;
                state.resumes = resumes;
                self.unreachable(host);
            }
            Planned::Pause(host, false) => {
                self.truth.hosts[host].paused = false;
                self.reachable(host);
            }
            Planned::Cut(host, true) => {
                self.truth.hosts[host].cut = true;
                self.unreachable(host);
            }
            Planned::Cut(host, false) => {
                self.truth.hosts[host].cut = false;
                self.reachable(host);
            }
            Planned::Stall(span, lossy) => self.stall(span, lossy),
            Planned::Down(span, killed) => self.go_down(span, killed),
            Planned::Wall(millis) => {
                self.observer.wall_offset += millis;
                if !self.observer.is_up() {
                    // Between two lives the wall clock is the only one there is: what it says has passed has.
                    self.oracle.books.forget_restarts();
                }
            }
            Planned::Lag(lag) => self.observer.lag = lag,
            Planned::Order(service, what) => self.order(service, what),
            Planned::Sender(service, millis) => self.truth.services[service].clock += millis,
        }
        self.oracle.note_causes(&self.plan, &self.truth, self.observer.run);
    }

    /// When the next planned event of this kind comes.
    fn next_planned(&self, which: impl Fn(&Planned) -> bool) -> Mono {
        let later = self.plan.planned.iter().filter(|(at, planned)| *at >= self.now && which(planned));
        later.map(|(at, _)| *at).min().unwrap_or(self.now)
    }

    fn order(&mut self, service: usize, what: u8) {
        let id = self.plan.services[service].id.clone();
        let order = match what {
            0 => Order::Pause(id),
            1 => Order::Resume(id),
            2 => match self.oracle.open_incident(service) {
                Some(incident) => Order::Acknowledge(IncidentId(incident)),
                None => Order::Resume(id),
            },
            _ => Order::Restart(id),
        };
        // It waits its turn behind what came before, as everything does; nobody gives orders to one that does not run.
        if self.observer.is_running() {
            self.arrive(Input::Order { by: "anna".into(), order }, true);
        }
    }

    /// What the engine asked for and needs no disk.
    fn ask_to_look(&mut self, effect: &Effect) {
        if let Effect::LookNow(id) = effect
            && let Some(service) = truth::index(id.as_str())
        {
            let wait = self.chance.time(SECOND / 1000, SECOND / 10);
            self.after(wait, Event::Look(service));
        }
    }
}
