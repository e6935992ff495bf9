//! What a process has left at its end reaches the people who are told of it.

use super::corners::id;
use super::*;
use crate::evidence::Remains;
use crate::spec::RouteSpec;

impl World {
    /// A report of the unit's end, or of what follows it.
    fn end(&mut self, remains: Remains, usage: Option<&str>, output: Option<&str>) {
        self.report(UnitState::Stopped { ordered: false, exit: Exit::Code(3) }, remains, usage, output);
    }

    fn report(&mut self, state: UnitState, remains: Remains, usage: Option<&str>, output: Option<&str>) {
        let report = UnitReport {
            usage: usage.map(str::to_owned),
            last_output: output.map(str::to_owned),
            remains,
            ..UnitReport::new(state, "exit code 3")
        };
        self.give(Input::Unit { service: id("web"), report });
    }

    /// Of each notification: why it left, and the evidence it carries.
    fn told_with(&self) -> Vec<(NotifyReason, Option<String>)> {
        let evidence = |alert: &Alert| {
            let found = alert.annotations.iter().find(|(name, _)| &**name == "evidence");
            found.map(|(_, text)| text.clone())
        };
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Notify(notification) => {
                    Some((notification.reason, notification.alerts.iter().find_map(evidence)))
                }
                _ => None,
            })
            .collect()
    }
}

fn web() -> World {
    let mut world = World::new(one(with_unit(service("web"))));
    world.running("web", 1);
    world
}

fn told_every_minute(services: Vec<ServiceSpec>) -> Spec {
    let receivers: Vec<Arc<str>> = vec!["hook".into()];
    let route = RouteSpec {
        matches: Vec::new(),
        receivers: receivers.clone(),
        group_by: vec!["service".into()],
        group_wait: Duration::ZERO,
        group_interval: 300 * SECOND,
        repeat_interval: 60 * SECOND,
    };
    Spec { services, receivers, routes: vec![route], ..Spec::default() }
}

const FIRST: NotifyReason = NotifyReason::FirstFiring;

#[test]
fn an_end_with_its_output_is_told_at_once_and_with_it() {
    let mut world = web();
    world.end(Remains::Complete, Some("12 MiB of memory"), Some("panicked at main.rs"));
    let evidence = "exit code 3\n12 MiB of memory\npanicked at main.rs".to_owned();
    assert_eq!(world.told_with(), [(FIRST, Some(evidence))]);
    let output = world.effects.iter().find_map(|effect| match effect {
        Effect::Timeline { entry, .. } if &*entry.what == "output" => Some(entry.detail.clone()),
        _ => None,
    });
    assert_eq!(output.unwrap(), "12 MiB of memory\npanicked at main.rs");
}

#[test]
fn an_end_whose_last_lines_follow_is_told_when_they_are_there() {
    let mut world = web();
    world.end(Remains::Follow, Some("12 MiB of memory"), None);
    assert_eq!(world.incidents(), (1, 0), "only the telling waits");
    world.pass(SECOND);
    assert_eq!(world.told_with(), []);
    // Its own restart has begun meanwhile.
    world.unit("web", UnitState::Starting);
    assert_eq!(world.told_with(), []);
    world.report(UnitState::Starting, Remains::Complete, None, Some("bye"));
    assert_eq!(world.told_with(), [(FIRST, Some("exit code 3\n12 MiB of memory\nbye".to_owned()))]);
    world.pass(60 * SECOND);
    assert_eq!(world.told().len(), 1);
}

#[test]
fn last_lines_that_do_not_come_hold_nobody_up_for_long_and_are_told_with_the_next() {
    let spec = told_every_minute(vec![with_unit(service("web"))]);
    let mut world = World::new(spec);
    world.running("web", 1);
    world.end(Remains::Follow, None, None);
    world.pass(2 * SECOND - Duration::from_millis(1));
    assert_eq!(world.told_with(), []);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.told_with(), [(FIRST, None)]);
    world.end(Remains::Complete, None, Some("late"));
    assert_eq!(world.told().len(), 1, "nobody is told anew for it");
    world.pass(60 * SECOND);
    let repeated = (NotifyReason::Repeat, Some("exit code 3\nlate".to_owned()));
    assert_eq!(world.told_with(), [(FIRST, None), repeated]);
}

#[test]
fn only_who_was_not_told_yet_of_this_very_trouble_waits_for_last_lines() {
    let mut world = World::new(told_every_minute(vec![with_unit(service("web")), with_unit(service("db"))]));
    world.running("web", 1);
    world.running("db", 2);
    world.killed("db");
    world.end(Remains::Complete, None, None);
    assert_eq!(world.told(), [FIRST; 2]);
    world.pass(55 * SECOND);
    world.running("web", 3);
    world.pass(4 * SECOND);
    world.end(Remains::Follow, None, None);
    world.pass(SECOND);
    assert_eq!(world.told()[2..], [NotifyReason::Repeat; 2], "both in time");
}

#[test]
fn an_observer_that_finds_nothing_ends_the_waiting() {
    let mut world = web();
    world.end(Remains::Follow, None, None);
    world.end(Remains::Complete, None, None);
    assert_eq!(world.told_with(), [(FIRST, None)]);
}

#[test]
fn an_end_that_is_over_before_its_last_lines_is_told_to_nobody() {
    let mut world = web();
    world.end(Remains::Follow, None, None);
    world.unit("web", UnitState::Stopped { ordered: true, exit: Exit::Clean });
    assert_eq!(world.incidents(), (1, 1));
    world.pass(60 * SECOND);
    assert_eq!(world.told_with(), []);
}

#[test]
fn the_words_of_one_end_are_not_told_of_another_trouble() {
    let mut world = World::new(one(with_check(with_unit(service("web")), 0, 1)));
    world.running("web", 1);
    world.end(Remains::Complete, None, Some("first"));
    world.running("web", 2);
    for _ in 0..12 {
        world.check("web", 0, PASS);
        world.pass(SECOND);
    }
    assert_eq!(world.incidents(), (1, 1));
    for _ in 0..3 {
        world.check("web", 0, REFUSED);
    }
    assert_eq!(world.incidents(), (2, 1));
    assert_eq!(world.told_with().last().unwrap(), &(FIRST, None));
    world.end(Remains::Complete, None, Some("second"));
    let alert = world.engine.alerts().into_iter().find(|alert| alert.state == AlertState::Firing).unwrap();
    let evidence = alert.annotations.iter().find(|(name, _)| &**name == "evidence").unwrap();
    assert_eq!(evidence.1, "exit code 3\nsecond");
}

#[test]
fn what_an_agent_tells_late_has_its_output_too() {
    let mut world = web();
    world.killed("web");
    let report = UnitReport {
        last_output: Some("bye".to_owned()),
        ..UnitReport::new(UnitState::Stopped { ordered: false, exit: Exit::Code(3) }, "exit code 3")
    };
    let input = Box::new(Input::Unit { service: id("web"), report });
    world.give(Input::Late { age: SECOND, input });
    let late = world.effects.iter().find_map(|effect| match effect {
        Effect::Timeline { entry, .. } if &*entry.what == "late" => Some(entry.detail.clone()),
        _ => None,
    });
    assert_eq!(late.unwrap(), "told 1 s late: the unit was exit code 3\nbye");
}
