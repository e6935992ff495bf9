//! What random worlds found, each as the shortest story that shows it.

use super::*;

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
