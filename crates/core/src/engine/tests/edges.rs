//! What hardly ever happens, and must not surprise anybody when it does.

use super::corners::{id, rule};
use super::detection::{many, with_adaptive};
use super::*;
use crate::spec::RouteSpec;

fn codes(world: &World, name: &str) -> Vec<String> {
    let explanation = world.engine.explain(name, world.now()).unwrap();
    explanation.facts.iter().map(|fact| fact.code.to_string()).collect()
}

#[test]
fn a_monitor_that_had_nothing_to_watch_remembers_like_any_other_when_it_has() {
    let mut world = World::new(Spec::default());
    world.give(Input::Configure(Arc::new(Spec::default())));
    world.give(Input::Configure(Arc::new(one(with_heart(service("worker"))))));
    world.beat("worker");
    world.effects.clear();
    for _ in 0..61 {
        world.beat("worker");
        world.pass(SECOND);
    }
    let remembered = world.effects.iter().filter(|effect| matches!(effect, Effect::Remember(_))).count();
    assert!((2..=3).contains(&remembered), "every half minute, once: {remembered}");
}

#[test]
fn a_dependency_that_nobody_watches_is_taken_to_work() {
    let mut web = with_check(service("web"), 0, 1);
    web.depends_on = vec![Dependency::on(id("elsewhere"))];
    let mut world = World::new(one(web));
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::CheckFailed)));
    let facts = codes(&world, "web");
    assert!(!facts.contains(&"dependency-down".to_owned()), "{facts:?}");
}

#[test]
fn a_service_below_two_others_hears_once_of_what_is_above_both() {
    let below = |name: &str, above: &[&str]| {
        let mut spec = with_check(service(name), 0, 1);
        spec.depends_on = above.iter().map(|name| Dependency::on(id(name))).collect();
        spec
    };
    let services = vec![
        below("web", &["left", "right"]),
        below("left", &["db"]),
        below("right", &["db"]),
        below("db", &[]),
    ];
    let mut world = World::new(many(services));
    for name in ["web", "left", "right", "db"] {
        world.check(name, 0, PASS);
    }
    for name in ["db", "web"] {
        for _ in 0..3 {
            world.check(name, 0, REFUSED);
        }
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    let view = world.engine.service("web", world.now()).unwrap();
    assert!(view.detail.contains("db"), "{}", view.detail);
    let downs = world.transitions().iter().filter(|line| line.starts_with("web down")).count();
    assert_eq!((downs, world.engine.open_incidents().len()), (1, 1));
    world.check("db", 0, PASS);
    world.check("db", 0, PASS);
    world.pass(6 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::CheckFailed)));
}

#[test]
fn a_dependency_that_has_just_come_back_still_explains_and_is_looked_for_in_vain() {
    let mut web = with_check(service("web"), 0, 1);
    // Named twice, alone and in a group; and one that nobody watches.
    web.depends_on = vec![
        Dependency::on(id("api")),
        Dependency { of: vec![id("api"), id("elsewhere")], need: 1 },
        Dependency::on(id("db")),
    ];
    let mut world =
        World::new(many(vec![web, with_check(service("api"), 0, 1), with_check(service("db"), 0, 1)]));
    for name in ["web", "api", "db"] {
        world.check(name, 0, PASS);
    }
    for name in ["db", "web"] {
        for _ in 0..3 {
            world.check(name, 0, REFUSED);
        }
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    for name in ["db", "web"] {
        for _ in 0..2 {
            world.check(name, 0, PASS);
        }
    }
    assert_eq!(world.state("web").0, State::Up);
    // It fails again within the time of a start.
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    let view = world.engine.service("web", world.now()).unwrap();
    assert_eq!(view.detail, "something it depends on has only just come back");
    world.pass(6 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::CheckFailed)));
}

#[test]
fn the_announced_stop_of_a_heart_that_is_configured_no_more_holds_nothing_up() {
    let mut first = World::new(one(with_heart(service("web"))));
    first.beat_with("web", BeatStatus::Stopping, &[]);
    let mut second = first.restarted(&one(with_check(service("web"), 0, 1)), SECOND);
    second.check("web", 0, PASS);
    assert_eq!(second.state("web"), (State::Up, None));
}

#[test]
fn a_circle_of_dependencies_which_the_configuration_refuses_ends_all_the_same() {
    let around = |name: &str, above: &str| {
        let mut spec = with_check(service(name), 0, 1);
        spec.depends_on = vec![Dependency::on(id(above))];
        spec
    };
    let mut world = World::new(many(vec![around("a", "b"), around("b", "c"), around("c", "a")]));
    for name in ["a", "b", "c"] {
        world.check(name, 0, PASS);
    }
    for _ in 0..3 {
        world.check("a", 0, REFUSED);
    }
    assert_eq!(world.state("a"), (State::Down, Some(Reason::CheckFailed)));
    for _ in 0..3 {
        world.check("b", 0, REFUSED);
    }
    assert_eq!(world.state("b"), (State::Down, Some(Reason::DependencyDown)));
    for name in ["a", "b"] {
        world.check(name, 0, PASS);
        world.check(name, 0, PASS);
    }
    world.pass(10 * SECOND);
    assert_eq!((world.state("a").0, world.state("b").0), (State::Up, State::Up));
}

#[test]
fn who_will_be_told_later_is_said_with_the_time_that_is_left() {
    let mut spec = one(with_check(service("web"), 0, 1));
    spec.routes = vec![RouteSpec {
        matches: Vec::new(),
        receivers: vec!["hook".into()],
        group_by: Vec::new(),
        group_wait: 30 * SECOND,
        group_interval: 300 * SECOND,
        repeat_interval: 3600 * SECOND,
    }];
    let mut world = World::new(spec);
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    world.pass(10 * SECOND);
    let explanation = world.engine.explain("web", world.now()).unwrap();
    let fact = explanation.facts.iter().find(|fact| &*fact.code == "notify-waiting").unwrap();
    assert_eq!(fact.text, "hook will be told of ServiceDown in 20 s.");
    world.pass(20 * SECOND);
    assert!(codes(&world, "web").contains(&"notify-told".to_owned()));
}

#[test]
fn flapping_that_ends_after_an_operator_ended_the_trouble_is_no_news() {
    let mut world = World::new(one(with_unit(service("web"))));
    for pid in 1..=4 {
        world.running("web", pid);
        world.pass(11 * SECOND);
        world.killed("web");
    }
    world.running("web", 5);
    world.unit("web", UnitState::Stopped { ordered: true, exit: Exit::Clean });
    let told = world.told().len();
    world.pass(2 * 3600 * SECOND);
    world.running("web", 6);
    assert_eq!(world.state("web").0, State::Up);
    assert_eq!(world.told().len(), told);
    assert!(!codes(&world, "web").contains(&"flapping".to_owned()));
}

#[test]
fn what_a_rule_wants_waits_while_the_unit_changes_and_ends_with_a_pause() {
    let mut spec = one(with_restart(with_heart(with_unit(service("worker"))), 3));
    spec.services[0].heartbeat = Some(HeartbeatSpec::never());
    spec.rules = vec![RuleSpec { restart: true, ..rule("memory", Duration::ZERO) }];
    for pause in [false, true] {
        let mut world = World::new(spec.clone());
        world.running("worker", 1);
        world.beat_with("worker", BeatStatus::Alive, &[("memory", 97.0)]);
        world.unit("worker", UnitState::Stopping);
        world.pass(5 * SECOND);
        assert_eq!(world.actions().len(), 0, "somebody is acting on it");
        if pause {
            world.give(Input::Order { by: "ops".into(), order: Order::Pause(id("worker")) });
            assert!(world.engine.services[0].remedy.step == Step::Idle);
        }
        world.running("worker", 1);
        world.pass(2 * SECOND);
        assert_eq!(world.actions().len(), usize::from(!pause));
    }
}

#[test]
fn a_service_without_a_unit_is_not_restarted_whatever_the_configuration_hopes() {
    let mut world = World::new(one(with_restart(with_check(service("web"), 0, 1), 3)));
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    world.pass(60 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::CheckFailed)));
    assert_eq!(world.actions().len(), 0);
}

#[test]
fn a_restart_that_ends_before_the_first_look_is_no_start_of_anything_else() {
    let mut world = World::new(one(with_unit(service("web"))));
    world.give(Input::Order { by: "ops".into(), order: Order::Restart(id("web")) });
    world.action_done("web", 7);
    assert_eq!(world.state("web").0, State::Pending, "nobody has looked");
    world.running("web", 7);
    assert_eq!(world.state("web").0, State::Up);
    assert_eq!(world.engine.service("web", world.now()).unwrap().pid, Some(7));
}

#[test]
fn an_incident_of_the_network_survives_a_restart_of_lifesign() {
    let hosts = ["h1", "h2"];
    let mut services = Vec::new();
    for host in hosts {
        for n in 0..3 {
            let mut one = with_adaptive(service(&format!("{host}-{n}")));
            one.host = host.into();
            services.push(one);
        }
    }
    let names: Vec<String> = services.iter().map(|service| service.id.to_string()).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = many(services);
    let mut first = World::new(spec.clone());
    first.beat_for(&ids, 10, 10 * SECOND);
    first.pass(40 * SECOND);
    assert_eq!(first.opened(), ["network"]);
    let mut second = first.restarted(&spec, 5 * SECOND);
    second.pass(100 * SECOND);
    assert_eq!(second.opened(), ["network"], "nothing else is opened");
    assert_eq!(second.told(), [NotifyReason::FirstFiring], "and nothing told again");
    for id in &ids {
        second.beat(id);
    }
    assert_eq!(second.engine.open_incidents().len(), 0);
    // With the first of the two hosts the network is back, and the other stands alone for a moment.
    assert_eq!(second.opened(), ["network", "host.h2"]);
    assert_eq!(second.told().last(), Some(&NotifyReason::AllResolved));
}

#[test]
fn an_incident_of_a_host_has_an_id_in_the_letters_of_ids_and_a_timeline_with_an_end() {
    let mut spec = with_unit(service("web"));
    spec.host = "Web 01/β".into();
    let mut world = World::new(one(spec));
    world.give(Input::Link { host: "Web 01/β".into(), connected: true });
    world.give(Input::Link { host: "Web 01/β".into(), connected: false });
    assert_eq!(world.opened(), ["host.web-01--"]);
    for n in 0..500 {
        let by = format!("person {}", n % 2);
        world.give(Input::Order { by: by.as_str().into(), order: Order::Acknowledge(IncidentId(1)) });
    }
    let (_, kept) = world.engine.open_incident(IncidentId(1)).unwrap();
    assert_eq!(kept.len(), 200);
    assert!(world.timeline().len() > 500, "the store keeps more");
}

#[test]
fn a_rule_counts_its_own_alerts_alone() {
    let mut spec = one(with_heart(service("worker")));
    spec.rules = vec![
        rule("cpu", Duration::ZERO),
        RuleSpec { alert: "Other".into(), ..rule("memory", Duration::ZERO) },
    ];
    let mut world = World::new(spec);
    world.beat_with("worker", BeatStatus::Fail, &[("memory", 99.0)]);
    assert_eq!(world.engine.alerts().len(), 2, "the service's and one rule's");
    let states: Vec<_> = world.engine.rules().iter().map(|rule| rule.state).collect();
    assert_eq!(states, [None, Some(AlertState::Firing)]);
}

#[test]
fn a_check_that_becomes_another_kind_under_the_same_name_begins_anew() {
    let mut spec = one(with_check(service("web"), 0, 1));
    let mut world = World::new(spec.clone());
    world.check("web", 0, PASS);
    spec.services[0].checks[0].kind = CheckKind::Tls;
    world.give(Input::Configure(Arc::new(spec)));
    let check = world.engine.service("web", world.now()).unwrap().checks.remove(0);
    assert_eq!(check.state, CheckState::Pending);
}

#[test]
fn an_engine_that_has_not_been_told_what_to_watch_only_lets_time_pass() {
    let mut world =
        World { engine: Engine::new(), mono: Mono::from_millis(1), wall: EPOCH, effects: Vec::new() };
    world.pass(10 * SECOND);
    assert_eq!(world.beat("worker"), Answer::NoSuchService);
    assert_eq!(world.effects, []);
    assert_eq!(world.engine.stalls(), 0);
}

#[test]
fn a_service_that_is_gone_wakes_nobody_and_may_come_back_as_a_new_one() {
    let both = many(vec![with_heart(service("worker")), with_heart(service("other"))]);
    let mut world = World::new(both.clone());
    world.beat("worker");
    world.beat("other");
    world.give(Input::Configure(Arc::new(one(with_heart(service("worker"))))));
    world.pass(60 * SECOND);
    assert!(world.transitions().iter().all(|line| *line == "other up" || line.starts_with("worker")));
    world.give(Input::Configure(Arc::new(both)));
    assert_eq!(world.state("other").0, State::Pending);
    assert_eq!(world.engine.counts().pending, 1);
}

#[test]
fn what_a_service_says_with_its_beat_is_shown_until_it_says_something_else() {
    let mut world = World::new(one(with_heart(service("worker"))));
    let say = |world: &mut World, message: Option<&str>| {
        let message = message.map(str::to_owned);
        world.give(Input::Beat(Beat { status: BeatStatus::Fail, message, ..Beat::alive(id("worker")) }));
        world.engine.service("worker", world.now()).unwrap().detail
    };
    assert!(say(&mut world, Some("disk full")).contains("disk full"));
    assert!(say(&mut world, None).contains("disk full"));
}

#[test]
fn a_unit_without_a_known_process_starts_anew_when_it_was_stopped() {
    let mut world = World::new(one(with_check(with_unit(service("web")), 0, 1)));
    world.unit("web", UnitState::Running(None));
    world.check("web", 0, PASS);
    assert_eq!(world.state("web").0, State::Up);
    world.unit("web", UnitState::Running(None));
    let check = |world: &World| world.engine.services[0].checks[0].verdict();
    assert_eq!(check(&world), Some(true), "it went on running");
    world.killed("web");
    world.unit("web", UnitState::Running(None));
    assert_eq!(check(&world), None, "what was known of the old one proves nothing");
    // Once its process is known, a report without one is no other process, unless it was stopped in between.
    world.running("web", 7);
    world.check("web", 0, PASS);
    world.unit("web", UnitState::Running(None));
    assert_eq!(check(&world), Some(true));
    assert_eq!(world.engine.service("web", world.now()).unwrap().pid, Some(7));
    world.killed("web");
    world.unit("web", UnitState::Running(None));
    assert_eq!(check(&world), None);
}

#[test]
fn the_last_output_of_a_unit_joins_the_timeline_unless_there_is_none() {
    for (output, lines) in [("panicked at main.rs", 1), (" \n", 0)] {
        let mut world = World::new(one(with_unit(service("web"))));
        world.running("web", 1);
        let report = UnitReport {
            last_output: Some(output.to_owned()),
            ..UnitReport::new(UnitState::Stopped { ordered: false, exit: Exit::Code(101) }, "failed")
        };
        world.give(Input::Unit { service: id("web"), report });
        assert_eq!(world.timeline().iter().filter(|what| *what == "output").count(), lines);
    }
}

#[test]
fn a_unit_with_an_open_incident_is_not_excused_by_a_system_that_remembers_nothing() {
    let spec = one(with_unit(service("web")));
    let mut first = World::new(spec.clone());
    first.running("web", 1);
    first.killed("web");
    let mut second = first.restarted(&spec, 60 * SECOND);
    second.unit("web", UnitState::Stopped { ordered: false, exit: Exit::Unseen });
    assert_eq!(second.state("web"), (State::Down, Some(Reason::Exited)));
    assert_eq!(second.engine.open_incidents().len(), 1);
    let none = second.give(Input::Order { by: "ops".into(), order: Order::Acknowledge(IncidentId(0)) });
    assert_eq!(none, Answer::Refused(Refusal::NoSuchIncident(IncidentId(0))));
}

#[test]
fn a_sender_of_ever_new_metrics_fills_no_memory() {
    let mut world = World::new(one(with_heart(service("worker"))));
    let names: Vec<String> = (0..MAX_METRICS + 50).map(|n| format!("m{n}")).collect();
    for _ in 0..2 {
        for name in &names {
            world.beat_with("worker", BeatStatus::Alive, &[(name, 1.0)]);
        }
    }
    assert_eq!(world.engine.services[0].metrics.len(), MAX_METRICS);
    world.beat_with("worker", BeatStatus::Alive, &[("m0", 2.0), ("unheard", 3.0)]);
    let metrics = &world.engine.services[0].metrics;
    assert!(metrics.contains(&("m0".into(), 2.0)) && metrics.len() == MAX_METRICS);
}

#[test]
fn what_is_known_of_the_unit_of_a_service_that_has_none_is_not_kept() {
    let mut world = World::new(one(with_heart(service("worker"))));
    let answer = world.give(Input::UnitFacts { service: id("worker"), facts: Box::default() });
    assert_eq!(answer, Answer::Done);
    assert!(world.engine.services[0].unit.facts.is_none());
}
