//! What random worlds found, each as the shortest story that shows it.

use super::corners::{id, rule};
use super::detection::{many, with_adaptive};
use super::*;
use crate::spec::RouteSpec;

impl World {
    fn names_of_alerts(&self) -> Vec<String> {
        self.engine.alerts().iter().map(|alert| alert.labels[0].1.to_string()).collect()
    }

    /// What the store holds of the last service written.
    fn last_memory(&self) -> Memory {
        let memory = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Remember(memory) => Some(memory.clone()),
            _ => None,
        });
        memory.expect("something was remembered")
    }

    fn count(&self, what: &str) -> usize {
        self.timeline().iter().filter(|line| *line == what).count()
    }
}

fn ordered() -> UnitState {
    UnitState::Stopped { ordered: true, exit: Exit::Signal(15) }
}

#[test]
fn a_host_that_has_returned_is_not_blamed_again_for_one_that_is_still_excused() {
    let names = ["a", "b", "c", "d", "e"];
    let mut world = World::new(many(names.iter().map(|name| with_adaptive(service(name))).collect()));
    world.beat_for(&names, 9, 10 * SECOND);
    for name in names {
        world.beat(name);
    }
    // One of them is heard nine seconds longer, so it is given up nine seconds later.
    world.pass(9 * SECOND);
    world.beat("e");
    world.pass(22 * SECOND);
    assert_eq!(world.state("e").0, State::Suspect);
    assert_eq!(world.opened(), ["host.web-01"], "{:?}", world.transitions());
    world.beat("a");
    world.pass(8 * SECOND);
    assert_eq!(
        world.state("e"),
        (State::Unknown, Some(Reason::HostUnreachable)),
        "it was away with its host"
    );
    assert_eq!(world.engine.open_incidents().len(), 0);
    assert_eq!(world.opened(), ["host.web-01"]);
}

#[test]
fn a_recovery_in_the_middle_of_a_restart_makes_the_restarts_stop_nobodys_wish() {
    let mut world = World::new(one(with_restart(with_heart(with_unit(service("worker"))), 3)));
    world.running("worker", 7);
    world.beat("worker");
    world.pass(6 * SECOND);
    assert_eq!(world.actions().len(), 1);
    world.beat("worker");
    assert_eq!(world.incidents(), (1, 1), "it woke up by itself");
    world.unit("worker", ordered());
    world.unit("worker", UnitState::Starting);
    world.running("worker", 8);
    world.action_done("worker", 8);
    world.beat("worker");
    assert_eq!(world.state("worker").0, State::Up);
    let stopped = world.transitions().iter().any(|line| line.contains("stopped_by_operator"));
    assert!(!stopped, "{:?}", world.transitions());
}

#[test]
fn an_end_that_waits_for_its_group_is_told_by_the_next_life() {
    let mut spec = many(vec![with_check(service("web"), 0, 1), with_check(service("db"), 0, 1)]);
    spec.routes = vec![RouteSpec {
        matches: Vec::new(),
        receivers: vec!["hook".into()],
        group_by: vec!["host".into()],
        group_wait: 10 * SECOND,
        group_interval: 300 * SECOND,
        repeat_interval: 4 * 3600 * SECOND,
    }];
    let mut world = World::new(spec.clone());
    for name in ["web", "db"] {
        for _ in 0..3 {
            world.check(name, 0, REFUSED);
        }
    }
    world.pass(20 * SECOND);
    assert_eq!(world.told(), [NotifyReason::FirstFiring]);
    world.check("web", 0, PASS);
    world.check("web", 0, PASS);
    world.pass(SECOND);
    assert_eq!(world.told(), [NotifyReason::FirstFiring], "told with the group's next news");
    let mut next = world.restarted(&spec, 5 * SECOND);
    next.pass(310 * SECOND);
    assert_eq!(next.told(), [NotifyReason::FirstFiring, NotifyReason::SomeResolved]);
    let ended = next.effects.iter().rev().find_map(|effect| match effect {
        Effect::Notify(told) => told.alerts.iter().find(|alert| alert.state == AlertState::Resolved).cloned(),
        _ => None,
    });
    assert!(ended.unwrap().labels.contains(&("service".into(), "web".into())));
}

#[test]
fn the_dead_two_steps_below_a_dependency_are_told_that_it_is_back() {
    let mut web = with_heart(service("web"));
    web.depends_on = vec![Dependency::on(id("api"))];
    let mut api = with_check(service("api"), 0, 1);
    api.depends_on = vec![Dependency::on(id("db"))];
    let mut world = World::new(many(vec![web, api, with_check(service("db"), 0, 1)]));
    world.check("api", 0, PASS);
    world.check("db", 0, PASS);
    world.beat("web");
    for _ in 0..3 {
        world.check("db", 0, REFUSED);
    }
    world.pass(6 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    assert_eq!(world.state("api").0, State::Up, "the one in between is well and stays as it is");
    world.check("db", 0, PASS);
    world.check("db", 0, PASS);
    world.pass(4 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)), "the time of a start");
    world.pass(2 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::MissedHeartbeat)), "and then it is its own");
    assert_eq!(world.engine.open_incidents().len(), 1);
}

#[test]
fn news_from_a_spool_take_nothing_away_from_the_time_of_a_start() {
    let mut spec = with_heart(with_unit(service("worker")));
    spec.start_grace = 30 * SECOND;
    let mut world = World::new(one(spec));
    world.running("worker", 1);
    let beat = Input::Beat(Beat::alive(id("worker")));
    world.give(Input::Late { age: Duration::from_millis(2900), input: Box::new(beat) });
    world.pass(29 * SECOND);
    assert_eq!(world.state("worker").0, State::Up);
    world.pass(2 * SECOND);
    assert_eq!(world.state("worker"), (State::Down, Some(Reason::Hung)));
}

#[test]
fn flapping_that_would_end_in_doubt_ends_with_the_truth() {
    let mut world = World::new(one(with_heart(service("worker"))));
    for _ in 0..4 {
        world.beat("worker");
        world.pass(6 * SECOND);
    }
    assert_eq!(world.names_of_alerts(), ["ServiceFlapping"]);
    let ends = world.engine.clock.to_real(world.engine.services[0].flaps.next_deadline());
    while world.mono + Duration::from_millis(3500) < ends {
        world.beat("worker");
        world.pass(SECOND);
    }
    // Silent since about four seconds when the flapping is forgiven: that is suspect, and nothing is known.
    world.pass(ends.since(world.mono) + Duration::from_millis(1));
    assert_eq!(world.state("worker").0, State::Suspect);
    assert_eq!(world.names_of_alerts(), ["ServiceFlapping"]);
    world.pass(2 * SECOND);
    assert_eq!(world.state("worker").0, State::Down);
    assert_eq!(world.names_of_alerts(), ["ServiceDown"], "an open incident is never without its alert");
    assert_eq!(world.engine.open_incidents().len(), 1);
}

#[test]
fn an_end_that_was_seen_does_not_hide_behind_a_host_that_was_away() {
    let mut world = World::new(one(with_heart(with_unit(service("web")))));
    let link = |connected| Input::Link { host: "web-01".into(), connected };
    world.give(link(true));
    world.running("web", 1);
    world.beat("web");
    world.give(link(false));
    world.pass(10 * SECOND);
    assert_eq!(world.state("web"), (State::Unknown, Some(Reason::HostUnreachable)));
    world.give(link(true));
    world.killed("web");
    assert_eq!(world.state("web"), (State::Down, Some(Reason::Killed)));
    assert_eq!(world.opened(), ["host.web-01", "web"]);
}

#[test]
fn a_silence_that_ended_is_not_held_against_the_heart_by_the_next_life() {
    let spec = one(with_adaptive(service("orders")));
    let mut world = World::new(spec.clone());
    world.beat_for(&["orders"], 5, 10 * SECOND);
    world.pass(15 * SECOND);
    assert!(world.last_memory().silence >= 20 * SECOND, "a heart that is awaited is written down");
    world.beat("orders");
    assert_eq!(world.last_memory().silence, Duration::ZERO);
    let mut next = world.restarted(&spec, 2 * SECOND);
    next.pass(45 * SECOND);
    assert_ne!(next.state("orders").0, State::Down, "its whole chance is left");
}

#[test]
fn a_heart_given_up_without_a_beat_was_listened_for_as_long_as_we_lived() {
    let spec = one(with_adaptive(service("orders")));
    let mut world = World::new(spec.clone());
    world.beat_for(&["orders"], 5, 10 * SECOND);
    let mut next = world.restarted(&spec, 2 * SECOND);
    next.pass(60 * SECOND);
    assert_eq!(next.state("orders").0, State::Down);
    let silence = next.last_memory().silence;
    assert!(silence >= 30 * SECOND && silence <= 100 * SECOND, "{silence:?}");
}

#[test]
fn the_return_of_what_was_not_in_the_way_puts_no_truth_off() {
    let mut web = with_check(service("web"), 0, 1);
    web.depends_on =
        vec![Dependency::on(id("cache")), Dependency { of: vec![id("db-1"), id("db-2")], need: 1 }];
    let others = ["cache", "db-1", "db-2"];
    let mut services = vec![web];
    services.extend(others.map(|name| with_check(service(name), 0, 1)));
    let mut world = World::new(many(services));
    for name in ["web", "cache", "db-1", "db-2"] {
        world.check(name, 0, PASS);
    }
    for name in ["cache", "web"] {
        for _ in 0..3 {
            world.check(name, 0, REFUSED);
        }
    }
    assert_eq!(world.state("web"), (State::Down, Some(Reason::DependencyDown)));
    world.check("cache", 0, PASS);
    world.check("cache", 0, PASS);
    // Four of its five seconds have passed when one of two redundant databases goes and returns.
    world.pass(4 * SECOND);
    for _ in 0..3 {
        world.check("db-1", 0, REFUSED);
    }
    world.check("db-1", 0, PASS);
    world.check("db-1", 0, PASS);
    world.pass(2 * SECOND);
    assert_eq!(world.state("web"), (State::Down, Some(Reason::CheckFailed)));
}

#[test]
fn the_end_of_flapping_fires_no_second_alert_of_what_is_known_to_be_down() {
    let mut world = World::new(one(with_unit(service("web"))));
    for pid in 1..=4 {
        world.running("web", pid);
        world.pass(11 * SECOND);
        world.killed("web");
    }
    assert_eq!(world.names_of_alerts(), ["ServiceFlapping"]);
    // An operator ends this trouble; the next one begins while the flapping is not forgiven.
    world.running("web", 5);
    world.unit("web", ordered());
    assert_eq!(world.engine.open_incidents().len(), 0);
    world.running("web", 6);
    world.killed("web");
    assert_eq!(world.names_of_alerts(), ["ServiceDown"]);
    let before = world.told().len();
    world.pass(2 * 3600 * SECOND);
    assert_eq!(world.count("flapping_ended"), 1);
    assert_eq!(world.names_of_alerts(), ["ServiceDown"]);
    let open = world.engine.open_incidents()[0].id;
    let fired = world.effects.iter().filter(|effect| {
        matches!(effect, Effect::Alert(alert) if alert.incident == Some(open) && alert.state == AlertState::Firing)
    });
    assert_eq!(fired.count(), 1);
    assert_eq!(world.told().len(), before, "nobody is told again");
}

#[test]
fn a_step_of_the_wall_clock_forgets_no_restart() {
    for step in [3_600_000, -3_600_000] {
        let spec = one(with_restart(with_unit(service("web")), 1));
        let mut world = World::new(spec.clone());
        world.running("web", 1);
        world.killed("web");
        world.pass(SECOND);
        world.running("web", 2);
        world.action_done("web", 2);
        world.pass(11 * SECOND);
        assert_eq!(world.incidents(), (1, 1));
        world.wall += step;
        world.give(Input::Tick);
        let mut next = world.restarted(&spec, 2 * SECOND);
        next.running("web", 2);
        next.killed("web");
        assert_eq!(next.count("restart_withheld"), 1, "one in ten minutes, whatever the clock says: {step}");
        next.pass(60 * SECOND);
        assert_eq!(next.actions().len(), 1);
    }
}

#[test]
fn a_remedy_forgets_what_a_rule_once_wanted() {
    let mut spec = one(with_restart(with_heart(with_unit(service("worker"))), 1));
    spec.rules = vec![RuleSpec { restart: true, ..rule("memory", 10 * SECOND) }];
    let mut world = World::new(spec);
    world.running("worker", 1);
    let beats = |world: &mut World, seconds: u32, memory: f64| {
        for _ in 0..seconds {
            world.beat_with("worker", BeatStatus::Alive, &[("memory", memory)]);
            world.pass(SECOND);
        }
    };
    beats(&mut world, 12, 97.0);
    assert_eq!(world.actions().len(), 1);
    world.action_done("worker", 2);
    // It wants another one, which the budget withholds, and which nobody wants any more later.
    beats(&mut world, 2, 10.0);
    beats(&mut world, 12, 97.0);
    beats(&mut world, 700, 10.0);
    assert_eq!(world.actions().len(), 1);
    // Now it dies for a moment, and its own system starts it again at once.
    world.killed("worker");
    world.pass(SECOND / 2);
    world.running("worker", 3);
    world.beat("worker");
    beats(&mut world, 10, 10.0);
    assert_eq!(world.state("worker").0, State::Up);
    assert_eq!(world.actions().len(), 1, "no restart of what runs");
}

#[test]
fn services_that_die_together_beside_one_that_lives_are_told_soon_after_the_cap() {
    let dying = ["a", "b", "c", "d"];
    // The fifth, on the same host, beats so many seconds after the others.
    for phase in 0..10 {
        let names = dying.iter().chain(["e"].iter());
        let mut world = World::new(many(names.map(|name| with_adaptive(service(name))).collect()));
        // Ninety seconds are well; those that die are heard at the ninetieth for the last time.
        for second in 0..=126 {
            if second % 10 == 0 && second <= 90 {
                world.beat_for(&dying, 1, Duration::ZERO);
            }
            if second % 10 == phase {
                world.beat("e");
            }
            world.pass(SECOND);
        }
        // The cap is thirty seconds, and one and a half intervals follow a heartbeat that may come at twenty-one.
        assert_eq!(world.opened(), dying, "{phase}");
        assert_eq!(world.engine.open_incidents().len(), 4);
    }
}

#[test]
fn an_announced_stop_is_remembered_over_a_restart_of_lifesign() {
    let spec = one(with_heart(service("job")));
    let mut world = World::new(spec.clone());
    world.beat("job");
    world.beat_with("job", BeatStatus::Stopping, &[]);
    assert_eq!(world.state("job"), (State::Down, Some(Reason::StoppedByOperator)));

    let mut second = world.restarted(&spec, SECOND);
    second.pass(3600 * SECOND / 10);
    assert_eq!(second.state("job"), (State::Down, Some(Reason::StoppedByOperator)));
    assert_eq!(second.incidents(), (0, 0), "its silence was announced");
    second.beat("job");
    assert_eq!(second.state("job"), (State::Up, None));
    second.pass(6 * SECOND);
    assert_eq!(second.state("job"), (State::Down, Some(Reason::MissedHeartbeat)), "it counts again");
}

#[test]
fn timers_that_an_earlier_one_replaced_wake_nobody() {
    let mut world = World::new(one(with_heart(service("job"))));
    world.beat("job");
    // As a burst of heartbeats leaves them behind, each of which moves the deadline forward a little.
    let now = world.engine.clock.now();
    for wait in 1..300 {
        let at = now + Duration::from_millis(wait * 3);
        world.engine.timers.push(Reverse((at, Wake::Service(ServiceIx(0)))));
    }
    world.give(Input::Tick);
    let end = world.mono + SECOND;
    let mut steps = 0;
    while world.engine.next_deadline() < end {
        let next = world.engine.next_deadline();
        world.pass(next.since(world.mono));
        steps += 1;
    }
    assert!(steps < 10, "woken {steps} times within a second");
}

#[test]
fn a_shorter_interval_that_is_announced_counts_from_then_on() {
    let mut spec = with_heart(service("job"));
    if let Some(heart) = &mut spec.heartbeat {
        heart.mode = crate::spec::Mode::Backoff;
        heart.interval = 60 * SECOND;
        heart.timeout = 180 * SECOND;
    }
    let mut world = World::new(one(spec));
    let says = |seconds| {
        let beat = Beat::alive(ServiceId::new("job").unwrap());
        Input::Beat(Beat { interval: Some(seconds * SECOND), ..beat })
    };
    world.give(says(60));
    world.pass(10 * SECOND);
    world.give(says(1));
    world.pass(3 * SECOND);
    assert_eq!(world.state("job"), (State::Suspect, Some(Reason::MissedHeartbeat)));
    world.pass(2 * SECOND);
    assert_eq!(world.state("job"), (State::Down, Some(Reason::MissedHeartbeat)));
}

#[test]
fn the_stop_of_a_restart_that_was_answered_too_late_is_nobodys_order() {
    let mut world = World::new(one(with_restart(with_unit(service("web")), 1)));
    world.running("web", 1);
    world.killed("web");
    world.pass(300 * SECOND);
    assert!(world.timeline().contains(&"restart_failed".to_owned()), "nobody answered in time");
    let first = world.actions().remove(0);
    world.give(Input::ActionDone(ActionReport {
        id: first,
        service: ServiceId::new("web").unwrap(),
        result: Ok(Some(Process { pid: 2, started: 2 })),
        refused: false,
    }));
    world.running("web", 2);
    world.unit("web", UnitState::Stopped { ordered: true, exit: Exit::Signal(15) });
    assert_eq!(world.state("web"), (State::Up, None));
    assert_eq!(world.incidents(), (1, 0), "the new process has yet to prove itself");
}

#[test]
fn the_stop_of_a_restart_that_an_earlier_life_ordered_is_nobodys_wish() {
    let spec = one(with_unit(service("worker")));
    let mut world = World::new(spec.clone());
    world.running("worker", 7);
    // No incident tells of it: a person wants it, of a service that is well.
    world.give(Input::Order { by: "anna".into(), order: Order::Restart(id("worker")) });
    assert!(world.last_memory().restarting);

    let mut next = world.restarted(&spec, SECOND);
    next.running("worker", 7);
    next.unit("worker", ordered());
    next.unit("worker", UnitState::Starting);
    next.running("worker", 8);
    assert_eq!(next.state("worker"), (State::Up, None));
    let stopped = next.transitions().iter().any(|line| line.contains("stopped_by_operator"));
    assert!(!stopped, "{:?}", next.transitions());

    assert!(!next.last_memory().restarting, "its end was seen");
    next.pass(10 * SECOND);
    next.unit("worker", ordered());
    assert_eq!(next.state("worker"), (State::Down, Some(Reason::StoppedByOperator)), "this one is another's");
}

#[test]
fn a_restart_that_was_answered_explains_no_stop_in_the_next_life() {
    let spec = one(with_unit(service("worker")));
    let mut world = World::new(spec.clone());
    world.running("worker", 7);
    world.give(Input::Order { by: "anna".into(), order: Order::Restart(id("worker")) });
    world.action_done("worker", 8);
    let mut next = world.restarted(&spec, SECOND);
    next.running("worker", 8);
    next.unit("worker", ordered());
    assert_eq!(next.state("worker"), (State::Down, Some(Reason::StoppedByOperator)));
}

/// Lifesign is restarted every 12 s, and each life sees the unit run with this process. How many it takes.
fn lives_until_down(mut world: World, spec: &Spec, sees: &UnitState) -> u32 {
    (1..20)
        .find(|_| {
            world = world.restarted(spec, 2 * SECOND);
            world.unit("orders", sees.clone());
            world.pass(10 * SECOND);
            world.state("orders") == (State::Down, Some(Reason::Hung))
        })
        .expect("its hang is never seen")
}

#[test]
fn frequent_restarts_do_not_hide_that_a_unit_hangs() {
    let spec = one(with_unit(with_adaptive(service("orders"))));
    // One process that is known, and a unit of which the system names none.
    for sees in [UnitState::Running(Some(Process { pid: 7, started: 7 })), UnitState::Running(None)] {
        let mut world = World::new(spec.clone());
        world.unit("orders", sees.clone());
        world.beat_for(&["orders"], 5, 10 * SECOND);
        let lives = lives_until_down(world, &spec, &sees);
        assert!(lives <= 6, "its timeout is 30 s, and {lives} lives of 10 s passed");
    }
}

#[test]
fn what_an_earlier_life_listened_to_in_vain_is_not_held_against_another_process() {
    let spec = one(with_unit(with_adaptive(service("orders"))));
    let mut world = World::new(spec.clone());
    world.running("orders", 7);
    world.beat_for(&["orders"], 5, 10 * SECOND);
    world.pass(15 * SECOND);
    assert_eq!(world.last_memory().process.map(|process| process.pid), Some(7));
    let mut next = world.restarted(&spec, 2 * SECOND);
    next.pass(6 * SECOND);
    assert_eq!(next.last_memory().process.map(|process| process.pid), Some(7), "not looked at yet");
    next.running("orders", 8);
    next.pass(45 * SECOND);
    assert_ne!(next.state("orders").0, State::Down, "its whole chance is left");
    next.pass(10 * SECOND);
    assert_eq!(next.state("orders"), (State::Down, Some(Reason::Hung)));
    assert_eq!(next.last_memory().process.map(|process| process.pid), Some(8));
}

#[test]
fn a_unit_without_a_known_process_goes_on_waiting_for_its_heart_at_each_look() {
    let spec = one(with_unit(with_adaptive(service("orders"))));
    let mut world = World::new(spec);
    world.unit("orders", UnitState::Running(None));
    world.beat_for(&["orders"], 5, 10 * SECOND);
    for _ in 0..5 {
        world.pass(8 * SECOND);
        world.unit("orders", UnitState::Running(None));
    }
    assert_eq!(world.state("orders"), (State::Down, Some(Reason::Hung)));
}

#[test]
fn a_beat_out_of_a_spool_from_before_our_start_is_no_silence_that_we_listened_to() {
    let spec = one(with_adaptive(service("orders")));
    let mut world = World::new(spec.clone());
    world.beat_for(&["orders"], 5, 10 * SECOND);
    let mut next = world.restarted(&spec, 120 * SECOND);
    next.pass(2 * SECOND);
    // The first of many that a spool has to tell, and lifesign is killed before the others are written.
    let beat = Input::Beat(Beat::alive(id("orders")));
    next.give(Input::Late { age: 60 * SECOND, input: Box::new(beat) });
    assert!(next.last_memory().silence <= 2 * SECOND, "{:?}", next.last_memory().silence);
    let mut third = next.restarted(&spec, SECOND);
    third.pass(40 * SECOND);
    assert_ne!(third.state("orders").0, State::Down, "its chance is left");
}

#[test]
fn the_end_of_a_trouble_of_the_network_blames_no_host_that_was_only_presumed_gone() {
    // Seed 23534 of the simulation: a service of ours has crashed, the hosts beside ours are away.
    let mut spec = one(with_heart(with_unit(service("ours"))));
    for (name, host) in [("b", "web-02"), ("c", "web-03")] {
        let mut other = with_unit(service(name));
        other.host = host.into();
        spec.services.push(other);
    }
    let link = |host: &str, connected| Input::Link { host: host.into(), connected };
    let mut world = World::new(spec.clone());
    world.running("ours", 1);
    world.beat("ours");
    for (host, name) in [("web-02", "b"), ("web-03", "c")] {
        world.give(link(host, true));
        world.running(name, 1);
    }
    world.killed("ours");
    for host in ["web-02", "web-03"] {
        world.give(link(host, false));
    }
    assert_eq!(world.opened(), ["ours", "host.web-02", "network"]);

    let mut next = world.restarted(&spec, 2 * SECOND);
    next.unit("ours", UnitState::Stopped { ordered: false, exit: Exit::Signal(9) });
    next.pass(20 * SECOND);
    for (host, name) in [("web-02", "b"), ("web-03", "c")] {
        next.give(link(host, true));
        next.running(name, 1);
    }
    let open: Vec<String> =
        next.engine.open_incidents().iter().map(|incident| incident.service_id.to_string()).collect();
    assert_eq!(open, ["ours"], "its host was there all the time");
}
