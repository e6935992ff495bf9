//! The rarer ways through the engine: rules over hosts and restarts, reloads, refusals, views.

use super::*;
use crate::evidence::{HostSample, UnitFacts};
use crate::input::DeliveryReport;

pub(super) fn rule(metric: &str, hold: Duration) -> RuleSpec {
    RuleSpec {
        alert: "Rule".into(),
        when: format!("{metric} > 90").into(),
        metric: metric.into(),
        comparison: Comparison::Greater,
        threshold: 90.0,
        hold,
        severity: Severity::Warning,
        service: None,
        notify: vec!["hook".into()],
        restart: false,
    }
}

pub(super) fn id(name: &str) -> ServiceId {
    ServiceId::new(name).unwrap()
}

impl World {
    fn host(&mut self, host: &str, metric: &str, value: f64) {
        let metrics = vec![(Arc::from(metric), value)];
        self.give(Input::Host(HostSample { host: host.into(), metrics }));
    }

    fn order(&mut self, order: Order) -> Answer {
        self.give(Input::Order { by: "ops".into(), order })
    }

    fn explained(&self, id: &str) -> Vec<String> {
        let explanation = self.engine.explain(id, self.now()).unwrap();
        explanation.facts.iter().map(|fact| fact.code.to_string()).collect()
    }

    fn again(&mut self, spec: &Spec) {
        self.give(Input::Configure(Arc::new(spec.clone())));
    }
}

#[test]
fn a_rule_over_a_host_names_the_host_and_may_be_about_one_service() {
    let mut spec = one(with_heart(service("worker")));
    spec.rules = vec![rule("host_cpu", Duration::ZERO)];
    let mut world = World::new(spec.clone());
    world.host("web-01", "host_cpu", 95.0);
    world.host("web-02", "host_cpu", 10.0);
    let alerts = world.engine.alerts();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].state, AlertState::Firing, "a rule without a time fires at once");
    assert!(alerts[0].labels.contains(&("host".into(), "web-01".into())));
    assert_eq!(world.engine.rules()[0].state, Some(AlertState::Firing));
    assert_eq!(world.engine.hosts(world.now()).len(), 2);
    world.host("web-01", "host_memory", 99.0);
    world.host("web-01", "host_cpu", 50.0);
    assert_eq!(world.engine.rules()[0].state, None);

    // About one service: only its host counts, and the service is named.
    spec.rules[0].service = Some(id("worker"));
    world.again(&spec);
    world.host("web-02", "host_cpu", 95.0);
    assert_eq!(world.engine.alerts().len(), 0);
    world.host("web-01", "host_cpu", 95.0);
    assert!(world.engine.alerts()[0].labels.contains(&("service".into(), "worker".into())));
}

#[test]
fn a_rule_about_one_service_takes_no_others_metric() {
    let mut spec = one(with_heart(service("worker")));
    spec.services.push(with_heart(service("other")));
    spec.rules = vec![RuleSpec { service: Some(id("worker")), ..rule("cpu", 10 * SECOND) }];
    let mut world = World::new(spec);
    world.beat_with("other", BeatStatus::Alive, &[("cpu", 99.0), ("queue", 1.0)]);
    assert_eq!(world.engine.alerts().len(), 0);
    world.beat_with("worker", BeatStatus::Alive, &[("cpu", 99.0)]);
    assert_eq!(world.engine.rules()[0].state, Some(AlertState::Pending));
    let pending = world.explained("worker");
    assert!(pending.contains(&"notify-nobody".to_owned()), "{pending:?}");
}

#[test]
fn a_pending_alert_fires_with_the_sample_that_comes_when_its_time_is_over() {
    let mut spec = one(service("worker"));
    spec.services[0].heartbeat = Some(HeartbeatSpec { interval: 60 * SECOND, ..HeartbeatSpec::never() });
    spec.rules = vec![rule("cpu", 10 * SECOND)];
    let mut world = World::new(spec);
    world.beat_with("worker", BeatStatus::Alive, &[("cpu", 99.0)]);
    world.order(Order::Pause(id("worker")));
    world.pass(20 * SECOND);
    assert_eq!(world.engine.alerts()[0].state, AlertState::Pending, "held while paused");
    world.order(Order::Resume(id("worker")));
    world.beat_with("worker", BeatStatus::Alive, &[("cpu", 99.0)]);
    assert_eq!(world.engine.alerts()[0].state, AlertState::Firing);
    world.beat_with("worker", BeatStatus::Alive, &[("cpu", 99.0)]);
    assert_eq!(world.told(), [NotifyReason::FirstFiring]);
}

#[test]
fn each_comparison_means_what_it_says() {
    let cases = [
        (Comparison::Greater, [false, false, true]),
        (Comparison::GreaterOrEqual, [false, true, true]),
        (Comparison::Less, [true, false, false]),
        (Comparison::LessOrEqual, [true, true, false]),
        (Comparison::Equal, [false, true, false]),
        (Comparison::NotEqual, [true, false, true]),
    ];
    for (comparison, expected) in cases {
        for (value, fires) in [89.0, 90.0, 91.0].into_iter().zip(expected) {
            let mut spec = one(with_heart(service("worker")));
            spec.rules = vec![RuleSpec { comparison, ..rule("cpu", Duration::ZERO) }];
            let mut world = World::new(spec);
            world.beat_with("worker", BeatStatus::Alive, &[("cpu", value)]);
            assert_eq!(!world.engine.alerts().is_empty(), fires, "{value} {comparison:?} 90");
        }
    }
}

#[test]
fn a_rule_that_is_gone_or_changed_by_a_reload_ends_its_alerts() {
    let mut spec = one(with_heart(service("worker")));
    spec.services.push(with_heart(service("other")));
    let second = RuleSpec { alert: "Second".into(), ..rule("cpu", Duration::ZERO) };
    spec.rules = vec![rule("cpu", Duration::ZERO), second];
    let mut world = World::new(spec.clone());
    for name in ["worker", "other"] {
        world.beat_with(name, BeatStatus::Alive, &[("cpu", 99.0)]);
    }
    assert_eq!(world.engine.alerts().len(), 4);
    spec.services.pop();
    spec.rules.pop();
    world.again(&spec);
    assert_eq!(world.engine.alerts().len(), 1, "one service and one rule are left");
}

#[test]
fn alerts_of_an_earlier_life_go_on_or_end_with_their_rule() {
    let mut spec = one(with_heart(service("worker")));
    spec.rules = vec![
        rule("cpu", Duration::ZERO),
        RuleSpec { alert: "Slow".into(), ..rule("latency", 30 * SECOND) },
        RuleSpec { alert: "Host".into(), ..rule("host_cpu", Duration::ZERO) },
        RuleSpec { alert: "Gone".into(), ..rule("memory", Duration::ZERO) },
    ];
    let mut first = World::new(spec.clone());
    let metrics = [("cpu", 99.0), ("latency", 99.0), ("memory", 99.0)];
    first.beat_with("worker", BeatStatus::Alive, &metrics);
    first.host("web-01", "host_cpu", 99.0);
    assert_eq!(first.engine.alerts().len(), 4);
    spec.rules.pop();
    let past = Past { alerts: first.engine.alerts(), next_incident: 1, ..Past::default() };
    let mut second = World { engine: Engine::new(), mono: first.mono, wall: first.wall, effects: Vec::new() };
    let now = second.now();
    second.engine.restore(now, past);
    second.again(&spec);
    let names: Vec<String> =
        second.engine.alerts().iter().map(|alert| alert.labels[0].1.to_string()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(!names.contains(&"Gone".to_owned()));
    second.pass(31 * SECOND);
    let firing = second.engine.alerts().iter().filter(|alert| alert.state == AlertState::Firing).count();
    assert_eq!(firing, 3, "what was pending served its time again");
    second.host("web-01", "host_cpu", 1.0);
    second.beat_with("worker", BeatStatus::Alive, &[("cpu", 1.0), ("latency", 1.0)]);
    assert_eq!(second.engine.alerts().len(), 0);
}

#[test]
fn a_restart_waits_for_a_unit_that_is_changing_and_for_an_answer_only_so_long() {
    let spec = with_restart(with_unit(service("web")), 3);
    let mut world = World::new(one(spec));
    world.running("web", 1);
    world.killed("web");
    world.unit("web", UnitState::Starting);
    world.pass(5 * SECOND);
    assert_eq!(world.actions().len(), 0, "the system itself is starting it");
    world.killed("web");
    world.pass(2 * SECOND);
    assert_eq!(world.actions().len(), 1);
    assert!(world.explained("web").contains(&"restart-running".to_owned()));
    let refused = world.order(Order::Restart(id("web")));
    assert_eq!(refused, Answer::Refused(Refusal::RestartRunning(id("web"))));
    world.pass(250 * SECOND);
    assert!(world.timeline().contains(&"restart_failed".to_owned()), "no answer came");
}

#[test]
fn what_the_system_knows_of_a_unit_is_shown_judges_nothing_and_goes_with_the_unit() {
    let spec = one(with_unit(service("web")));
    let mut world = World::new(spec.clone());
    let facts = UnitFacts { start: "manual".to_owned(), ..UnitFacts::default() };
    let tell = |world: &mut World, id: &str| {
        let service = ServiceId::new(id).unwrap();
        world.give(Input::UnitFacts { service, facts: Box::new(facts.clone()) })
    };
    assert_eq!(tell(&mut world, "ghost"), Answer::NoSuchService);
    tell(&mut world, "web");
    assert_eq!(world.state("web"), (State::Pending, None));
    let mut report = UnitReport::new(UnitState::Starting, "activating (auto-restart)");
    report.notes.push("systemd itself starts it again in 3s".to_owned());
    world.give(Input::Unit { service: id("web"), report });
    let unit = world.engine.service("web", world.now()).unwrap().unit.unwrap();
    assert_eq!((unit.os.as_str(), unit.facts.as_ref()), ("activating (auto-restart)", Some(&facts)));
    let explained = world.explained("web");
    for code in ["unit-says", "unit-start", "unit-no-recovery", "unit-note"] {
        assert!(explained.contains(&code.to_owned()), "{code}: {explained:?}");
    }
    let mut other = spec;
    other.services[0].unit = Some("systemd other.service".to_owned());
    world.again(&other);
    assert_eq!(world.engine.service("web", world.now()).unwrap().unit.unwrap().facts, None);
}

#[test]
fn a_refused_restart_uses_up_no_budget_and_is_tried_again_ever_more_slowly() {
    let spec = with_restart(with_unit(service("web")), 1);
    let mut world = World::new(one(spec));
    world.running("web", 1);
    world.killed("web");
    world.pass(SECOND);
    for tries in 1..=5 {
        assert_eq!(world.actions().len(), tries);
        world.action_refused("web", "an update is under way");
        assert!(world.explained("web").contains(&"restart-refused".to_owned()));
        world.pass(9 * SECOND);
        assert_eq!(world.actions().len(), tries, "not at once");
        world.pass(Duration::from_secs(1 << tries).saturating_sub(9 * SECOND) + 2 * SECOND);
    }
    let refused = world.timeline().iter().filter(|what| *what == "restart_refused").count();
    assert_eq!(refused, 5);
    assert!(!world.timeline().contains(&"restart_withheld".to_owned()), "the budget is one");
    world.running("web", 2);
    world.action_done("web", 2);
    assert!(!world.explained("web").contains(&"restart-refused".to_owned()));
    world.pass(SECOND);
    world.killed("web");
    assert!(world.timeline().contains(&"restart_withheld".to_owned()), "now it is used up");
}

#[test]
fn a_stop_during_a_refused_restart_is_the_operators_and_ends_the_trying() {
    let spec = with_restart(with_unit(service("web")), 3);
    let mut world = World::new(one(spec));
    world.running("web", 1);
    world.killed("web");
    world.pass(SECOND);
    world.unit("web", UnitState::Stopped { ordered: true, exit: Exit::Clean });
    world.action_refused("web", "the machine shuts down");
    assert_eq!(world.state("web"), (State::Down, Some(Reason::StoppedByOperator)));
    world.pass(60 * SECOND);
    assert_eq!(world.actions().len(), 1);
}

#[test]
fn a_persons_restart_that_is_refused_is_told_and_not_repeated() {
    let mut world = World::new(one(with_unit(service("web"))));
    world.running("web", 1);
    world.order(Order::Restart(id("web")));
    world.action_refused("web", "the machine shuts down");
    world.pass(120 * SECOND);
    assert_eq!(world.actions().len(), 1);
    assert!(world.explained("web").iter().all(|code| code != "restart-running"));
}

#[test]
fn a_budget_that_is_free_again_lets_a_withheld_restart_go() {
    let mut spec = with_restart(with_unit(service("web")), 1);
    spec.restart.as_mut().unwrap().window = 30 * SECOND;
    let mut world = World::new(one(spec));
    world.running("web", 1);
    world.killed("web");
    world.pass(SECOND);
    world.running("web", 2);
    world.action_done("web", 2);
    world.killed("web");
    assert!(world.timeline().contains(&"restart_withheld".to_owned()));
    assert!(world.explained("web").contains(&"restart-withheld".to_owned()));
    world.pass(31 * SECOND);
    assert_eq!(world.actions().len(), 2);
}

#[test]
fn orders_about_nothing_are_refused_with_the_reason() {
    let mut world = World::new(one(with_heart(service("worker"))));
    let none = Answer::Refused(Refusal::NoSuchService(id("ghost")));
    assert_eq!(world.order(Order::Restart(id("ghost"))), none);
    assert_eq!(world.order(Order::Pause(id("ghost"))), none);
    let no_unit = world.order(Order::Restart(id("worker")));
    assert_eq!(no_unit, Answer::Refused(Refusal::NoUnit(id("worker"))));
    let no_incident = world.order(Order::Acknowledge(IncidentId(7)));
    assert_eq!(no_incident, Answer::Refused(Refusal::NoSuchIncident(IncidentId(7))));
    assert_eq!(world.beat("ghost"), Answer::NoSuchService);
    let report = UnitReport::new(UnitState::NotFound, "?");
    assert_eq!(world.give(Input::Unit { service: id("ghost"), report }), Answer::NoSuchService);
    let late = Input::Late {
        age: SECOND,
        input: Box::new(Input::Unit {
            service: id("ghost"),
            report: UnitReport::new(UnitState::NotFound, "?"),
        }),
    };
    assert_eq!(world.give(late), Answer::NoSuchService);
    let tick = Input::Late { age: SECOND, input: Box::new(Input::Tick) };
    assert_eq!(world.give(tick), Answer::Done);
    world.check("worker", 9, PASS);
    world.check("ghost", 0, PASS);
    let answered =
        ActionReport { id: "x".into(), service: id("ghost"), result: Err(String::new()), refused: false };
    assert_eq!(world.give(Input::ActionDone(answered)), Answer::NoSuchService);
    let stale =
        ActionReport { id: "x".into(), service: id("worker"), result: Err(String::new()), refused: false };
    assert_eq!(world.give(Input::ActionDone(stale)), Answer::Done);
}

#[test]
fn a_person_restarts_what_is_well_and_no_incident_waits_for_proof() {
    let spec = with_unit(service("web"));
    let mut world = World::new(one(spec));
    world.running("web", 1);
    assert!(matches!(world.order(Order::Restart(id("web"))), Answer::Action(_)));
    world.action_done("web", 2);
    assert_eq!(world.state("web").0, State::Up);
    assert_eq!(world.incidents(), (0, 0));
    let codes = world.explained("web");
    assert!(codes.contains(&"restart-off".to_owned()), "{codes:?}");
    world.order(Order::Pause(id("web")));
    assert_eq!(world.order(Order::Restart(id("web"))), Answer::Refused(Refusal::Paused(id("web"))));
    assert!(world.explained("web").contains(&"paused".to_owned()));
}

#[test]
fn an_incident_is_acknowledged_once_and_deliveries_join_its_timeline() {
    let mut world = World::new(one(with_check(service("web"), 0, 1)));
    world.check("web", 0, PASS);
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    assert_eq!(world.order(Order::Acknowledge(IncidentId(1))), Answer::Done);
    assert_eq!(world.order(Order::Acknowledge(IncidentId(1))), Answer::Done, "twice is no harm");
    for delivered in [false, true] {
        let report = DeliveryReport {
            id: "n".into(),
            incident: Some(IncidentId(1)),
            receiver: "hook".into(),
            attempt: 1,
            delivered,
            answer: "200".into(),
        };
        world.give(Input::Delivery(report.clone()));
        world.give(Input::Delivery(DeliveryReport { incident: None, ..report }));
    }
    let lines = world.timeline();
    assert_eq!(lines.iter().filter(|what| *what == "acknowledged").count(), 1);
    assert!(lines.contains(&"notified".to_owned()) && lines.contains(&"notify_failed".to_owned()));
    let (incident, kept) = world.engine.open_incident(IncidentId(1)).unwrap();
    assert_eq!(incident.acknowledged_by.as_deref(), Some("ops"));
    assert!(kept.len() >= 4);
    for _ in 0..2 {
        world.check("web", 0, PASS);
    }
    let closed = world.order(Order::Acknowledge(IncidentId(1)));
    assert_eq!(closed, Answer::Refused(Refusal::IncidentClosed(IncidentId(1))));
}

#[test]
fn a_hosts_incident_is_acknowledged_like_any_other() {
    let mut world = World::new(one(with_unit(service("web"))));
    world.give(Input::Link { host: "web-01".into(), connected: false });
    world.give(Input::Link { host: "web-01".into(), connected: false });
    assert_eq!(world.order(Order::Acknowledge(IncidentId(1))), Answer::Done);
    assert_eq!(world.order(Order::Acknowledge(IncidentId(1))), Answer::Done);
    assert_eq!(world.engine.open_incidents()[0].acknowledged_by.as_deref(), Some("ops"));
    assert_eq!(world.timeline(), ["opened", "acknowledged"]);
    assert!(world.explained("web").contains(&"host-gone".to_owned()));
}

#[test]
fn a_host_that_the_configuration_forgets_takes_its_incident_along() {
    let heart = |name: &str| {
        let mut spec = with_heart(service(name));
        spec.host = "h2".into();
        spec
    };
    let mut spec = one(with_heart(service("worker")));
    spec.services.extend(["a", "b", "c"].map(heart));
    let mut world = World::new(spec.clone());
    for _ in 0..3 {
        for name in ["worker", "a", "b", "c"] {
            world.beat(name);
        }
        world.pass(SECOND);
    }
    for _ in 0..8 {
        world.beat("worker");
        world.pass(SECOND);
    }
    assert_eq!(world.engine.open_incidents().len(), 1);
    spec.services.truncate(1);
    world.again(&spec);
    assert_eq!(world.engine.open_incidents().len(), 0);
}

#[test]
fn an_operators_stop_is_remembered_over_a_restart_of_lifesign() {
    let spec = one(with_unit(service("web")));
    let memory = Memory {
        service: id("web"),
        state: State::Down,
        reason: Some(Reason::StoppedByOperator),
        since: Wall::from_millis(EPOCH - 60_000),
        last_heartbeat_at: None,
        silence: Duration::ZERO,
        paused: true,
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
    world.engine.restore(now, Past { memories: vec![memory], next_incident: 1, ..Past::default() });
    world.again(&spec);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::StoppedByOperator)));
    assert!(world.engine.service("web", world.now()).unwrap().paused);
}

#[test]
fn a_reload_that_changes_nothing_changes_nothing_and_one_that_names_another_unit_looks_anew() {
    let mut spec = one(with_check(with_check(with_unit(service("web")), 0, 1), 1, 1));
    let mut world = World::new(spec.clone());
    world.running("web", 1);
    world.check("web", 0, PASS);
    world.check("web", 1, PASS);
    let before = world.effects.len();
    world.again(&spec);
    assert_eq!(world.effects.len(), before);
    spec.services[0].checks.remove(0);
    world.again(&spec);
    assert_eq!(world.state("web").0, State::Up, "the check that stayed is remembered");
    spec.services[0].unit = Some("systemd other.service".into());
    world.again(&spec);
    assert_eq!(world.engine.service("web", world.now()).unwrap().pid, None);
}

#[test]
fn a_check_that_times_out_and_one_that_cannot_look_are_told_apart() {
    let timeout = CheckOutcome::Fail(FailKind::Timeout);
    let mut world = World::new(one(with_check(with_unit(service("web")), 0, 1)));
    world.running("web", 1);
    world.pass(6 * SECOND);
    for _ in 0..3 {
        world.check("web", 0, timeout);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::Hung)));
    let view = world.engine.service("web", world.now()).unwrap();
    assert!(view.detail.contains("does not answer"), "{}", view.detail);

    let mut blind = World::new(one(with_check(service("web"), 0, 1)));
    blind.check("web", 0, CheckOutcome::Unknown);
    assert_eq!(blind.state("web"), (State::Unknown, Some(Reason::ObserverStalled)));
    assert!(blind.explained("web").contains(&"check-unknown".to_owned()));
}

#[test]
fn a_clock_that_is_off_and_an_announced_stop_are_explained() {
    let mut world = World::new(one(with_unit(with_heart(service("worker")))));
    world.running("worker", 1);
    let sent_at = Some(Wall::from_millis(EPOCH - 3_600_000));
    world.give(Input::Beat(Beat { sent_at, ..Beat::alive(id("worker")) }));
    assert!(world.explained("worker").contains(&"heart-skew".to_owned()));
    // A unit that announces its stop and goes on running in silence is stuck in it.
    world.beat_with("worker", BeatStatus::Stopping, &[]);
    world.pass(10 * SECOND);
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::Hung)));
}

#[test]
fn flapping_is_explained() {
    let mut world = World::new(one(with_check(service("web"), 0, 1)));
    world.check("web", 0, PASS);
    for _ in 0..4 {
        for _ in 0..3 {
            world.check("web", 0, REFUSED);
        }
        for _ in 0..2 {
            world.check("web", 0, PASS);
        }
    }
    assert!(world.explained("web").contains(&"flapping".to_owned()));
    let rule_alerts = world.engine.rules();
    assert!(rule_alerts.is_empty());
}

#[test]
fn a_restart_cut_short_by_our_own_end_is_no_operators_stop() {
    let spec = one(with_restart(with_unit(service("web")), 3));
    let mut first = World::new(spec.clone());
    first.running("web", 1);
    first.killed("web");
    first.pass(SECOND);
    assert_eq!(first.actions().len(), 1);
    let (incident, timeline) = first.engine.open_incident(IncidentId(1)).unwrap();
    let memory = first.effects.iter().rev().find_map(|effect| match effect {
        Effect::Remember(memory) => Some(memory.clone()),
        _ => None,
    });
    let past = Past {
        memories: memory.into_iter().collect(),
        incidents: vec![(incident, timeline)],
        next_incident: 2,
        alerts: first.engine.alerts(),
        ..Past::default()
    };
    let mut second = World { engine: Engine::new(), mono: first.mono, wall: first.wall, effects: Vec::new() };
    let now = second.now();
    let mut other = World { engine: Engine::new(), mono: first.mono, wall: first.wall, effects: Vec::new() };
    other.engine.restore(now, past.clone());
    other.again(&spec);
    other.killed("web");
    assert_eq!(other.state("web"), (State::Down, Some(Reason::Killed)), "an end that nobody ordered is one");
    second.engine.restore(now, past);
    second.again(&spec);
    second.unit("web", UnitState::Stopped { ordered: true, exit: Exit::Clean });
    assert_eq!(second.engine.open_incidents().len(), 1, "nobody but us stopped it");
    second.pass(70 * SECOND);
    assert_eq!(second.state("web"), (State::Down, Some(Reason::StartFailed)));
    assert_eq!(second.actions().len(), 1, "and it is started again");
}

#[test]
fn a_reload_may_take_a_units_watching_or_a_service_with_a_restart_ahead_away() {
    let mut spec = one(with_restart(with_heart(with_unit(service("web"))), 3));
    let mut world = World::new(spec.clone());
    world.running("web", 1);
    world.beat("web");
    world.killed("web");
    assert_eq!(world.engine.open_incidents().len(), 1);
    // Its unit is no longer looked at: its heart alone tells.
    spec.services[0].unit = None;
    world.again(&spec);
    world.beat("web");
    assert_eq!(world.state("web").0, State::Up);
    assert!(world.engine.service("web", world.now()).unwrap().unit.is_none());
    spec.services.clear();
    world.again(&spec);
    world.pass(60 * SECOND);
    assert_eq!(world.engine.open_incidents().len(), 0);
    assert_eq!(world.actions().len(), 0, "what is not watched is not restarted");
}

#[test]
fn a_trouble_of_the_network_can_be_acknowledged_and_a_reload_keeps_a_lost_host_lost() {
    let mut spec = one(with_unit(service("a")));
    let mut other = with_unit(service("b"));
    other.host = "web-02".into();
    spec.services.push(other);
    let mut world = World::new(spec.clone());
    let link = |host: &str, connected| Input::Link { host: host.into(), connected };
    for host in ["web-01", "web-02"] {
        world.give(link(host, true));
    }
    world.give(link("web-01", false));
    world.again(&spec);
    assert_eq!(world.opened(), ["host.web-01"], "a reload is no sign of life");
    assert_eq!(world.engine.open_incidents().len(), 1);
    world.give(link("web-02", false));
    let network = world.engine.open_incidents().remove(0);
    assert_eq!(network.service_id.as_str(), "network");
    assert_eq!(world.order(Order::Acknowledge(network.id)), Answer::Done);
    let (network, timeline) = world.engine.open_incident(network.id).unwrap();
    assert!(network.acknowledged_by.is_some());
    assert_eq!(timeline.last().unwrap().what.as_ref(), "acknowledged");
}

#[test]
fn what_an_agent_restarted_alone_counts_against_the_budget_and_is_audited() {
    let mut world = World::new(one(with_restart(with_unit(service("web")), 1)));
    world.running("web", 1);
    let process = Process { pid: 2, started: 2 };
    world.give(Input::ActionDone(ActionReport {
        id: "alone-1".into(),
        service: id("web"),
        result: Ok(Some(process)),
        refused: false,
    }));
    let by_agent = world.effects.iter().any(|effect| {
        matches!(effect, Effect::Audit(entry) if entry.by.as_ref() == "agent on web-01" && entry.action.as_ref() == "restart")
    });
    assert!(by_agent);
    world.running("web", 2);
    world.killed("web");
    world.pass(20 * SECOND);
    assert_eq!(world.actions().len(), 0, "the only restart of its budget was the agent's");
    assert!(world.timeline().contains(&"restart_withheld".to_owned()));
}
