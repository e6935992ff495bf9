//! Jobs in the engine: overdue, failing, overlong, and what lifesign's own absence may not do to them.

use super::*;
use crate::evidence::{Run, RunPhase};
use crate::job::{Calendar, JobSpec, Schedule};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn job(schedule: Schedule, grace: Duration, max_runtime: Option<Duration>) -> Spec {
    let job = Some(JobSpec { schedule, grace, max_runtime });
    let mut backup = service("backup");
    backup.job = job;
    Spec { services: vec![backup], ..Spec::default() }
}

pub(super) fn every(period: Duration, grace: Duration) -> Spec {
    job(Schedule::Every(period), grace, None)
}

/// `World` begins at 2023-11-14T22:13:20Z.
pub(super) fn daily_at_three(grace: Duration) -> Spec {
    job(Schedule::Calendar(Calendar::new(["0 3 * * *"], "UTC").unwrap()), grace, None)
}

pub(super) fn to_three(world: &World) -> Duration {
    let day = 86_400_000;
    let three = world.wall - world.wall % day + day + 3 * 3_600_000;
    Duration::from_millis(u64::try_from(three - world.wall).unwrap())
}

impl World {
    fn run(&mut self, run: Run) -> Answer {
        let beat = Beat { run: Some(run.into()), ..Beat::alive(ServiceId::new("backup").unwrap()) };
        self.give(Input::Beat(beat))
    }

    pub(super) fn starts(&mut self, id: &str) {
        self.run(Run { id: Some(id.into()), ..Run::started() });
    }

    pub(super) fn ends(&mut self, id: &str, exit: Exit) {
        self.run(Run { id: Some(id.into()), exit: Some(exit), ..Run::ended() });
    }

    /// The next life of lifesign, which knows what this one has written.
    pub(super) fn reborn(self, spec: Spec, gone: Duration) -> World {
        let mut memories: Vec<Memory> = Vec::new();
        let mut incidents: Vec<(Incident, Vec<TimelineEntry>)> = Vec::new();
        for effect in &self.effects {
            match effect {
                Effect::Remember(memory) => {
                    memories.retain(|old| old.service != memory.service);
                    memories.push(memory.clone());
                }
                Effect::Incident(incident) => {
                    incidents.retain(|(old, _)| old.id != incident.id);
                    incidents.push((incident.clone(), Vec::new()));
                }
                _ => {}
            }
        }
        incidents.retain(|(incident, _)| incident.closed_at.is_none());
        let next_incident = 100;
        let mut next = World {
            engine: Engine::new(),
            mono: Mono::from_millis(77),
            wall: self.wall + i64::try_from(gone.as_millis()).unwrap(),
            effects: Vec::new(),
        };
        let now = next.now();
        next.engine.restore(now, Past { memories, incidents, next_incident, ..Past::default() });
        next.give(Input::Configure(Arc::new(spec)));
        next
    }

    pub(super) fn job(&self) -> crate::view::JobView {
        self.engine.service("backup", self.now()).unwrap().job.unwrap()
    }

    pub(super) fn codes(&self) -> Vec<String> {
        let facts = self.engine.explain("backup", self.now()).unwrap().facts;
        facts.iter().map(|fact| fact.code.to_string()).filter(|code| code.starts_with("job-")).collect()
    }
}

pub(super) const OVERDUE: (State, Option<Reason>) = (State::Down, Some(Reason::MissedHeartbeat));

#[test]
fn a_job_that_runs_in_time_is_up_and_its_time_is_measured() {
    let mut world = World::new(daily_at_three(30 * MINUTE));
    assert_eq!(world.state("backup"), (State::Pending, None));
    world.pass(to_three(&world));
    world.starts("a");
    assert_eq!(world.job().running.len(), 1);
    assert_eq!(world.codes(), ["job-running", "job-due"]);
    world.pass(5 * MINUTE);
    world.ends("a", Exit::Clean);
    assert_eq!(world.state("backup"), (State::Up, None));
    let view = world.job();
    assert_eq!(view.recent[0].took, Some(5 * MINUTE));
    assert!(view.running.is_empty());
    assert_eq!(view.next_due.unwrap().to_string(), "2023-11-16T03:00:00.000Z");
    world.pass(23 * HOUR + 50 * MINUTE);
    assert_eq!(world.state("backup"), (State::Up, None), "late, and within its grace");
    assert_eq!(world.codes(), ["job-succeeded", "job-due"]);
    assert_eq!(world.incidents(), (0, 0));
}

#[test]
fn a_job_that_never_starts_is_overdue_after_its_grace() {
    let mut world = World::new(daily_at_three(30 * MINUTE));
    world.pass(to_three(&world) + 30 * MINUTE - SECOND);
    assert_eq!(world.state("backup"), (State::Pending, None));
    assert_eq!(world.codes(), ["job-waiting", "job-late"]);
    world.pass(2 * SECOND);
    assert_eq!(world.state("backup"), OVERDUE);
    assert_eq!(world.incidents(), (1, 0));
    assert_eq!(world.codes(), ["job-waiting", "job-missed", "job-due"]);
    let opened = world.effects.iter().find_map(|effect| match effect {
        Effect::Incident(incident) => Some(incident.opened_at.to_string()),
        _ => None,
    });
    assert_eq!(opened.unwrap(), "2023-11-15T03:00:00.000Z", "from the due time on");
    // Its late run closes the incident when it ends well, not when it begins.
    world.starts("a");
    assert_eq!(world.state("backup"), OVERDUE);
    world.ends("a", Exit::Clean);
    assert_eq!(world.state("backup"), (State::Up, None));
    assert_eq!(world.incidents(), (1, 1));
}

#[test]
fn a_failure_says_why_and_lasts_until_a_success() {
    let mut world = World::new(every(HOUR, MINUTE));
    for (exit, reason) in [
        (Exit::Code(2), Reason::Crashed),
        (Exit::Signal(9), Reason::Killed),
        (Exit::StartFailed("no such file".to_owned()), Reason::StartFailed),
    ] {
        world.starts("a");
        world.ends("a", exit);
        assert_eq!(world.state("backup"), (State::Down, Some(reason)));
    }
    world.beat_with("backup", BeatStatus::Fail, &[]);
    assert_eq!(world.state("backup"), (State::Down, Some(Reason::CheckFailed)));
    world.starts("b");
    assert_eq!(world.state("backup").0, State::Down, "another try proves nothing yet");
    world.ends("b", Exit::Clean);
    assert_eq!(world.state("backup"), (State::Up, None));
    assert_eq!(world.incidents(), (1, 1), "one trouble, one incident");
}

#[test]
fn what_a_failed_run_wrote_last_is_in_the_story() {
    let mut world = World::new(every(HOUR, MINUTE));
    let output = Some("disk full".to_owned());
    world.run(Run { exit: Some(Exit::Code(1)), output, took: Some(3 * SECOND), ..Run::ended() });
    let view = world.engine.service("backup", world.now()).unwrap();
    assert_eq!(view.detail, "its last run failed: it ended with exit code 1 after 3 s");
    assert_eq!(view.job.unwrap().recent[0].output.as_deref(), Some("disk full"));
    assert_eq!(world.timeline(), ["opened", "evidence", "output"]);
}

#[test]
fn a_run_past_its_longest_time_is_hung_and_its_end_tells_the_rest() {
    let mut world = World::new(job(Schedule::Every(24 * HOUR), HOUR, Some(2 * HOUR)));
    world.starts("a");
    world.pass(2 * HOUR - SECOND);
    assert_eq!(world.state("backup"), (State::Pending, None));
    world.pass(SECOND);
    assert_eq!(world.state("backup"), (State::Down, Some(Reason::Hung)));
    assert_eq!(world.codes()[0], "job-too-long");
    world.ends("a", Exit::Clean);
    assert_eq!(world.state("backup"), (State::Up, None));
    assert_eq!(world.incidents(), (1, 1));
}

#[test]
fn a_run_that_never_ends_is_noticed_when_the_next_is_overdue() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.starts("a");
    world.pass(HOUR + MINUTE - SECOND);
    assert_eq!(world.state("backup").0, State::Pending);
    world.pass(SECOND);
    assert_eq!(world.state("backup"), (State::Down, Some(Reason::Hung)));
    // The next run ends well: nobody waits for the lost one any longer.
    world.starts("b");
    world.ends("b", Exit::Clean);
    assert_eq!(world.state("backup"), (State::Up, None));
}

#[test]
fn runs_that_overlap_are_told_apart() {
    let mut world = World::new(job(Schedule::Every(HOUR), MINUTE, Some(3 * HOUR)));
    world.starts("a");
    world.pass(10 * MINUTE);
    world.starts("b");
    world.pass(10 * MINUTE);
    world.ends("b", Exit::Clean);
    assert_eq!(world.job().recent[0].took, Some(10 * MINUTE));
    assert_eq!(world.job().running.len(), 1, "a goes on");
    world.pass(10 * MINUTE);
    world.ends("a", Exit::Code(1));
    assert_eq!(world.job().recent[0].took, Some(30 * MINUTE));
    assert_eq!(world.state("backup"), (State::Down, Some(Reason::Crashed)));
}

#[test]
fn a_plain_heartbeat_is_the_end_of_a_run_and_a_note_is_nothing() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.run(Run { phase: RunPhase::Noted, output: Some("half".into()), ..Run::started() });
    assert_eq!(world.state("backup"), (State::Pending, None));
    world.run(Run::started());
    world.pass(MINUTE);
    world.beat("backup");
    assert_eq!(world.state("backup"), (State::Up, None));
    assert_eq!(world.job().recent[0].took, Some(MINUTE));
    world.pass(HOUR + SECOND);
    assert_eq!(world.state("backup"), OVERDUE, "an hour after its beginning, and its grace");
}

#[test]
fn a_run_a_little_early_by_our_clock_counts_for_the_due_time_ahead() {
    let mut world = World::new(daily_at_three(30 * MINUTE));
    world.pass(to_three(&world) - 50 * SECOND);
    world.beat("backup");
    world.pass(2 * HOUR);
    assert_eq!(world.state("backup"), (State::Up, None));
    // A run at noon is welcome, and no substitute for the next.
    world.pass(9 * HOUR);
    world.beat("backup");
    world.pass(16 * HOUR);
    assert_eq!(world.state("backup"), OVERDUE);
}

#[test]
fn a_run_that_goes_on_over_a_due_time_answers_it() {
    let mut world = World::new(job(
        Schedule::Calendar(Calendar::new(["0 * * * *"], "UTC").unwrap()),
        5 * MINUTE,
        Some(3 * HOUR),
    ));
    world.starts("a");
    world.pass(2 * HOUR);
    assert_eq!(world.state("backup"), (State::Pending, None), "the schedule does not start it twice");
    world.ends("a", Exit::Clean);
    assert_eq!(world.state("backup"), (State::Up, None));
    world.pass(HOUR + 6 * MINUTE);
    assert_eq!(world.state("backup"), OVERDUE);
}

#[test]
fn an_overdue_job_stays_overdue_over_a_restart_of_lifesign() {
    let spec = daily_at_three(30 * MINUTE);
    let mut world = World::new(spec.clone());
    world.pass(to_three(&world) + HOUR);
    assert_eq!(world.state("backup"), OVERDUE);
    let mut next = world.reborn(spec, 10 * SECOND);
    assert_eq!(next.state("backup"), OVERDUE);
    assert_eq!(next.incidents(), (0, 0), "the same incident");
    next.beat("backup");
    assert_eq!(next.state("backup"), (State::Up, None));
    assert_eq!(next.incidents(), (0, 1));
}

#[test]
fn restarts_of_lifesign_hide_no_missing_run() {
    let spec = daily_at_three(30 * MINUTE);
    let mut world = World::new(spec.clone());
    world.pass(to_three(&world));
    // Each life forgets at most what it waited since it last wrote that, half a minute.
    for _ in 0..60 {
        world.pass(MINUTE);
        let effects = std::mem::take(&mut world.effects);
        if effects.iter().any(|effect| matches!(effect, Effect::Incident(_))) {
            return;
        }
        world.effects = effects;
        world = world.reborn(spec.clone(), 5 * SECOND);
    }
    panic!("a restart each minute hides that it never ran");
}

#[test]
fn a_due_time_in_a_long_absence_of_our_own_is_held_against_nobody() {
    let spec = daily_at_three(30 * MINUTE);
    let world = World::new(spec.clone());
    let gone = to_three(&world) + HOUR;
    let mut next = world.reborn(spec.clone(), gone);
    next.pass(2 * HOUR);
    assert_eq!(next.state("backup"), (State::Pending, None), "it may have run and told nobody");
    assert_eq!(next.codes(), ["job-waiting", "job-excused", "job-due"]);
    next.pass(23 * HOUR);
    assert_eq!(next.state("backup"), OVERDUE, "the next one counts");
    // A stopped process of ours is the same.
    let mut world = World::new(spec);
    world.pass(to_three(&world) + MINUTE);
    world.stall(HOUR);
    world.give(Input::Tick);
    world.pass(2 * HOUR);
    assert_eq!(world.state("backup"), (State::Pending, None));
    assert!(world.codes().contains(&"job-excused".to_owned()));
}

#[test]
fn a_short_absence_leaves_time_for_what_is_told_again() {
    let spec = every(HOUR, MINUTE);
    let mut world = World::new(spec.clone());
    world.beat("backup");
    world.pass(HOUR + 59 * SECOND);
    let mut next = world.reborn(spec, 60 * SECOND);
    assert_eq!(next.state("backup"), (State::Up, None), "what was known is known");
    next.pass(50 * SECOND);
    assert_eq!(next.state("backup"), (State::Up, None));
    next.pass(11 * SECOND);
    assert_eq!(next.state("backup"), OVERDUE);
}

#[test]
fn a_run_that_goes_on_while_we_are_away_is_not_called_too_long() {
    let spec = job(Schedule::Every(24 * HOUR), HOUR, Some(10 * MINUTE));
    let mut world = World::new(spec.clone());
    world.starts("a");
    world.pass(MINUTE);
    let mut next = world.reborn(spec, 20 * MINUTE);
    next.pass(HOUR);
    assert_eq!(next.state("backup"), (State::Pending, None), "its end may have been told in vain");
    assert_eq!(next.codes()[0], "job-unsure");
    next.ends("a", Exit::Clean);
    assert_eq!(next.state("backup"), (State::Up, None));
    assert_eq!(next.job().recent[0].took, Some(81 * MINUTE));
}

#[test]
fn steps_of_the_wall_clock_make_nobody_overdue() {
    for (spec, step) in [(every(HOUR, MINUTE), 3 * HOUR), (daily_at_three(MINUTE), 20 * HOUR)] {
        let mut world = World::new(spec);
        world.beat("backup");
        world.pass(10 * MINUTE);
        world.wall += i64::try_from(step.as_millis()).unwrap();
        world.pass(30 * MINUTE);
        assert_eq!(world.state("backup"), (State::Up, None));
        assert_eq!(world.incidents(), (0, 0));
    }
    // Set back, the calendar's times come again.
    let mut world = World::new(daily_at_three(MINUTE));
    world.pass(to_three(&world));
    world.beat("backup");
    world.wall -= 3_600_000;
    world.pass(HOUR + 2 * MINUTE);
    assert_eq!(world.state("backup"), OVERDUE);
}

#[test]
fn late_news_of_a_start_in_time_takes_an_overdue_back() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.beat("backup");
    world.pass(HOUR + 2 * MINUTE);
    assert_eq!(world.state("backup"), OVERDUE);
    let run = Some(Run { id: Some("a".into()), ..Run::started() });
    let age = 90 * SECOND;
    world.give(Input::Beat(Beat {
        run: run.map(Into::into),
        age,
        ..Beat::alive(ServiceId::new("backup").unwrap())
    }));
    assert_eq!(world.state("backup"), (State::Up, None));
}

#[test]
fn news_of_an_old_run_does_not_undo_a_newer_one() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.starts("a");
    world.pass(10 * MINUTE);
    world.ends("a", Exit::Clean);
    let run = Some(Run { id: Some("z".into()), exit: Some(Exit::Code(1)), ..Run::ended() });
    let age = 5 * MINUTE;
    world.pass(MINUTE);
    world.give(Input::Beat(Beat {
        run: run.map(Into::into),
        age,
        ..Beat::alive(ServiceId::new("backup").unwrap())
    }));
    assert_eq!(world.state("backup"), (State::Up, None));
}

#[test]
fn an_end_told_twice_is_one_run() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.starts("a");
    world.pass(MINUTE);
    world.ends("a", Exit::Clean);
    world.pass(SECOND);
    world.ends("a", Exit::Clean);
    assert_eq!(world.job().recent.len(), 1);
    assert_eq!(world.job().recent[0].took, Some(MINUTE));
}

#[test]
fn a_paused_job_is_watched_and_nobody_is_told() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.give(Input::Order { by: "me".into(), order: Order::Pause(ServiceId::new("backup").unwrap()) });
    world.pass(2 * HOUR);
    assert_eq!(world.state("backup"), OVERDUE);
    assert_eq!(world.incidents(), (0, 0));
}

#[test]
fn a_reload_with_another_schedule_begins_anew_and_keeps_what_is_known() {
    let mut world = World::new(every(HOUR, MINUTE));
    world.beat("backup");
    world.pass(2 * HOUR);
    assert_eq!(world.state("backup"), OVERDUE);
    world.give(Input::Configure(Arc::new(every(24 * HOUR, MINUTE))));
    assert_eq!(world.state("backup"), (State::Up, None));
    world.pass(21 * HOUR);
    assert_eq!(world.state("backup"), (State::Up, None));
    world.pass(2 * HOUR);
    assert_eq!(world.state("backup"), OVERDUE);
}

#[test]
fn the_unit_of_a_job_may_rest_and_may_not_crash() {
    let mut spec = every(HOUR, MINUTE);
    spec.services[0] = with_unit(spec.services[0].clone());
    let mut world = World::new(spec);
    world.unit("backup", UnitState::Stopped { ordered: false, exit: Exit::Clean });
    world.beat("backup");
    assert_eq!(world.state("backup"), (State::Up, None));
    world.unit("backup", UnitState::Stopped { ordered: true, exit: Exit::Clean });
    assert_eq!(world.state("backup"), (State::Up, None));
    world.unit("backup", UnitState::Stopped { ordered: false, exit: Exit::Code(4) });
    assert_eq!(world.state("backup"), (State::Down, Some(Reason::Crashed)));
}
