//! Jobs at the edges: runs told late or in heaps, two absences, small steps of the clock, other schedules.

use super::corners::id;
use super::jobs::{HOUR, MINUTE, OVERDUE, daily_at_three, every, job, to_three};
use super::*;
use crate::evidence::Run;
use crate::job::{MAX_RUNS, Schedule};
use crate::spec::Dependency;

const HUNG: (State, Option<Reason>) = (State::Down, Some(Reason::Hung));

impl World {
    fn told_late(&mut self, run: Run, age: Duration) {
        self.give(Input::Beat(Beat { run: Some(run.into()), age, ..Beat::alive(id("backup")) }));
    }

    fn set_clock(&mut self, millis: i64) {
        self.wall += millis;
        self.give(Input::Tick);
    }
}

#[test]
fn words_beside_the_end_of_a_run_are_its_output() {
    let mut world = World::new(every(HOUR, MINUTE));
    let run = Some(Run { exit: Some(Exit::Clean), ..Run::ended() });
    let message = Some("12 tables".to_owned());
    world.give(Input::Beat(Beat { run: run.map(Into::into), message, ..Beat::alive(id("backup")) }));
    assert_eq!(world.job().recent[0].output.as_deref(), Some("12 tables"));
}

#[test]
fn a_job_that_failed_for_want_of_another_service_is_explained_by_that() {
    let mut spec = every(HOUR, MINUTE);
    spec.services[0].depends_on = vec![Dependency { of: vec![id("db")], need: 1 }];
    spec.services.push(with_unit(service("db")));
    let mut world = World::new(spec);
    world.running("db", 7);
    world.killed("db");
    world.ends("a", Exit::Code(1));
    assert_eq!(world.state("backup"), (State::Down, Some(Reason::DependencyDown)));
    let detail = world.engine.service("backup", world.now()).unwrap().detail;
    assert!(detail.contains("db") && !detail.contains("exit code"), "{detail}");
}

#[test]
fn a_start_with_another_schedule_forgets_what_was_missed_by_the_old_one() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.beat("backup");
    world.pass(2 * HOUR);
    assert_eq!(world.state("backup"), OVERDUE);
    let mut next = world.reborn(every(24 * HOUR, MINUTE), 10 * SECOND);
    assert_eq!(next.state("backup"), (State::Up, None));
    next.pass(21 * HOUR);
    assert_eq!(next.state("backup"), (State::Up, None));
    next.pass(2 * HOUR);
    assert_eq!(next.state("backup"), OVERDUE);
}

#[test]
fn a_reload_with_another_limit_holds_for_the_run_that_goes_on() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.starts("a");
    world.pass(5 * MINUTE);
    let limited = job(Schedule::Every(HOUR), MINUTE, Some(10 * MINUTE));
    world.give(Input::Configure(Arc::new(limited)));
    world.pass(5 * MINUTE - SECOND);
    assert_eq!(world.state("backup"), (State::Pending, None));
    world.pass(SECOND);
    assert_eq!(world.state("backup"), HUNG);
}

#[test]
fn the_announced_stop_of_something_that_runs_by_itself_is_no_run() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.beat_with("backup", BeatStatus::Stopping, &[]);
    assert_eq!(world.state("backup"), (State::Pending, None));
    assert!(world.job().recent.is_empty());
}

#[test]
fn the_begin_of_a_run_told_after_the_end_of_a_later_one_opens_nothing() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.pass(10 * MINUTE);
    world.ends("b", Exit::Clean);
    world.pass(MINUTE);
    world.told_late(Run { id: Some("a".into()), ..Run::started() }, 5 * MINUTE);
    assert!(world.job().running.is_empty());
    world.told_late(Run { id: Some("c".into()), ..Run::started() }, 30 * SECOND);
    assert_eq!(world.job().running.len(), 1, "it began after that end");
}

#[test]
fn of_more_runs_at_once_than_are_kept_the_oldest_is_forgotten() {
    let mut world = World::new(job(Schedule::Every(24 * HOUR), HOUR, Some(2 * HOUR)));
    for run in 0..=MAX_RUNS {
        world.starts(&format!("run-{run}"));
        world.pass(SECOND);
    }
    let running = world.job().running;
    assert_eq!(running.len(), MAX_RUNS);
    assert_eq!(running[0].id.as_deref(), Some("run-1"));
}

#[test]
fn a_clock_that_is_slewed_back_a_little_makes_nothing_due_early() {
    let mut world = World::new(daily_at_three(MINUTE));
    let three = to_three(&world);
    world.pass(three - MINUTE);
    world.set_clock(-500);
    world.pass(MINUTE);
    assert!(!world.codes().contains(&"job-late".to_owned()), "it is half a second before three");
    world.pass(MINUTE + Duration::from_millis(400));
    assert_eq!(world.state("backup"), (State::Pending, None));
    world.pass(Duration::from_millis(200));
    assert_eq!(world.state("backup"), OVERDUE);
}

#[test]
fn a_run_that_was_too_long_before_an_absence_of_ours_is_too_long_after_it() {
    let mut world = World::new(job(Schedule::Every(24 * HOUR), HOUR, Some(10 * MINUTE)));
    world.starts("a");
    world.pass(10 * MINUTE);
    assert_eq!(world.state("backup"), HUNG);
    world.stall(HOUR);
    world.give(Input::Tick);
    assert_eq!(world.state("backup"), HUNG);
    assert_eq!(world.codes()[0], "job-too-long");
}

#[test]
fn a_second_short_absence_gives_a_run_no_more_time() {
    let mut world = World::new(job(Schedule::Every(24 * HOUR), HOUR, Some(10 * MINUTE)));
    world.starts("a");
    world.pass(10 * MINUTE - 30 * SECOND);
    world.stall(30 * SECOND);
    world.give(Input::Tick);
    world.pass(60 * SECOND);
    assert_eq!(world.state("backup"), (State::Pending, None), "its end may be told again");
    world.stall(30 * SECOND);
    world.give(Input::Tick);
    world.pass(31 * SECOND);
    assert_eq!(world.state("backup"), HUNG);
}

#[test]
fn a_clock_set_back_while_a_run_is_late_takes_nothing_from_its_grace() {
    let mut world = World::new(daily_at_three(30 * MINUTE));
    world.pass(to_three(&world) + 10 * MINUTE);
    world.set_clock(-3_600_000);
    world.pass(20 * MINUTE - SECOND);
    assert_eq!(world.state("backup"), (State::Pending, None));
    world.pass(2 * SECOND);
    assert_eq!(world.state("backup"), OVERDUE);
}

#[test]
fn a_clock_set_back_to_after_the_last_due_time_changes_no_due_time() {
    let mut world = World::new(daily_at_three(MINUTE));
    world.pass(to_three(&world));
    world.beat("backup");
    world.pass(10 * MINUTE);
    let due = world.job().next_due;
    world.set_clock(-300_000);
    assert_eq!(world.job().next_due, due);
    world.pass(to_three(&world) + MINUTE - SECOND);
    assert_eq!(world.state("backup"), (State::Up, None));
    world.pass(2 * SECOND);
    assert_eq!(world.state("backup"), OVERDUE);
}

#[test]
fn a_clock_set_forward_by_little_brings_the_due_time_nearer_and_no_more() {
    let mut world = World::new(daily_at_three(MINUTE));
    world.pass(to_three(&world) - 2 * MINUTE);
    world.set_clock(30_000);
    world.pass(90 * SECOND + MINUTE - SECOND);
    assert_eq!(world.codes(), ["job-waiting", "job-late"]);
    world.pass(2 * SECOND);
    assert_eq!(world.state("backup"), OVERDUE);
}
