//! Services that nobody has named: their own heartbeats make them.

use super::*;
use crate::spec::Unknown;

fn open_house(most: u32) -> Spec {
    let mut spec = one(with_heart(service("worker")));
    spec.unknown = Some(Unknown { terms: with_heart(service("any")).terms, most });
    spec
}

fn id(id: &str) -> ServiceId {
    ServiceId::new(id).unwrap()
}

#[test]
fn an_unknown_heartbeat_makes_a_service_while_there_is_room_and_it_is_wanted() {
    let mut world = World::new(open_house(2));
    assert_eq!(world.beat("a"), Answer::Beat(State::Up));
    assert_eq!(world.beat("b"), Answer::Beat(State::Up));
    assert_eq!(world.beat("c"), Answer::NoSuchService);
    assert_eq!(world.engine.created(), 2);
    let named: Vec<_> = world.engine.services(world.now()).into_iter().map(|view| view.id).collect();
    assert_eq!(named, ["worker", "a", "b"].map(id));

    // A reload changes how they are watched, and not that they are.
    let mut slower = open_house(2);
    slower.unknown = Some(Unknown { terms: with_check(with_heart(service("any")), 0, 1).terms, most: 2 });
    world.give(Input::Configure(Arc::new(slower)));
    assert_eq!(world.engine.created(), 2);
    assert_eq!(world.engine.service("b", world.now()).unwrap().checks.len(), 2);

    world.give(Input::Configure(Arc::new(one(with_heart(service("worker"))))));
    assert_eq!(world.beat("a"), Answer::NoSuchService);
    assert_eq!(world.engine.counts().up, 0);
}

#[test]
fn a_service_that_its_heartbeat_made_dies_like_any_other_also_while_lifesign_is_away() {
    let mut world = World::new(open_house(10));
    world.beat("a");
    world.beat("b");
    world.pass(SECOND);
    let mut world = world.reborn(open_house(10), 5 * SECOND);
    assert_eq!(world.engine.created(), 2, "what an earlier life has made");
    for _ in 0..8 {
        world.beat("b");
        world.pass(SECOND);
    }
    assert_eq!(world.state("b").0, State::Up);
    assert_eq!(world.state("a"), (State::Down, Some(Reason::MissedHeartbeat)));
}

#[test]
fn what_is_forgotten_is_made_anew_by_a_heartbeat_and_not_by_a_restart_of_lifesign() {
    let mut world = World::new(open_house(10));
    for name in ["a", "b"] {
        world.beat(name);
    }
    world.pass(8 * SECOND);
    assert_eq!(world.incidents(), (2, 0));
    let order =
        |id: &str| Input::Order { by: "ops".into(), order: Order::Forget(ServiceId::new(id).unwrap()) };
    assert_eq!(world.give(order("a")), Answer::Done);
    assert_eq!(world.incidents(), (2, 1), "nobody waits for it any more");
    assert_eq!(world.give(order("a")), Answer::Refused(Refusal::NoSuchService(id("a"))));
    assert_eq!(world.give(order("worker")), Answer::Refused(Refusal::Configured(id("worker"))));

    let mut world = world.reborn(open_house(10), SECOND);
    assert_eq!(world.engine.created(), 1);
    assert!(world.engine.service("a", world.now()).is_none());
    assert_eq!(world.beat("a"), Answer::Beat(State::Up));
}

#[test]
fn a_service_that_the_configuration_comes_to_name_is_its_own_from_then_on() {
    let mut world = World::new(open_house(10));
    world.beat("a");
    let mut spec = open_house(10);
    spec.services.push(with_heart(service("a")));
    world.give(Input::Configure(Arc::new(spec)));
    assert_eq!(world.engine.created(), 0);
    assert_eq!(world.state("a").0, State::Up);
    let order = Input::Order { by: "ops".into(), order: Order::Forget(id("a")) };
    assert_eq!(world.give(order), Answer::Refused(Refusal::Configured(id("a"))));
}
