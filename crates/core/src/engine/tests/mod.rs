//! The engine's story, step by step, on a clock made of numbers.

mod corners;
mod created;
mod detection;
mod edges;
mod found;
mod job_corners;
mod jobs;
mod last_words;
mod reference;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::effect::{AlertState, NotifyReason};
use crate::evidence::{CheckOutcome, Component, FailKind, Phases, Process};
use crate::input::Order;
use crate::model::{CheckKind, CheckState, Reason, Severity};
use crate::spec::{
    CheckSpec, Comparison, Dependency, HeartbeatSpec, RestartSpec, RuleSpec, ServiceSpec, Spec, Terms,
};

const SECOND: Duration = Duration::from_secs(1);
const EPOCH: i64 = 1_700_000_000_000;

/// An engine, its clock, and everything it asked for.
struct World {
    engine: Engine,
    mono: Mono,
    wall: i64,
    effects: Vec<Effect>,
}

impl World {
    fn new(spec: Spec) -> Self {
        let mut world =
            Self { engine: Engine::new(), mono: Mono::from_millis(5000), wall: EPOCH, effects: Vec::new() };
        world.give(Input::Configure(Arc::new(spec)));
        world
    }

    fn now(&self) -> Now {
        Now { mono: self.mono, wall: Wall::from_millis(self.wall) }
    }

    fn give(&mut self, input: Input) -> Answer {
        let now = self.now();
        self.engine.step(now, input, &mut self.effects)
    }

    /// Lets time pass as the shell would: stepping at each deadline.
    fn pass(&mut self, span: Duration) {
        let end = self.mono + span;
        while self.mono < end {
            let next = self.engine.next_deadline().max(self.mono + Duration::from_millis(1)).min(end);
            // Whole milliseconds of both clocks pass together, however finely deadlines are set.
            let millis = |at: Mono| i64::try_from(at.as_nanos() / 1_000_000).unwrap();
            self.wall += millis(next) - millis(self.mono);
            self.mono = next;
            self.give(Input::Tick);
        }
    }

    /// Time passes in which nobody steps the engine.
    fn stall(&mut self, span: Duration) {
        self.mono = self.mono + span;
        self.wall += i64::try_from(span.as_millis()).unwrap();
    }

    fn beat(&mut self, id: &str) -> Answer {
        self.beat_with(id, BeatStatus::Alive, &[])
    }

    fn beat_with(&mut self, id: &str, status: BeatStatus, metrics: &[(&str, f64)]) -> Answer {
        let metrics = metrics.iter().map(|(name, value)| (Arc::from(*name), *value)).collect();
        let service = ServiceId::new(id).unwrap();
        self.give(Input::Beat(Beat { status, metrics, ..Beat::alive(service) }))
    }

    fn unit(&mut self, id: &str, state: UnitState) {
        let report = UnitReport::new(state.clone(), format!("{state:?}"));
        self.give(Input::Unit { service: ServiceId::new(id).unwrap(), report });
    }

    fn running(&mut self, id: &str, pid: u32) {
        self.unit(id, UnitState::Running(Some(Process { pid, started: u64::from(pid) })));
    }

    fn killed(&mut self, id: &str) {
        self.unit(id, UnitState::Stopped { ordered: false, exit: Exit::Signal(9) });
    }

    fn check(&mut self, id: &str, check: u16, outcome: CheckOutcome) {
        let report = CheckReport {
            outcome,
            output: format!("{outcome:?}"),
            phases: Phases::default(),
            components: vec![],
        };
        self.give(Input::Check { service: ServiceId::new(id).unwrap(), check, report });
    }

    fn action_done(&mut self, id: &str, pid: u32) {
        let Some(action) = self.actions().pop() else { panic!("no action was ordered") };
        let result = Ok(Some(Process { pid, started: u64::from(pid) }));
        self.give(Input::ActionDone(ActionReport {
            id: action,
            service: ServiceId::new(id).unwrap(),
            result,
            refused: false,
        }));
    }

    fn action_refused(&mut self, id: &str, why: &str) {
        let Some(action) = self.actions().pop() else { panic!("no action was ordered") };
        let service = ServiceId::new(id).unwrap();
        self.give(Input::ActionDone(ActionReport {
            id: action,
            service,
            result: Err(why.to_owned()),
            refused: true,
        }));
    }

    fn state(&self, id: &str) -> (State, Option<Reason>) {
        let view = self.engine.service(id, self.now()).unwrap();
        (view.state, view.reason)
    }

    fn transitions(&self) -> Vec<String> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Transition(transition) => Some(match transition.reason {
                    Some(reason) => format!("{} {}/{reason}", transition.service, transition.to),
                    None => format!("{} {}", transition.service, transition.to),
                }),
                _ => None,
            })
            .collect()
    }

    fn told(&self) -> Vec<NotifyReason> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Notify(notification) => Some(notification.reason),
                _ => None,
            })
            .collect()
    }

    fn actions(&self) -> Vec<Arc<str>> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Act(action) => Some(Arc::clone(&action.id)),
                _ => None,
            })
            .collect()
    }

    fn timeline(&self) -> Vec<String> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Timeline { entry, .. } => Some(entry.what.to_string()),
                _ => None,
            })
            .collect()
    }

    fn incidents(&self) -> (usize, usize) {
        let opened = self.timeline().iter().filter(|what| *what == "opened").count();
        let closed = self.timeline().iter().filter(|what| *what == "closed").count();
        (opened, closed)
    }
}

fn service(id: &str) -> ServiceSpec {
    ServiceSpec::new(
        ServiceId::new(id).unwrap(),
        Terms { start_grace: 5 * SECOND, ..Terms::on("web-01".into()) },
    )
}

fn with_heart(mut spec: ServiceSpec) -> ServiceSpec {
    spec.heartbeat =
        Some(HeartbeatSpec { interval: SECOND, timeout: 3 * SECOND, retries: 2, ..HeartbeatSpec::never() });
    spec
}

fn with_unit(mut spec: ServiceSpec) -> ServiceSpec {
    spec.unit = Some(format!("systemd {}.service", spec.id));
    spec
}

fn with_check(mut spec: ServiceSpec, group: u16, need: u32) -> ServiceSpec {
    let name = format!("127.0.0.1:{}", 8000 + spec.checks.len());
    spec.checks.push(CheckSpec {
        kind: CheckKind::Tcp,
        name: name.into(),
        interval: SECOND,
        rise: 2,
        fall: 3,
        group,
        need,
    });
    spec
}

fn with_restart(mut spec: ServiceSpec, budget: u32) -> ServiceSpec {
    spec.restart = Some(RestartSpec {
        budget,
        window: 600 * SECOND,
        backoff_min: SECOND,
        backoff_max: 60 * SECOND,
        prove_for: 10 * SECOND,
    });
    spec
}

fn one(service: ServiceSpec) -> Spec {
    Spec { services: vec![service], receivers: vec!["hook".into()], ..Spec::default() }
}

const PASS: CheckOutcome = CheckOutcome::Pass;
const REFUSED: CheckOutcome = CheckOutcome::Fail(FailKind::Refused);

#[test]
fn a_killed_process_is_restarted_proven_and_told_once_each_way() {
    let spec = with_restart(with_check(with_unit(service("web")), 0, 1), 3);
    let mut world = World::new(one(spec));
    world.running("web", 100);
    world.check("web", 0, PASS);
    assert_eq!(world.state("web"), (State::Up, None));

    world.killed("web");
    assert_eq!(world.state("web"), (State::Down, Some(Reason::Killed)));
    assert_eq!(world.incidents(), (1, 0));
    assert_eq!(world.told(), [NotifyReason::FirstFiring]);
    assert_eq!(world.actions().len(), 0, "the first restart waits for the back-off");
    world.pass(SECOND);
    assert_eq!(world.actions().len(), 1);

    world.running("web", 101);
    world.action_done("web", 101);
    world.pass(SECOND);
    world.check("web", 0, PASS);
    assert_eq!(world.state("web"), (State::Up, None));
    assert_eq!(world.incidents(), (1, 0), "up, and not proven yet");
    world.pass(SECOND);
    world.check("web", 0, PASS);
    world.pass(7 * SECOND);
    assert_eq!(world.incidents(), (1, 0), "rise is reached, ten seconds are not");
    world.pass(2 * SECOND);
    assert_eq!(world.incidents(), (1, 1));
    assert_eq!(world.told(), [NotifyReason::FirstFiring, NotifyReason::AllResolved]);
    assert_eq!(world.transitions(), ["web up", "web down/killed", "web up"]);
    assert!(world.timeline().contains(&"proven".to_owned()));
    world.pass(3600 * SECOND / 10);
    assert_eq!(world.told().len(), 2, "nothing more is told");
}

#[test]
fn a_new_process_that_dies_within_ten_seconds_was_not_proven() {
    let spec = with_restart(with_check(with_unit(service("web")), 0, 1), 3);
    let mut world = World::new(one(spec));
    world.running("web", 100);
    world.check("web", 0, PASS);
    world.killed("web");
    world.pass(SECOND);
    world.running("web", 101);
    world.action_done("web", 101);
    world.check("web", 0, PASS);
    world.check("web", 0, PASS);
    world.pass(9 * SECOND);
    world.killed("web");
    assert_eq!(world.incidents(), (1, 0), "still the same incident");
    assert!(world.timeline().contains(&"not_proven".to_owned()));
    world.pass(SECOND);
    assert_eq!(world.actions().len(), 1, "the second restart waits twice as long");
    world.pass(SECOND);
    assert_eq!(world.actions().len(), 2);
    assert_eq!(world.told(), [NotifyReason::FirstFiring]);
}

#[test]
fn a_stopped_process_is_suspect_then_hung_then_restarted() {
    let spec = with_restart(with_heart(with_unit(service("worker"))), 3);
    let mut world = World::new(one(spec));
    world.running("worker", 7);
    world.beat("worker");
    assert_eq!(world.state("worker"), (State::Up, None));
    world.pass(3 * SECOND);
    assert_eq!(world.state("worker"), (State::Suspect, Some(Reason::MissedHeartbeat)));
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::LookNow(_))), "it asks at once");
    world.pass(2 * SECOND);
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::Hung)));
    world.pass(SECOND);
    assert_eq!(world.actions().len(), 1);
    // The restart stops the hung process: that is our own doing, no operator's.
    world.unit("worker", UnitState::Stopped { ordered: true, exit: Exit::Signal(9) });
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::Hung)));
    assert_eq!(world.incidents(), (1, 0));
    world.running("worker", 8);
    world.action_done("worker", 8);
    for _ in 0..11 {
        world.beat("worker");
        world.pass(SECOND);
    }
    assert_eq!(world.state("worker"), (State::Up, None));
    assert_eq!(world.incidents(), (1, 1));
    assert_eq!(
        world.transitions(),
        ["worker up", "worker suspect/missed_heartbeat", "worker down/hung", "worker up"]
    );
}

#[test]
fn a_restart_that_fails_after_stopping_the_service_is_no_operators_stop() {
    let spec = with_restart(with_heart(with_unit(service("worker"))), 3);
    let mut world = World::new(one(spec));
    world.running("worker", 7);
    world.beat("worker");
    world.pass(6 * SECOND);
    world.unit("worker", UnitState::Stopped { ordered: true, exit: Exit::Clean });
    let action = world.actions().pop().unwrap();
    let report = ActionReport {
        id: action,
        service: ServiceId::new("worker").unwrap(),
        result: Err("no such file".to_owned()),
        refused: false,
    };
    world.give(Input::ActionDone(report));
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::StartFailed)));
    assert_eq!(world.incidents(), (1, 0));
    world.pass(2 * SECOND);
    assert_eq!(world.actions().len(), 2, "it tries again");
}

#[test]
fn a_stop_by_an_operator_alarms_nobody_and_is_not_undone() {
    let spec = with_restart(with_heart(with_check(with_unit(service("web")), 0, 1)), 3);
    let mut world = World::new(one(spec));
    world.running("web", 1);
    world.beat("web");
    world.check("web", 0, PASS);
    world.unit("web", UnitState::Stopping);
    world.unit("web", UnitState::Stopped { ordered: true, exit: Exit::Signal(15) });
    assert_eq!(world.state("web"), (State::Down, Some(Reason::StoppedByOperator)));
    for _ in 0..30 {
        world.check("web", 0, REFUSED);
        world.pass(SECOND);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::StoppedByOperator)));
    assert_eq!(world.incidents(), (0, 0));
    assert_eq!(world.told(), []);
    assert_eq!(world.actions().len(), 0);
}

#[test]
fn a_unit_that_was_never_started_is_no_outage_and_one_that_vanishes_is() {
    let unseen = || UnitState::Stopped { ordered: false, exit: Exit::Unseen };
    let mut world = World::new(one(with_restart(with_unit(service("web")), 3)));
    world.unit("web", UnitState::CouldNotLook("bus away".to_owned()));
    world.unit("web", unseen());
    assert_eq!(world.state("web"), (State::Down, Some(Reason::StoppedByOperator)));
    assert_eq!(world.incidents(), (0, 0));
    world.running("web", 1);
    world.unit("web", unseen());
    assert_eq!(world.state("web"), (State::Down, Some(Reason::Exited)));
    assert_eq!(world.incidents(), (1, 0));
}

#[test]
fn a_slow_heart_has_at_least_the_time_that_silence_would_take() {
    let mut spec = with_unit(service("slow"));
    spec.heartbeat = Some(HeartbeatSpec {
        interval: 60 * SECOND,
        timeout: 180 * SECOND,
        retries: 2,
        ..HeartbeatSpec::never()
    });
    let mut world = World::new(one(with_restart(spec, 3)));
    world.running("slow", 1);
    world.pass(299 * SECOND);
    assert_eq!(world.state("slow").0, State::Pending);
    world.pass(2 * SECOND);
    assert_eq!(world.state("slow"), (State::Down, Some(Reason::Hung)));
}

#[test]
fn the_late_report_of_our_own_stop_is_no_operators_stop() {
    let mut world = World::new(one(with_restart(with_heart(with_unit(service("worker"))), 3)));
    world.running("worker", 7);
    world.beat("worker");
    world.pass(6 * SECOND);
    world.action_done("worker", 8);
    world.unit("worker", UnitState::Stopped { ordered: true, exit: Exit::Signal(9) });
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::Hung)));
    assert_eq!(world.incidents(), (1, 0), "the incident stays open until the proof");
    world.unit("worker", UnitState::Stopped { ordered: true, exit: Exit::Signal(15) });
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::StoppedByOperator)), "the second is one");
}

#[test]
fn the_budget_ends_a_restart_loop_and_says_so() {
    let spec = with_restart(with_unit(service("web")), 3);
    let mut world = World::new(one(spec));
    world.running("web", 1);
    world.killed("web");
    for pid in 2..40 {
        let before = world.actions().len();
        world.pass(15 * SECOND);
        if world.actions().len() > before {
            world.running("web", pid);
            world.action_done("web", pid);
            world.pass(SECOND);
            world.killed("web");
        }
    }
    // 38 rounds of 15 s: about one window, so at most the budget and the first of the next window.
    assert!((3..=4).contains(&world.actions().len()), "{}", world.actions().len());
    assert!(world.timeline().contains(&"restart_withheld".to_owned()));
    assert_eq!(world.told(), [NotifyReason::FirstFiring], "one incident, told once");
}

#[test]
fn our_own_stall_kills_nobody() {
    let mut world = World::new(one(with_heart(service("worker"))));
    world.beat("worker");
    world.pass(SECOND);
    world.stall(3600 * SECOND);
    world.give(Input::Tick);
    assert_eq!(world.state("worker").0, State::Up);
    world.pass(SECOND);
    assert_eq!(world.state("worker").0, State::Up, "it has what was left of its time");
    world.beat("worker");
    world.pass(2 * SECOND);
    assert_eq!(world.state("worker").0, State::Up);
    // The stall does not hide a death either.
    world.pass(4 * SECOND);
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::MissedHeartbeat)));
}

#[test]
fn a_service_never_heard_stays_pending_and_one_heard_before_gets_its_fair_chance() {
    let mut world = World::new(one(with_heart(service("worker"))));
    world.pass(600 * SECOND);
    assert_eq!(world.state("worker").0, State::Pending);

    let memory = Memory {
        service: ServiceId::new("worker").unwrap(),
        state: State::Up,
        reason: None,
        since: Wall::from_millis(EPOCH - 60_000),
        last_heartbeat_at: Some(Wall::from_millis(EPOCH - 50_000)),
        silence: Duration::ZERO,
        paused: false,
        incident: None,
        restarts: Vec::new(),
        restarting: false,
        process: None,
        created: false,
        job: None,
    };
    let mut world =
        World { engine: Engine::new(), mono: Mono::from_millis(10), wall: EPOCH, effects: Vec::new() };
    let now = world.now();
    world.engine.restore(now, Past { memories: vec![memory], next_incident: 5, ..Past::default() });
    world.give(Input::Configure(Arc::new(one(with_heart(service("worker"))))));
    world.pass(4 * SECOND);
    assert_eq!(world.state("worker").0, State::Pending);
    world.pass(2 * SECOND);
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::MissedHeartbeat)));
    assert_eq!(world.engine.open_incidents()[0].id, IncidentId(5));
}

#[test]
fn an_open_incident_survives_a_restart_of_lifesign_and_its_end_is_told() {
    let spec = one(with_heart(service("worker")));
    let mut first = World::new(spec.clone());
    first.beat("worker");
    first.pass(6 * SECOND);
    assert_eq!(first.told(), [NotifyReason::FirstFiring]);
    let mut past = Past { next_incident: 2, ..Past::default() };
    for effect in &first.effects {
        match effect {
            Effect::Remember(memory) => past.memories = vec![memory.clone()],
            Effect::Incident(incident) => past.incidents = vec![(incident.clone(), vec![])],
            Effect::Alert(alert) => past.alerts = vec![alert.clone()],
            Effect::Notify(notification) => past.notified = vec![notification.clone()],
            _ => {}
        }
    }
    let mut second =
        World { engine: Engine::new(), mono: Mono::from_millis(10), wall: first.wall, effects: Vec::new() };
    let now = second.now();
    second.engine.restore(now, past);
    second.give(Input::Configure(Arc::new(spec)));
    assert_eq!(second.state("worker"), (State::Down, Some(Reason::MissedHeartbeat)));
    second.pass(SECOND);
    assert_eq!(second.told(), [], "the opening has been told");
    second.beat("worker");
    assert_eq!(second.state("worker").0, State::Up);
    assert_eq!(second.told(), [NotifyReason::AllResolved]);
    assert_eq!(second.engine.open_incidents().len(), 0);
}

#[test]
fn some_addresses_down_is_degraded_and_fewer_than_needed_is_down() {
    let spec = with_check(with_check(with_check(service("db"), 0, 2), 0, 2), 0, 2);
    let mut world = World::new(one(spec));
    for check in 0..3 {
        world.check("db", check, PASS);
    }
    assert_eq!(world.state("db"), (State::Up, None));
    for _ in 0..3 {
        world.check("db", 0, REFUSED);
    }
    assert_eq!(world.state("db"), (State::Degraded, Some(Reason::CheckFailed)));
    assert_eq!(world.incidents(), (0, 0));
    for _ in 0..3 {
        world.check("db", 2, REFUSED);
    }
    assert_eq!(world.state("db"), (State::Down, Some(Reason::CheckFailed)));
    assert_eq!(world.incidents(), (1, 0));
    for _ in 0..2 {
        world.check("db", 2, PASS);
    }
    assert_eq!(world.state("db"), (State::Degraded, Some(Reason::CheckFailed)));
    assert_eq!(world.incidents(), (1, 1), "degraded opens no incident here, so it keeps none open");
}

#[test]
fn a_component_that_is_down_degrades_and_is_named() {
    let mut world = World::new(one(with_check(service("web"), 0, 1)));
    let report = CheckReport {
        outcome: PASS,
        output: "200 OK".to_owned(),
        phases: Phases::default(),
        components: vec![
            Component { name: "db".to_owned(), status: "UP".to_owned(), up: true },
            Component { name: "redis".to_owned(), status: "DOWN".to_owned(), up: false },
        ],
    };
    world.give(Input::Check { service: ServiceId::new("web").unwrap(), check: 0, report });
    assert_eq!(world.state("web"), (State::Degraded, Some(Reason::ComponentDown)));
    let view = world.engine.service("web", world.now()).unwrap();
    assert!(view.detail.contains("redis"), "{}", view.detail);
}

#[test]
fn what_a_dependency_explains_opens_no_incident_of_its_own() {
    let mut web = with_check(service("web"), 0, 1);
    web.depends_on = vec![Dependency::on(ServiceId::new("db").unwrap())];
    let db = with_check(service("db"), 0, 1);
    let spec = Spec { services: vec![web, db], receivers: vec!["hook".into()], ..Spec::default() };
    let mut world = World::new(spec);
    world.check("web", 0, PASS);
    world.check("db", 0, PASS);
    for _ in 0..3 {
        world.check("db", 0, REFUSED);
    }
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    assert_eq!(world.incidents(), (1, 0));
    // The dependency is back; the dependent gets the time of a start, and then it is its own fault.
    for _ in 0..2 {
        world.check("db", 0, PASS);
    }
    world.check("web", 0, REFUSED);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    world.pass(6 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::CheckFailed)));
    assert_eq!(world.incidents(), (2, 1));
}

#[test]
fn a_rule_fires_after_its_time_and_a_false_sample_ends_it() {
    let rule = RuleSpec {
        alert: "HighCpu".into(),
        when: "cpu > 90".into(),
        metric: "cpu".into(),
        comparison: Comparison::Greater,
        threshold: 90.0,
        hold: 30 * SECOND,
        severity: Severity::Warning,
        service: None,
        notify: vec!["hook".into()],
        restart: false,
    };
    let mut spec = one(with_heart(service("worker")));
    spec.rules = vec![rule];
    let mut world = World::new(spec);
    for _ in 0..29 {
        world.beat_with("worker", BeatStatus::Alive, &[("cpu", 95.0)]);
        world.pass(SECOND);
    }
    assert_eq!(world.engine.alerts()[0].state, AlertState::Pending);
    assert_eq!(world.told(), []);
    world.beat_with("worker", BeatStatus::Alive, &[("cpu", 95.0)]);
    world.pass(SECOND);
    assert_eq!(world.engine.alerts()[0].state, AlertState::Firing);
    assert_eq!(world.told(), [NotifyReason::FirstFiring]);
    world.beat_with("worker", BeatStatus::Alive, &[("cpu", 12.0)]);
    assert_eq!(world.engine.alerts().len(), 0);
    assert_eq!(world.told(), [NotifyReason::FirstFiring, NotifyReason::AllResolved]);
}

#[test]
fn a_rule_may_restart_the_service_whose_metric_it_is() {
    let rule = RuleSpec {
        alert: "MemoryFull".into(),
        when: "memory > 95".into(),
        metric: "memory".into(),
        comparison: Comparison::Greater,
        threshold: 95.0,
        hold: 10 * SECOND,
        severity: Severity::Critical,
        service: None,
        notify: Vec::new(),
        restart: true,
    };
    let mut spec = one(with_restart(with_heart(with_unit(service("worker"))), 3));
    spec.rules = vec![rule];
    let mut world = World::new(spec);
    world.running("worker", 1);
    for _ in 0..12 {
        world.beat_with("worker", BeatStatus::Alive, &[("memory", 97.0)]);
        world.pass(SECOND);
    }
    assert_eq!(world.actions().len(), 1);
    assert_eq!(world.state("worker").0, State::Up);
    let by = world.effects.iter().find_map(|effect| match effect {
        Effect::Act(action) => Some(action.by.to_string()),
        _ => None,
    });
    assert_eq!(by.as_deref(), Some("rule MemoryFull"));
}

#[test]
fn while_paused_nothing_is_told_or_restarted_and_afterwards_the_truth_is() {
    let spec = with_restart(with_unit(service("web")), 3);
    let mut world = World::new(one(spec));
    world.running("web", 1);
    let id = ServiceId::new("web").unwrap();
    world.give(Input::Order { by: "ops".into(), order: Order::Pause(id.clone()) });
    world.killed("web");
    world.pass(60 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::Killed)));
    assert_eq!(world.incidents(), (0, 0));
    assert_eq!(world.actions().len(), 0);
    let refused = world.give(Input::Order { by: "ops".into(), order: Order::Restart(id.clone()) });
    assert_eq!(refused, Answer::Refused(Refusal::Paused(id.clone())));
    world.give(Input::Order { by: "ops".into(), order: Order::Resume(id) });
    assert_eq!(world.incidents(), (1, 0));
    world.pass(2 * SECOND);
    assert_eq!(world.actions().len(), 1);
}

#[test]
fn a_reload_keeps_what_is_known_and_forgets_what_is_gone() {
    let both = Spec {
        services: vec![with_heart(service("worker")), with_heart(service("other"))],
        receivers: vec!["hook".into()],
        ..Spec::default()
    };
    let mut world = World::new(both);
    world.beat("worker");
    world.beat("other");
    world.pass(6 * SECOND);
    assert_eq!(world.incidents(), (2, 0));
    world.beat("worker");
    let mut changed = with_heart(service("worker"));
    changed.severity = Severity::Warning;
    world.give(Input::Configure(Arc::new(one(changed))));
    assert_eq!(world.state("worker").0, State::Up);
    assert!(world.engine.service("other", world.now()).is_none());
    assert_eq!(world.incidents(), (2, 2), "the incident of a service that is gone is closed");
    assert_eq!(world.beat("other"), Answer::NoSuchService);
    assert_eq!(world.engine.counts().up, 1);
    assert_eq!(world.engine.counts().down, 0);
}

#[test]
fn a_service_says_itself_that_it_fails_and_that_it_stops() {
    let mut world = World::new(one(with_heart(service("worker"))));
    world.beat_with("worker", BeatStatus::Fail, &[]);
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::CheckFailed)));
    assert_eq!(world.incidents(), (1, 0));
    world.beat("worker");
    assert_eq!(world.state("worker"), (State::Up, None));
    world.beat_with("worker", BeatStatus::Stopping, &[]);
    world.pass(60 * SECOND);
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::StoppedByOperator)));
    assert_eq!(world.incidents(), (1, 1));
}

#[test]
fn every_state_of_the_story_can_be_explained() {
    let spec = with_restart(with_heart(with_check(with_unit(service("web")), 0, 1)), 1);
    let mut world = World::new(one(spec));
    let mut seen = Vec::new();
    let mut explain = |world: &World| {
        let explanation = world.engine.explain("web", world.now()).unwrap();
        assert!(!explanation.facts.is_empty());
        for fact in explanation.facts {
            let is_known =
                EXPLAIN_CODES.iter().chain(crate::view::UnitView::CODES).any(|code| *code == &*fact.code);
            assert!(is_known, "{}", fact.code);
            assert!(!fact.text.is_empty());
            seen.push(fact.code.to_string());
        }
    };
    explain(&world);
    world.running("web", 1);
    world.beat("web");
    world.check("web", 0, PASS);
    explain(&world);
    world.pass(4 * SECOND);
    explain(&world);
    world.pass(2 * SECOND);
    explain(&world);
    world.pass(SECOND);
    explain(&world);
    world.action_done("web", 2);
    explain(&world);
    world.killed("web");
    explain(&world);
    for code in [
        "verdict",
        "heart-late",
        "heart-silent",
        "restart-running",
        "restart-proving",
        "restart-withheld",
        "notify-told",
    ] {
        assert!(seen.iter().any(|known| known == code), "{code} was never said");
    }
}

/// Anything that may happen to two services.
fn anything() -> impl Strategy<Value = (u64, u8, u8)> {
    (0u64..3000, 0u8..2, 0u8..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: counts agree with the services, incidents open and close in
    /// turn, no notification has the id of another, and the end of everything told is told.
    #[test]
    fn the_engine_keeps_its_books(events in prop::collection::vec(anything(), 1..120)) {
        let ids = ["web", "worker"];
        let services = ids
            .iter()
            .map(|id| with_restart(with_heart(with_check(with_unit(service(id)), 0, 1)), 3))
            .collect();
        let mut world = World::new(Spec { services, receivers: vec!["hook".into()], ..Spec::default() });
        let mut pid = 10;
        for (millis, which, what) in events {
            world.pass(Duration::from_millis(millis));
            let id = ids[usize::from(which)];
            match what {
                0..=2 => { world.beat(id); }
                3 => { world.beat_with(id, BeatStatus::Fail, &[]); }
                4..=6 => world.check(id, 0, PASS),
                7 => world.check(id, 0, REFUSED),
                8 => world.killed(id),
                9 => { pid += 1; world.running(id, pid); }
                10 => world.unit(id, UnitState::Stopped { ordered: true, exit: Exit::Clean }),
                11 => world.stall(Duration::from_millis(millis * 10)),
                12 => world.unit(id, UnitState::CouldNotLook("bus away".to_owned())),
                _ => {
                    if let Some(action) = world.actions().pop() {
                        pid += 1;
                        let result = Ok(Some(Process { pid, started: u64::from(pid) }));
                        world.give(Input::ActionDone(ActionReport { id: action, service: ServiceId::new(id).unwrap(), result, refused: false }));
                    }
                }
            }
            let views = world.engine.services(world.now());
            let counts = world.engine.counts();
            let count = |state| views.iter().filter(|view| view.state == state).count() as u32;
            prop_assert_eq!(counts.up, count(State::Up));
            prop_assert_eq!(counts.down, count(State::Down));
            prop_assert_eq!(counts.pending, count(State::Pending));
            prop_assert_eq!(counts.suspect, count(State::Suspect));
            let (opened, closed) = world.incidents();
            prop_assert_eq!(opened - closed, world.engine.open_incidents().len());
            for view in &views {
                // Down without an incident has a reason that says why there is none.
                let excused = matches!(view.reason, Some(Reason::StoppedByOperator | Reason::DependencyDown));
                prop_assert!(view.state != State::Down || view.incident_id.is_some() || excused);
            }
        }
        let ids: Vec<Arc<str>> = world.effects.iter().filter_map(|effect| match effect {
            Effect::Notify(notification) => Some(Arc::clone(&notification.id)),
            _ => None,
        }).collect();
        let unique: HashSet<Arc<str>> = ids.iter().cloned().collect();
        prop_assert_eq!(ids.len(), unique.len());
        let (opened, closed) = world.incidents();
        let first = world.told().iter().filter(|reason| **reason == NotifyReason::FirstFiring).count();
        let over = world.told().iter().filter(|reason| **reason == NotifyReason::AllResolved).count();
        prop_assert_eq!(first, opened);
        prop_assert_eq!(over, closed);
    }

    /// Heartbeats that are taken together do what they do one after the other.
    #[test]
    fn together_or_one_by_one_heartbeats_do_the_same(
        rounds in prop::collection::vec((0u64..2500, prop::collection::vec((0u8..5, 0u8..6), 0..90)), 1..20)
    ) {
        let ids = ["a", "b", "c", "d", "nobody"];
        let spec = || {
            let services = ids[..4].iter().map(|id| with_heart(service(id))).collect();
            Spec { services, receivers: vec!["hook".into()], ..Spec::default() }
        };
        let (mut one_by_one, mut together) = (World::new(spec()), World::new(spec()));
        let mut answers = (Vec::new(), Vec::new());
        for (millis, beats) in rounds {
            let beats: Vec<Beat> = beats
                .into_iter()
                .map(|(which, what)| Beat {
                    status: if what == 0 { BeatStatus::Fail } else { BeatStatus::Alive },
                    progress: (what == 1).then_some(millis),
                    message: (what == 2).then(|| "busy".to_owned()),
                    ..Beat::alive(ServiceId::new(ids[usize::from(which)]).unwrap())
                })
                .collect();
            for world in [&mut one_by_one, &mut together] {
                world.pass(Duration::from_millis(millis));
                world.give(Input::Tick);
            }
            answers.0.extend(beats.iter().map(|beat| one_by_one.give(Input::Beat(beat.clone()))));
            let now = together.now();
            answers.1.extend(together.engine.step_beats(now, beats, &mut together.effects));
        }
        prop_assert_eq!(answers.0, answers.1);
        prop_assert_eq!(one_by_one.engine.services(one_by_one.now()), together.engine.services(together.now()));
        // Only people are told of all of it at once, and not of what is over again in the same moment.
        for world in [&mut one_by_one, &mut together] {
            world.effects.retain(|effect| !matches!(effect, Effect::Notify(_)));
        }
        prop_assert_eq!(one_by_one.effects, together.effects);
    }

    /// The same inputs give the same effects: that is what replay rests on.
    #[test]
    fn a_replay_gives_the_same_effects(events in prop::collection::vec(anything(), 1..60)) {
        let run = || {
            let mut world = World::new(one(with_restart(with_heart(with_unit(service("web"))), 2)));
            for (millis, _, what) in &events {
                world.pass(Duration::from_millis(*millis));
                match what {
                    0..=5 => { world.beat("web"); }
                    6..=8 => world.killed("web"),
                    _ => world.running("web", u32::from(*what)),
                }
            }
            world.effects
        };
        prop_assert_eq!(run(), run());
    }
}
