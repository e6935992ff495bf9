//! What is made of silence: questions, hosts, networks, flaps, restarts of our own.

use super::*;
use crate::spec::{Confirm, DetectorSpec, Mode, Profile};

const MISSED: Option<Reason> = Some(Reason::MissedHeartbeat);
const GONE: (State, Option<Reason>) = (State::Unknown, Some(Reason::HostUnreachable));

/// The default: adaptive, asking at suspicion, capped by three intervals.
fn adaptive(interval: Duration) -> HeartbeatSpec {
    HeartbeatSpec {
        interval,
        timeout: 3 * interval,
        retries: 2,
        detector: DetectorSpec::Adaptive(Profile::Default),
        confirm: true,
        ..HeartbeatSpec::never()
    }
}

pub(super) fn with_adaptive(mut spec: ServiceSpec) -> ServiceSpec {
    spec.heartbeat = Some(adaptive(10 * SECOND));
    spec
}

fn on_host(mut spec: ServiceSpec, host: &str) -> ServiceSpec {
    spec.host = host.into();
    spec
}

pub(super) fn many(services: Vec<ServiceSpec>) -> Spec {
    Spec { services, receivers: vec!["hook".into()], ..Spec::default() }
}

fn http(mut spec: ServiceSpec) -> ServiceSpec {
    let mut with = with_check(service("x"), 0, 1).checks.clone();
    with[0].kind = CheckKind::Http;
    spec.checks.append(&mut with);
    spec
}

impl World {
    pub(super) fn beat_for(&mut self, ids: &[&str], rounds: u32, interval: Duration) {
        for _ in 0..rounds {
            for id in ids {
                self.beat(id);
            }
            self.pass(interval);
        }
    }

    fn asked(&self) -> usize {
        self.effects.iter().filter(|effect| matches!(effect, Effect::LookNow(_))).count()
    }

    pub(super) fn opened(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for effect in &self.effects {
            if let Effect::Incident(incident) = effect
                && incident.closed_at.is_none()
                && !ids.contains(&incident.service_id.to_string())
            {
                ids.push(incident.service_id.to_string());
            }
        }
        ids
    }

    /// The same engine after a restart of lifesign that lost nothing that was written.
    pub(super) fn restarted(&self, spec: &Spec, down_for: Duration) -> Self {
        let mut past = Past { next_incident: 100, ..Past::default() };
        let mut memories: BTreeMap<ServiceId, Memory> = BTreeMap::new();
        let mut incidents: BTreeMap<IncidentId, Incident> = BTreeMap::new();
        for effect in &self.effects {
            match effect {
                Effect::Remember(memory) => {
                    memories.insert(memory.service.clone(), memory.clone());
                }
                Effect::Incident(incident) => {
                    incidents.insert(incident.id, incident.clone());
                }
                _ => {}
            }
        }
        past.memories = memories.into_values().collect();
        let open = incidents.into_values().filter(|incident| incident.closed_at.is_none());
        past.incidents = open.map(|incident| (incident, Vec::new())).collect();
        past.alerts = self.engine.alerts();
        past.notified = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Notify(notification) => Some(notification.clone()),
                _ => None,
            })
            .collect();
        let wall = self.wall + i64::try_from(down_for.as_millis()).unwrap();
        // Another process: the monotonic clock may start anywhere.
        let mut next =
            World { engine: Engine::new(), mono: Mono::from_millis(77), wall, effects: Vec::new() };
        let now = next.now();
        next.engine.restore(now, past);
        next.effects.clone_from(&self.effects);
        next.give(Input::Configure(Arc::new(spec.clone())));
        next
    }
}

#[test]
fn a_learned_suspicion_comes_early_and_nobody_to_ask_means_the_cap() {
    let mut world = World::new(one(with_adaptive(service("orders"))));
    world.beat_for(&["orders"], 20, 10 * SECOND);
    assert_eq!(world.state("orders").0, State::Up);
    world.pass(SECOND);
    assert_eq!(world.state("orders"), (State::Suspect, MISSED), "11 s of silence");
    world.pass(18 * SECOND);
    assert_eq!(world.state("orders").0, State::Suspect);
    world.pass(SECOND);
    assert_eq!(world.state("orders"), (State::Down, MISSED), "30 s: the cap");
}

#[test]
fn when_all_that_is_asked_speaks_against_it_the_cap_is_not_waited_for() {
    let mut world = World::new(one(with_check(with_adaptive(service("orders")), 0, 1)));
    world.check("orders", 0, PASS);
    world.beat_for(&["orders"], 20, 10 * SECOND);
    world.pass(SECOND);
    assert_eq!(world.state("orders"), (State::Suspect, MISSED));
    let asked = world.asked();
    assert!(asked >= 1);
    for _ in 0..10 {
        world.check("orders", 0, REFUSED);
        world.pass(SECOND);
    }
    assert!(world.asked() >= asked + 8, "a few quick tries");
    world.pass(SECOND);
    assert_eq!(world.state("orders"), (State::Down, MISSED), "22 s, not 30");
}

#[test]
fn an_application_that_answers_is_not_hung_before_the_retries_and_is_then() {
    let mut world = World::new(one(http(with_adaptive(service("orders")))));
    world.check("orders", 0, PASS);
    world.beat_for(&["orders"], 20, 10 * SECOND);
    for _ in 0..38 {
        world.pass(SECOND);
        world.check("orders", 0, PASS);
        assert!(matches!(world.state("orders").0, State::Up | State::Suspect));
    }
    world.pass(3 * SECOND);
    assert_eq!(world.state("orders"), (State::Down, Some(Reason::Hung)), "cap and two intervals");
}

#[test]
fn what_only_proves_that_something_runs_ends_no_inquiry_and_moves_no_cap() {
    let mut world = World::new(one(with_check(with_adaptive(service("orders")), 0, 1)));
    world.check("orders", 0, PASS);
    world.beat_for(&["orders"], 20, 10 * SECOND);
    for _ in 0..19 {
        world.pass(SECOND);
        world.check("orders", 0, PASS);
    }
    assert_eq!(world.state("orders"), (State::Suspect, MISSED), "29 s");
    world.pass(2 * SECOND);
    assert_eq!(world.state("orders"), (State::Down, Some(Reason::Hung)));
}

#[test]
fn a_second_opinion_needs_its_number() {
    let mut spec = with_check(with_check(with_check(with_adaptive(service("orders")), 0, 1), 1, 1), 2, 1);
    spec.heartbeat.as_mut().unwrap().second_opinion = Some(Confirm { need: 2, of: 3 });
    let mut world = World::new(one(spec));
    for check in 0..3 {
        world.check("orders", check, PASS);
    }
    world.beat_for(&["orders"], 20, 10 * SECOND);
    for _ in 0..13 {
        world.pass(SECOND);
        world.check("orders", 0, REFUSED);
        world.check("orders", 1, PASS);
        world.check("orders", 2, PASS);
    }
    assert_eq!(world.state("orders").0, State::Suspect, "one of three says so");
    let mut other = World::new(world_spec_of_three());
    for check in 0..3 {
        other.check("orders", check, PASS);
    }
    other.beat_for(&["orders"], 20, 10 * SECOND);
    for _ in 0..13 {
        other.pass(SECOND);
        other.check("orders", 0, REFUSED);
        other.check("orders", 1, REFUSED);
        other.check("orders", 2, PASS);
    }
    assert_eq!(other.state("orders").0, State::Down, "two of three say so");
}

fn world_spec_of_three() -> Spec {
    let mut spec = with_check(with_check(with_check(with_adaptive(service("orders")), 0, 1), 1, 1), 2, 1);
    spec.heartbeat.as_mut().unwrap().second_opinion = Some(Confirm { need: 2, of: 3 });
    one(spec)
}

#[test]
fn questions_have_a_budget_and_without_it_the_cap_judges() {
    let names: Vec<String> = (0..50).map(|n| format!("s-{n}")).collect();
    let services = names.iter().map(|name| with_check(with_adaptive(service(name)), 0, 1)).collect();
    let spec = Spec { confirmations_per_second: 3, ..many(services) };
    let mut world = World::new(spec);
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    world.beat_for(&ids, 5, 10 * SECOND);
    let before = world.asked();
    world.pass(10 * SECOND);
    let asked = world.asked() - before;
    assert!((20..=35).contains(&asked), "{asked} questions in ten seconds");
}

#[test]
fn a_host_that_is_gone_is_one_incident_and_comes_back_as_one() {
    let names = ["a", "b", "c", "d", "e"];
    let services = names.iter().map(|name| on_host(with_adaptive(service(name)), "web-01")).collect();
    let mut world = World::new(many(services));
    world.beat_for(&names, 10, 10 * SECOND);
    world.pass(30 * SECOND);
    for name in names {
        assert_eq!(world.state(name), GONE, "{name}");
    }
    assert_eq!(world.opened(), ["host.web-01"]);
    assert_eq!(world.told(), [NotifyReason::FirstFiring]);
    assert_eq!(world.engine.open_incidents().len(), 1);

    // One is heard: the host is back, and the others have the time of a first heartbeat.
    world.beat("a");
    assert_eq!(world.engine.open_incidents().len(), 0);
    world.pass(5 * SECOND);
    for name in ["b", "c", "d"] {
        world.beat(name);
    }
    world.pass(5 * SECOND);
    assert_eq!(world.opened(), ["host.web-01"]);
    // The one that did not come back has died itself.
    world.beat_for(&["a", "b", "c", "d"], 6, 10 * SECOND);
    assert_eq!(world.state("e"), (State::Down, MISSED));
    assert_eq!(world.opened(), ["host.web-01", "e"]);
}

#[test]
fn two_of_many_services_that_fall_silent_are_two_incidents() {
    let names = ["a", "b", "c", "d", "e"];
    let services = names.iter().map(|name| with_adaptive(service(name))).collect();
    let mut world = World::new(many(services));
    world.beat_for(&names, 10, 10 * SECOND);
    world.beat_for(&["c", "d", "e"], 4, 10 * SECOND);
    assert_eq!(world.opened(), ["a", "b"]);
}

#[test]
fn an_agent_that_is_connected_vouches_for_its_host() {
    let names = ["a", "b", "c"];
    let services = names.iter().map(|name| with_adaptive(service(name))).collect();
    let mut world = World::new(many(services));
    world.give(Input::Link { host: "web-01".into(), connected: true });
    world.beat_for(&names, 10, 10 * SECOND);
    world.pass(30 * SECOND);
    assert_eq!(world.opened(), ["a", "b", "c"]);
}

#[test]
fn a_lost_link_is_one_incident_and_units_behind_it_are_unknown() {
    let services = vec![with_unit(service("a")), with_unit(service("b"))];
    let mut world = World::new(many(services));
    world.give(Input::Link { host: "web-01".into(), connected: true });
    world.running("a", 1);
    world.running("b", 2);
    world.give(Input::Link { host: "web-01".into(), connected: false });
    assert_eq!(world.state("a"), (State::Unknown, Some(Reason::HostUnreachable)));
    assert_eq!(world.opened(), ["host.web-01"]);
    world.give(Input::Link { host: "web-01".into(), connected: true });
    assert_eq!(world.state("a").0, State::Up);
    assert_eq!(world.engine.open_incidents().len(), 0);
}

#[test]
fn what_needs_a_service_on_a_host_that_is_gone_is_explained_by_it() {
    let names = ["a", "b", "c"];
    let mut services: Vec<_> = names.iter().map(|name| with_adaptive(service(name))).collect();
    services.push(on_host(with_check(service("shop"), 0, 1), "web-02"));
    services[3].depends_on = vec![Dependency { of: vec![ServiceId::new("a").unwrap()], need: 1 }];
    let mut world = World::new(many(services));
    world.check("shop", 0, PASS);
    world.beat_for(&names, 10, 10 * SECOND);
    world.pass(30 * SECOND);
    assert_eq!(world.state("a"), GONE);
    for _ in 0..3 {
        world.check("shop", 0, CheckOutcome::Fail(FailKind::Refused));
    }
    assert_eq!(world.state("shop"), (State::Down, Some(Reason::DependencyDown)));
    let detail = world.engine.service("shop", world.now()).unwrap().detail;
    assert_eq!(detail, "it depends on a, and the host of that, web-01, is gone");
    assert_eq!(world.opened(), ["host.web-01"]);
    // What it needs is there again: it has the time of a start before its own trouble is told.
    for name in names {
        world.beat(name);
    }
    assert_eq!(world.state("shop"), (State::Down, Some(Reason::DependencyDown)));
    world.beat_for(&names, 7, 10 * SECOND);
    assert_eq!(world.state("shop"), (State::Down, Some(Reason::CheckFailed)));
    assert_eq!(world.opened(), ["host.web-01", "shop"]);
}

#[test]
fn many_hosts_silent_at_once_are_one_incident_of_the_network() {
    let mut services = Vec::new();
    let mut names = Vec::new();
    for host in ["h1", "h2", "h3"] {
        for n in 0..4 {
            let name = format!("{host}-{n}");
            services.push(on_host(with_adaptive(service(&name)), host));
            names.push(name);
        }
    }
    let mut world = World::new(many(services));
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    world.beat_for(&ids, 10, 10 * SECOND);
    world.pass(40 * SECOND);
    assert_eq!(world.opened(), ["network"]);
    assert_eq!(world.told(), [NotifyReason::FirstFiring]);
    // Two hosts return; the third is gone by itself.
    for id in &ids[..8] {
        world.beat(id);
    }
    assert_eq!(world.engine.open_incidents().len(), 1);
    assert_eq!(world.opened(), ["network", "host.h3"]);
}

#[test]
fn an_incident_of_a_host_survives_a_restart_of_lifesign() {
    let names = ["a", "b", "c"];
    let spec = many(names.iter().map(|name| with_adaptive(service(name))).collect());
    let mut first = World::new(spec.clone());
    first.beat_for(&names, 10, 10 * SECOND);
    first.pass(40 * SECOND);
    assert_eq!(first.opened(), ["host.web-01"]);
    let mut second = first.restarted(&spec, 5 * SECOND);
    second.pass(100 * SECOND);
    assert_eq!(second.engine.open_incidents().len(), 1);
    assert_eq!(second.told(), [NotifyReason::FirstFiring], "nothing is told again");
    second.beat("a");
    assert_eq!(second.engine.open_incidents().len(), 0);
}

#[test]
fn a_dependency_that_is_being_looked_into_is_waited_for() {
    let mut web = with_check(service("web"), 0, 1);
    web.depends_on = vec![Dependency::on(ServiceId::new("db").unwrap())];
    let mut world = World::new(many(vec![web, with_adaptive(service("db"))]));
    world.check("web", 0, PASS);
    world.beat_for(&["db"], 10, 10 * SECOND);
    world.pass(SECOND);
    assert_eq!(world.state("db").0, State::Suspect);
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    assert_eq!(world.state("web"), (State::Suspect, Some(Reason::DependencyDown)));
    world.pass(20 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    assert_eq!(world.opened(), ["db"]);
    let view = world.engine.service("web", world.now()).unwrap();
    assert!(view.detail.contains("db"), "{}", view.detail);
}

#[test]
fn a_cause_found_just_after_its_effect_takes_the_incident_over() {
    let mut web = with_check(service("web"), 0, 1);
    web.depends_on = vec![Dependency::on(ServiceId::new("db").unwrap())];
    let mut world = World::new(many(vec![web, with_check(service("db"), 0, 1)]));
    world.check("web", 0, PASS);
    world.check("db", 0, PASS);
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::CheckFailed)));
    world.pass(5 * SECOND);
    for _ in 0..3 {
        world.check("db", 0, REFUSED);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    assert_eq!(world.engine.open_incidents().len(), 1);
}

#[test]
fn one_of_a_redundant_group_may_be_down() {
    let id = |name| ServiceId::new(name).unwrap();
    let mut web = with_check(service("web"), 0, 1);
    web.depends_on = vec![Dependency { of: vec![id("db-1"), id("db-2")], need: 1 }];
    let services = vec![web, with_check(service("db-1"), 0, 1), with_check(service("db-2"), 0, 1)];
    let mut world = World::new(many(services));
    for name in ["web", "db-1", "db-2"] {
        world.check(name, 0, PASS);
    }
    for _ in 0..3 {
        world.check("db-1", 0, REFUSED);
    }
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::CheckFailed)), "the group still works");
    for _ in 0..3 {
        world.check("db-2", 0, REFUSED);
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
}

#[test]
fn flapping_is_told_once_and_the_truth_when_it_ends() {
    let mut world = World::new(one(with_check(service("web"), 0, 1)));
    world.check("web", 0, PASS);
    let mut told = Vec::new();
    for _ in 0..10 {
        for _ in 0..3 {
            world.check("web", 0, REFUSED);
        }
        world.pass(5 * SECOND);
        for _ in 0..2 {
            world.check("web", 0, PASS);
        }
        world.pass(5 * SECOND);
        told.push(world.told().len());
    }
    assert_eq!(told, [2, 4, 6, 7, 7, 7, 7, 7, 7, 7], "three times down and up, then once that it flaps");
    assert_eq!(world.state("web").0, State::Up);
    assert_eq!(world.engine.open_incidents().len(), 1, "up, but not trusted");
    world.pass(90 * 60 * SECOND);
    assert_eq!(world.engine.open_incidents().len(), 0);
    assert_eq!(world.told().len(), 8);
    assert_eq!(world.told().last(), Some(&NotifyReason::AllResolved));
}

#[test]
fn what_is_down_when_flapping_ends_is_told_as_down() {
    let mut world = World::new(one(with_check(service("web"), 0, 1)));
    world.check("web", 0, PASS);
    for _ in 0..4 {
        for _ in 0..2 {
            world.check("web", 0, PASS);
        }
        world.pass(5 * SECOND);
        for _ in 0..3 {
            world.check("web", 0, REFUSED);
        }
        world.pass(5 * SECOND);
    }
    assert_eq!(world.engine.alerts()[0].labels[0].1.as_ref(), "ServiceFlapping");
    world.pass(90 * 60 * SECOND);
    let names: Vec<String> =
        world.engine.alerts().iter().map(|alert| alert.labels[0].1.to_string()).collect();
    assert_eq!(names, ["ServiceDown"]);
    assert_eq!(world.engine.open_incidents().len(), 1);
}

#[test]
fn a_sender_that_does_not_hear_us_is_degraded_and_said_so() {
    let mut spec = with_adaptive(service("orders"));
    spec.heartbeat.as_mut().unwrap().mode = Mode::Mutual;
    let mut world = World::new(one(spec));
    let say = |world: &mut World, hears| {
        let beat = Beat { hears, ..Beat::alive(ServiceId::new("orders").unwrap()) };
        world.give(Input::Beat(beat));
    };
    say(&mut world, Some(true));
    assert_eq!(world.state("orders").0, State::Up);
    say(&mut world, Some(false));
    assert_eq!(world.state("orders"), (State::Degraded, Some(Reason::CheckFailed)));
    let view = world.engine.service("orders", world.now()).unwrap();
    assert!(view.detail.contains("does not hear"), "{}", view.detail);
    say(&mut world, Some(true));
    assert_eq!(world.state("orders").0, State::Up);
}

#[test]
fn in_back_off_mode_the_sender_says_when_the_next_is_due() {
    let mut spec = with_adaptive(service("orders"));
    let heartbeat = spec.heartbeat.as_mut().unwrap();
    heartbeat.mode = Mode::Backoff;
    heartbeat.interval = 60 * SECOND;
    heartbeat.timeout = 180 * SECOND;
    let mut world = World::new(one(spec));
    let say = |world: &mut World, seconds: u32| {
        let interval = Some(seconds * SECOND);
        let beat = Beat { interval, ..Beat::alive(ServiceId::new("orders").unwrap()) };
        world.give(Input::Beat(beat));
    };
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        say(&mut world, seconds);
        world.pass(seconds * SECOND);
        assert_eq!(world.state("orders").0, State::Up);
    }
    say(&mut world, 2);
    world.pass(7 * SECOND);
    assert_eq!(world.state("orders"), (State::Down, MISSED), "three of the present intervals");
}

#[test]
fn late_news_neither_revive_nor_kill() {
    let mut world = World::new(one(with_unit(with_adaptive(service("orders")))));
    world.running("orders", 1);
    world.beat_for(&["orders"], 5, 10 * SECOND);
    let id = ServiceId::new("orders").unwrap();
    let stopped = UnitReport::new(UnitState::Stopped { ordered: false, exit: Exit::Signal(9) }, "failed");
    let late = |input| Input::Late { age: 300 * SECOND, input: Box::new(input) };
    world.give(late(Input::Unit { service: id.clone(), report: stopped }));
    assert_eq!(world.state("orders").0, State::Up);
    world.pass(40 * SECOND);
    assert_eq!(world.state("orders"), (State::Down, Some(Reason::Hung)));
    world.give(late(Input::Beat(Beat::alive(id.clone()))));
    assert_eq!(world.state("orders").0, State::Down, "heard five minutes ago");
    world.give(Input::Late { age: SECOND, input: Box::new(Input::Beat(Beat::alive(id))) });
    assert_eq!(world.state("orders").0, State::Up, "heard a second ago");
}

#[test]
fn restarts_of_our_own_hide_no_death_and_make_none() {
    let spec = one(with_adaptive(service("orders")));
    let mut world = World::new(spec.clone());
    world.beat_for(&["orders"], 5, 10 * SECOND);
    // It lives on: a beat falls into every life of eight seconds at most every tenth second.
    for round in 0..20 {
        world = world.restarted(&spec, 2 * SECOND);
        world.pass(SECOND * (round % 8));
        world.beat("orders");
        world.pass(8 * SECOND - SECOND * (round % 8));
        assert!(world.engine.open_incidents().is_empty());
    }
    // It dies: lives of eight seconds each are far shorter than the cap of thirty.
    let mut lives = 0;
    while world.engine.open_incidents().is_empty() {
        world = world.restarted(&spec, 2 * SECOND);
        world.pass(8 * SECOND);
        lives += 1;
        assert!(lives < 20, "its death is hidden by our restarts");
    }
    assert!(lives > 3, "{lives}");
}

#[test]
fn small_stalls_of_our_own_move_deadlines_too() {
    let mut world = World::new(one(with_heart(service("worker"))));
    world.beat("worker");
    // Stepped only every 1.5 s, as an overloaded machine would: five of these are no five seconds of silence.
    for _ in 0..5 {
        world.stall(Duration::from_millis(1500));
        world.give(Input::Tick);
    }
    assert_eq!(world.state("worker").0, State::Up);
    world.pass(6 * SECOND);
    assert_eq!(world.state("worker").0, State::Down);
}

#[test]
fn a_heart_that_beats_while_its_work_stands_still_is_hung() {
    let mut spec = with_restart(with_unit(with_adaptive(service("orders"))), 3);
    spec.heartbeat.as_mut().unwrap().progress_within = Some(60 * SECOND);
    let mut world = World::new(one(spec));
    world.running("orders", 1);
    let say = |world: &mut World, progress| {
        let beat = Beat { progress: Some(progress), ..Beat::alive(ServiceId::new("orders").unwrap()) };
        world.give(Input::Beat(beat));
        world.pass(10 * SECOND);
    };
    for count in 0..10 {
        say(&mut world, count);
        assert_eq!(world.state("orders").0, State::Up);
    }
    for _ in 0..4 {
        say(&mut world, 9);
    }
    assert_eq!(world.state("orders").0, State::Up, "50 s");
    say(&mut world, 9);
    assert_eq!(world.state("orders"), (State::Down, Some(Reason::Hung)));
    let view = world.engine.service("orders", world.now()).unwrap();
    assert!(view.detail.contains("stood still at 9"), "{}", view.detail);
    world.pass(2 * SECOND);
    assert_eq!(world.actions().len(), 1, "and is restarted like any other that hangs");
    say(&mut world, 10);
    assert_eq!(world.state("orders").0, State::Up);
}
