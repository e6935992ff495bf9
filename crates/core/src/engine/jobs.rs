//! Services that are jobs: news of their runs in, due times passing, and what people are told of it.

use std::time::Duration;

use super::clock::VirtualClock;
use super::explain::Facts;
use super::service::exit_words;
use super::{Answer, Engine, Turn, set_metric, words};
use crate::evidence::Beat;
use crate::job::{Moment, Noticed, RunRecord};
use crate::model::{CheckKind, CheckState, Reason};
use crate::time::{Mono, Wall};
use crate::verdict::JobEvidence;
use crate::view::{About, CheckView, JobView};

/// This step's time on every clock a job needs.
pub(super) fn moment(clock: &VirtualClock, turn: &Turn<'_>) -> Moment {
    Moment { mono: turn.now, real: clock.to_real(turn.now), wall: turn.wall }
}

impl Engine {
    /// A heartbeat of a job: news of one of its runs.
    pub(super) fn on_run(&mut self, index: usize, beat: Beat, turn: &mut Turn<'_>) -> Answer {
        let now = moment(&self.clock, turn);
        let service = &mut self.services[index];
        let Some(job) = &mut service.job else { return Answer::NoSuchService };
        let noticed =
            job.report(now, beat.age, beat.status, beat.run.map(|run| *run), beat.message.as_deref());
        service.last_beat = service.last_beat.max(Some(turn.wall.back(beat.age)));
        service.note_skew(beat.sent_at, turn.wall);
        if beat.message.is_some() {
            service.beat_message = beat.message.map(Into::into);
        }
        let ix = service.ix;
        self.reconsider(ix, turn);
        match noticed {
            Noticed::Nothing | Noticed::Changed => {}
            Noticed::Started => self.note(ix, "evidence", "a run began", turn),
            Noticed::Succeeded | Noticed::Failed => {
                let last = self.services[index].job.as_ref().and_then(|job| job.recent().first()).cloned();
                let output = last.as_ref().and_then(|last| last.output.clone());
                // Another failure of the same kind, or another success, is no change of state.
                let service = &self.services[index];
                let detail = self.describe(index, service.state, service.reason, turn.now);
                self.services[index].detail = detail.into();
                if let Some(last) = last {
                    self.note(ix, "evidence", format!("a run ended: {}", ending(&last)), turn);
                }
                if let Some(output) = output.filter(|output| !output.trim().is_empty()) {
                    self.note(ix, "output", output, turn);
                }
            }
        }
        if noticed != Noticed::Nothing {
            self.remember(ix, turn);
        }
        for (name, value) in beat.metrics {
            set_metric(&mut self.services[index].metrics, &mut self.names, &name, value);
            self.on_service_metric(ix, &name, value, turn);
        }
        Answer::Beat(self.services[index].state)
    }

    /// Lets the time pass for its runs and due times.
    pub(super) fn watch_runs(&mut self, index: usize, turn: &mut Turn<'_>) {
        let now = moment(&self.clock, turn);
        let service = &mut self.services[index];
        let ix = service.ix;
        let changed = service.job.as_mut().is_some_and(|job| job.advance(now) != Noticed::Nothing);
        if changed {
            self.remember(ix, turn);
        }
    }

    /// The engine did not run for `gone`: what was told meanwhile may not have reached us.
    pub(super) fn jobs_were_unheard(&mut self, gone: Duration, turn: &mut Turn<'_>) {
        let now = moment(&self.clock, turn);
        for ix in self.order.clone() {
            if let Some(job) = &mut self.services[ix.0 as usize].job {
                job.absent(now, gone);
                self.arm(ix);
            }
        }
    }

    /// The wall clock was set by `moved` milliseconds.
    pub(super) fn jobs_follow_wall(&mut self, moved: i64, turn: &mut Turn<'_>) {
        let now = moment(&self.clock, turn);
        for ix in self.order.clone() {
            if let Some(job) = &mut self.services[ix.0 as usize].job {
                job.stepped(now, moved);
                self.arm(ix);
            }
        }
    }

    /// One sentence with the evidence behind the state of a job; `None` where its runs do not explain it.
    pub(super) fn describe_job(&self, index: usize, reason: Option<Reason>) -> Option<String> {
        let job = self.services[index].job.as_ref()?;
        let evidence = job.evidence();
        match (evidence, reason) {
            (JobEvidence::TooLong, Some(Reason::Hung)) => {
                let run = job.going().find(|run| run.too_long)?;
                let most = match job.spec().max_runtime {
                    Some(most) => format!("it may take {}", words(most)),
                    None => "it should have ended before the next was overdue".to_owned(),
                };
                Some(format!("a run goes on since {}; {most}", run.started_at))
            }
            (JobEvidence::Overdue, Some(Reason::MissedHeartbeat)) => {
                let due = job.overdue()?.until;
                let grace = words(job.spec().grace);
                Some(format!("no run was heard of: one was due at {due}, with a grace of {grace}"))
            }
            (JobEvidence::Failed(why), Some(reason)) if why == reason => {
                job.recent().first().map(|last| format!("its last run failed: {}", ending(last)))
            }
            (JobEvidence::Ok, None) => {
                job.recent().first().map(|last| format!("its last run was well: {}", ending(last)))
            }
            _ => None,
        }
    }

    /// What is known of its runs, in sentences.
    pub(super) fn explain_runs(&self, index: usize, now: Mono, facts: &mut Facts) {
        let Some(job) = &self.services[index].job else { return };
        let wall = self.wall_at(now);
        let about = About::Evidence;
        for run in job.going() {
            let since = run.started_at.to_string();
            let ago = words(wall.since(run.started_at));
            let args = [("since", since.clone()), ("ago", ago.clone())];
            if run.too_long {
                let text = format!("A run goes on since {since}, for {ago}: that is too long.");
                facts.add(about, "job-too-long", &args, text);
            } else if run.unsure {
                let text = format!(
                    "A run began at {since}; lifesign itself was away for a while, so its end may have been told in vain."
                );
                facts.add(about, "job-unsure", &args[..1], text);
            } else {
                let text = format!("A run goes on since {since}, for {ago}.");
                facts.add(about, "job-running", &args, text);
            }
        }
        match job.recent().first() {
            None if job.going().next().is_none() => {
                let text = "No run of it has been heard of yet.".to_owned();
                facts.add(about, "job-waiting", &[], text);
            }
            None => {}
            Some(last) => {
                let ago = words(wall.since(last.ended_at));
                if last.ok {
                    let took = last.took.or(last.said).map_or("-".to_owned(), words);
                    let text = format!("Its last run ended well {ago} ago and took {took}.");
                    facts.add(about, "job-succeeded", &[("ago", ago), ("took", took)], text);
                } else {
                    let how = ending(last);
                    let text = format!("Its last run failed {ago} ago: {how}.");
                    facts.add(about, "job-failed", &[("ago", ago), ("how", how)], text);
                }
            }
        }
        if let Some(missed) = job.overdue() {
            let (due, grace) = (missed.until.to_string(), words(job.spec().grace));
            let text = format!("No run was heard of that was due at {due}, nor in the {grace} after it.");
            facts.add(about, "job-missed", &[("due", due), ("grace", grace)], text);
        }
        if let Some(due) = job.excused() {
            let due = due.to_string();
            let text = format!(
                "What was due at {due} is not held against it: lifesign itself was away, and a run would have been told in vain."
            );
            facts.add(about, "job-excused", &[("due", due)], text);
        }
    }

    /// When it is due next, in a sentence.
    pub(super) fn explain_due(&self, index: usize, now: Mono, facts: &mut Facts) {
        let Some(job) = &self.services[index].job else { return };
        let wall = self.wall_at(now);
        let about = About::Deadline;
        let Some(next) = job.next_due(wall) else {
            let text = "Its schedule has come to an end: no further run is due.".to_owned();
            return facts.add(about, "job-over", &[], text);
        };
        let due = next.from.to_string();
        if let Some(left) = job.grace_left(now) {
            let left = words(left);
            let text = format!("A run was due at {due}; without news of one it is overdue in {left}.");
            facts.add(about, "job-late", &[("due", due), ("in", left)], text);
        } else if next.until > wall {
            let (wait, grace) = (words(next.from.since(wall)), words(job.spec().grace));
            let text = format!("Its next run is due at {due}, in {wait}, with a grace of {grace}.");
            facts.add(about, "job-due", &[("due", due), ("in", wait), ("grace", grace)], text);
        }
    }

    /// What people and programs see of its runs.
    pub(super) fn job_view(&self, index: usize, now: Wall) -> Option<JobView> {
        let job = self.services[index].job.as_ref()?;
        Some(JobView {
            schedule: job.spec().schedule.words(),
            grace: job.spec().grace,
            max_runtime: job.spec().max_runtime,
            next_due: job.next_due(now).map(|due| due.from),
            missed: job.overdue().map(|missed| missed.until),
            running: job.going().cloned().collect(),
            recent: job.recent().to_vec(),
        })
    }

    /// Its reports as a source of evidence.
    pub(super) fn job_check(&self, index: usize) -> Option<CheckView> {
        let service = &self.services[index];
        let job = service.job.as_ref()?;
        let last = job.recent().first();
        Some(CheckView {
            kind: CheckKind::Heartbeat,
            name: "job".into(),
            state: match job.evidence() {
                JobEvidence::Waiting => CheckState::Pending,
                JobEvidence::Ok => CheckState::Pass,
                JobEvidence::Failed(_) | JobEvidence::Overdue | JobEvidence::TooLong => CheckState::Fail,
            },
            output: last.map(ending).unwrap_or_default(),
            at: service.last_beat,
            phases: None,
        })
    }

    /// Wall time at a moment of the engine's own time.
    fn wall_at(&self, now: Mono) -> Wall {
        let real = i64::try_from(self.clock.to_real(now).as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        Wall::from_millis(real.saturating_add(self.wall_offset.unwrap_or_default()))
    }
}

/// How a run ended and how long it took, in words.
fn ending(run: &RunRecord) -> String {
    let how = match (&run.exit, run.ok) {
        (Some(exit), _) => exit_words(exit),
        (None, true) => "it ended with success".to_owned(),
        (None, false) => "it says itself that it failed".to_owned(),
    };
    match run.took.or(run.said) {
        Some(took) => format!("{how} after {}", words(took)),
        None => how,
    }
}
