//! The state machine of one job: news and time in, evidence out.
//!
//! pending → running → ok or failed, overdue when no run was heard of in time, too long when one does not end.
//! Runs that overlap are told apart by the id their reporter gives them. Several things are true at once (a run
//! goes on, the last one failed), so the states are facts side by side, and [`Job::evidence`] weighs them.

use std::time::Duration;

use super::{Due, Going, JobMemory, JobSpec, MAX_RECENT, MAX_RUNS, PATIENCE, RunRecord, Schedule};
use crate::evidence::{BeatStatus, Exit, Run, RunPhase};
use crate::model::Reason;
use crate::time::{Mono, Wall};
use crate::verdict::JobEvidence;

/// The time of one step, on every clock a job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The engine's own time, which stands still while the engine does: counts grace and running time.
    pub mono: Mono,
    /// The monotonic clock: measures how long runs took.
    pub real: Mono,
    /// The wall clock: the calendar's.
    pub wall: Wall,
}

impl Moment {
    /// `age` earlier.
    fn back(self, age: Duration) -> Self {
        Self { mono: self.mono.back(age), real: self.real.back(age), wall: self.wall.back(age) }
    }
}

/// What a piece of news, or the passing of time, was to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// Nothing worth remembering.
    Nothing,
    /// A run began.
    Started,
    /// A run ended well.
    Succeeded,
    /// A run failed.
    Failed,
    /// Something else that must survive a restart.
    Changed,
}

/// A run that goes on, with its clocks.
#[derive(Debug, Clone)]
struct Running {
    seen: Going,
    began: Mono,
    /// On the monotonic clock; `None`: it began in an earlier life.
    began_real: Option<Mono>,
    deadline: Mono,
    /// Whether an absence of ours has moved its deadline already.
    forgiven: bool,
}

/// One job.
#[derive(Debug, Clone)]
pub struct Job {
    spec: JobSpec,
    /// Runs that go on, oldest first.
    running: Vec<Running>,
    /// Runs that have ended, newest first.
    recent: Vec<RunRecord>,
    /// When the newest of them ended.
    last_end: Mono,
    /// The due time that is awaited; `None`: none comes any more.
    due: Option<Due>,
    /// When it comes.
    due_at: Mono,
    /// It has come: from here its grace counts.
    waiting: Option<Mono>,
    overdue: Option<Due>,
    forgiven: bool,
    excused: Option<Wall>,
}

impl Job {
    /// A job that has never been heard of: the first due time from now on is awaited.
    pub fn new(spec: JobSpec, now: Moment) -> Self {
        let mut job = Self {
            spec,
            running: Vec::new(),
            recent: Vec::new(),
            last_end: Mono::ZERO,
            due: None,
            due_at: Mono::NEVER,
            waiting: None,
            overdue: None,
            forgiven: false,
            excused: None,
        };
        job.await_due(job.spec.schedule.after(now.wall), now);
        job
    }

    /// A job as an earlier life of lifesign left it.
    pub fn restore(spec: JobSpec, memory: JobMemory, now: Moment) -> Self {
        let mut job = Self::new(spec, now);
        let ago = |at: Wall| now.mono.back(now.wall.since(at));
        job.running = memory
            .going
            .into_iter()
            .take(MAX_RUNS)
            .map(|seen| Running {
                began: ago(seen.started_at),
                began_real: None,
                deadline: Mono::NEVER,
                forgiven: false,
                seen,
            })
            .collect();
        job.recent = memory.recent;
        job.recent.truncate(MAX_RECENT);
        job.last_end = job.recent.first().map_or(Mono::ZERO, |last| ago(last.ended_at));
        job.excused = memory.excused;
        if memory.schedule == job.spec.schedule.words() {
            job.await_due(memory.due, now);
            job.waiting = memory.waited.map(|waited| now.mono.back(waited));
            job.overdue = memory.overdue;
            job.forgiven = memory.forgiven;
        } else {
            job.await_next(now);
        }
        job.set_deadlines();
        job.absent(now, now.wall.since(memory.seen_at));
        job
    }

    /// Takes another specification. What is known of its runs stays; another schedule begins anew.
    pub fn configure(&mut self, spec: JobSpec, now: Moment) {
        let same = self.spec.schedule == spec.schedule;
        self.spec = spec;
        if !same {
            self.overdue = None;
            self.await_next(now);
        }
        self.set_deadlines();
    }

    /// The first due time after its last run, or after now where that is over already.
    fn await_next(&mut self, now: Moment) {
        let last = self.recent.first().map(|last| last.started_at.unwrap_or(last.ended_at));
        let due = last.and_then(|last| self.spec.schedule.after(last)).filter(|due| due.until > now.wall);
        self.await_due(due.or_else(|| self.spec.schedule.after(now.wall)), now);
    }

    fn await_due(&mut self, due: Option<Due>, now: Moment) {
        self.due = due;
        self.waiting = None;
        self.forgiven = false;
        self.arm(now);
    }

    fn arm(&mut self, now: Moment) {
        self.due_at = self.due.map_or(Mono::NEVER, |due| now.mono + due.until.since(now.wall));
    }

    fn set_deadlines(&mut self) {
        for at in 0..self.running.len() {
            let run = &self.running[at];
            let deadline = self.deadline(run.began, run.seen.started_at);
            self.running[at].deadline = if self.running[at].seen.unsure { Mono::NEVER } else { deadline };
        }
    }

    /// When a run that began then has taken too long.
    fn deadline(&self, began: Mono, started_at: Wall) -> Mono {
        match self.spec.max_runtime {
            Some(most) => began + most,
            None => self.spec.schedule.after(started_at).map_or(Mono::NEVER, |next| {
                began + next.until.since(started_at).saturating_add(self.spec.grace)
            }),
        }
    }

    /// A report of a run arrived, `age` after it was made. A report without [`Run`] is the end of one.
    pub fn report(
        &mut self,
        now: Moment,
        age: Duration,
        status: BeatStatus,
        run: Option<Run>,
        message: Option<&str>,
    ) -> Noticed {
        let at = now.back(age);
        match run {
            Some(run) if run.phase == RunPhase::Started => self.started(at, now, run),
            Some(run) if run.phase == RunPhase::Noted => Noticed::Nothing,
            // An announced stop of something that runs by itself says nothing of a job.
            None if status == BeatStatus::Stopping => Noticed::Nothing,
            run => self.ended(at, now, status, run.unwrap_or_else(Run::ended), message),
        }
    }

    fn started(&mut self, at: Moment, now: Moment, run: Run) -> Noticed {
        if at.mono < self.last_end {
            // It began before what we know ended; whether it goes on, its own end will tell.
            return Noticed::Nothing;
        }
        if run.id.is_some() && self.running.iter().any(|other| other.seen.id == run.id) {
            return Noticed::Nothing;
        }
        if self.running.len() >= MAX_RUNS {
            self.running.remove(0);
        }
        let seen = Going { id: run.id, started_at: at.wall, too_long: false, unsure: false };
        let deadline = self.deadline(at.mono, at.wall);
        self.running.push(Running {
            seen,
            began: at.mono,
            began_real: Some(at.real),
            deadline,
            forgiven: false,
        });
        self.answer(at.wall, at.wall, now);
        if self.overdue.is_some_and(|missed| at.wall <= missed.until + self.spec.grace) {
            self.overdue = None; // It was in time; only the news of it was late.
        }
        Noticed::Started
    }

    fn ended(
        &mut self,
        at: Moment,
        now: Moment,
        status: BeatStatus,
        run: Run,
        message: Option<&str>,
    ) -> Noticed {
        let ok = status != BeatStatus::Fail && matches!(run.exit, None | Some(Exit::Clean));
        let began = self.take(&run);
        let started_at = began.as_ref().map(|run| run.seen.started_at);
        let from = started_at.unwrap_or_else(|| at.wall.back(run.took.unwrap_or_default()));
        self.answer(from, at.wall, now);
        if self.overdue.is_some_and(|missed| at.wall >= missed.from) {
            self.overdue = None;
        }
        if at.mono < self.last_end {
            return Noticed::Changed; // A later run has ended since: that one counts.
        }
        if ok {
            self.forget_older(began.as_ref().map_or(at.mono, |run| run.began), now);
        }
        let again = began.is_none()
            && self.recent.first().is_some_and(|last| {
                last.id.is_some()
                    && last.id == run.id
                    && last.ok == ok
                    && at.mono.since(self.last_end) < PATIENCE
            });
        self.last_end = at.mono;
        if again {
            return Noticed::Changed; // Told twice: the answer to the first was lost.
        }
        let took = began.map(|run| match run.began_real {
            Some(real) => at.real.since(real),
            None => at.wall.since(run.seen.started_at),
        });
        if let Some(last) = self.recent.first_mut() {
            last.output = None;
        }
        self.recent.truncate(MAX_RECENT - 1);
        let output = run.output.or_else(|| message.map(str::to_owned));
        let record = RunRecord {
            id: run.id,
            started_at,
            ended_at: at.wall,
            ok,
            exit: run.exit,
            took,
            said: run.took,
            output,
        };
        self.recent.insert(0, record);
        if ok { Noticed::Succeeded } else { Noticed::Failed }
    }

    /// Takes out the run that has ended: the one of that id, or without an id the newest that has none. Who names
    /// no run at all ends every one.
    fn take(&mut self, run: &Run) -> Option<Running> {
        let found = self.running.iter().rposition(|going| going.seen.id == run.id);
        match (found, &run.id) {
            (Some(at), Some(_)) => Some(self.running.remove(at)),
            (Some(at), None) => {
                let ended = self.running.remove(at);
                self.running.retain(|going| going.seen.id.is_some());
                Some(ended)
            }
            (None, Some(_)) => None,
            (None, None) => {
                self.running.clear();
                None
            }
        }
    }

    /// A run that began at `began` succeeded: older ones that should have ended by now, or of which nobody wrote
    /// how long they may take, are over. Their end was never told.
    fn forget_older(&mut self, began: Mono, now: Moment) {
        let limited = self.spec.max_runtime.is_some();
        self.running
            .retain(|run| run.began > began || (limited && run.deadline > now.mono && !run.seen.unsure));
    }

    /// A run from `from` until `until` (the same while it goes on) answers the due times in it, and the one just
    /// ahead of its beginning.
    fn answer(&mut self, from: Wall, until: Wall, now: Moment) {
        let Some(due) = self.due else { return };
        let schedule = &self.spec.schedule;
        let next = match schedule {
            Schedule::Every(period) => {
                let next = if from + *period > until { from + *period } else { until + *period };
                // Old news takes no time away.
                (next > due.from).then(|| Due::at(next))
            }
            Schedule::Calendar(_) if due.from <= until => schedule.after(until),
            Schedule::Calendar(_) if due.from <= from + schedule.early(due) => schedule.after(due.from),
            Schedule::Calendar(_) => return,
        };
        if next.is_some() || matches!(schedule, Schedule::Calendar(_)) {
            self.await_due(next, now);
        }
    }

    /// Time passed.
    pub fn advance(&mut self, now: Moment) -> Noticed {
        let mut noticed = Noticed::Nothing;
        for run in self.running.iter_mut().filter(|run| !run.seen.too_long && now.mono >= run.deadline) {
            run.seen.too_long = true;
            noticed = Noticed::Changed;
        }
        let Some(due) = self.due.filter(|_| self.overdue.is_none() || self.waiting.is_some()) else {
            return noticed;
        };
        if self.waiting.is_none() && now.mono >= self.due_at {
            if now.wall < due.until {
                self.arm(now); // The wall clock is a little behind where it was.
                return noticed;
            }
            self.waiting = Some(self.due_at);
            noticed = Noticed::Changed;
        }
        // A run that goes on answers when it ends, or takes too long.
        let answering = self.running.iter().any(|run| !run.seen.too_long && !run.seen.unsure);
        if self.waiting.is_some_and(|since| now.mono >= since + self.spec.grace) && !answering {
            self.waiting = None;
            self.overdue = Some(due);
            noticed = Noticed::Changed;
        }
        noticed
    }

    /// lifesign itself was away for `gone`, until now.
    ///
    /// What is told to us in a short absence is told again. So a grace that counts, and a run near its limit, get
    /// [`PATIENCE`] more, once. In a longer absence a run may have come and gone unheard: its due time is
    /// not held against the job, nor is the end of a run that was going on.
    pub fn absent(&mut self, now: Moment, gone: Duration) {
        self.arm(now);
        let long = gone > PATIENCE;
        for run in &mut self.running {
            if long && !run.seen.too_long {
                run.seen.unsure = true;
                run.deadline = Mono::NEVER;
            } else if !run.forgiven && run.deadline != Mono::NEVER {
                let most = PATIENCE.min(run.deadline.since(run.began));
                run.forgiven = run.deadline < now.mono + most;
                run.deadline = run.deadline.max(now.mono + most);
            }
        }
        let Some(due) = self.due.filter(|due| self.overdue.is_none() && due.until <= now.wall) else {
            return;
        };
        if long && due.until <= now.wall.back(PATIENCE) {
            self.excused = Some(due.from);
            let recent = now.wall.back(PATIENCE);
            let next = match &self.spec.schedule {
                Schedule::Every(period) => Some(Due::at(now.wall + *period)),
                Schedule::Calendar(calendar) => calendar.after(recent.max(due.from)),
            };
            self.await_due(next, now);
        } else if let Some(since) = self.waiting.filter(|_| !self.forgiven) {
            let most = PATIENCE.min(self.spec.grace);
            self.waiting = Some(since.max((now.mono + most).back(self.spec.grace)));
            self.forgiven = true;
        }
    }

    /// The wall clock was set: it shows `moved` milliseconds more than it would have.
    pub fn stepped(&mut self, now: Moment, moved: i64) {
        match &self.spec.schedule {
            Schedule::Every(_) => {
                // Counted from its last run and not from any clock on a wall.
                let shift = |at: Wall| Wall::from_millis(at.as_millis().saturating_add(moved));
                self.due = self.due.map(|due| Due { from: shift(due.from), until: shift(due.until) });
            }
            Schedule::Calendar(calendar) if moved < 0 && self.waiting.is_none() => {
                let next = calendar.after(now.wall);
                if next.is_some_and(|next| self.due.is_none_or(|due| next.from < due.from)) {
                    self.due = next;
                }
                self.arm(now);
            }
            Schedule::Calendar(_) => {
                let skipped = Duration::from_millis(moved.unsigned_abs());
                if self.waiting.is_none() && skipped > PATIENCE {
                    let runs = std::mem::take(&mut self.running); // Their time did not jump.
                    self.absent(now, skipped);
                    self.running = runs;
                }
                self.arm(now);
            }
        }
    }

    /// When [`Self::advance`] will have something to say.
    pub fn next_deadline(&self) -> Mono {
        let runs = self.running.iter().filter(|run| !run.seen.too_long).map(|run| run.deadline).min();
        let answering = self.running.iter().any(|run| !run.seen.too_long && !run.seen.unsure);
        let due = match self.waiting {
            Some(_) if answering => Mono::NEVER,
            Some(since) => since + self.spec.grace,
            None if self.overdue.is_some() => Mono::NEVER,
            None => self.due_at,
        };
        due.min(runs.unwrap_or(Mono::NEVER))
    }

    /// What it all says.
    pub fn evidence(&self) -> JobEvidence {
        if self.running.iter().any(|run| run.seen.too_long) {
            return JobEvidence::TooLong;
        }
        match (self.overdue, self.recent.first()) {
            (Some(_), _) => JobEvidence::Overdue,
            (None, None) => JobEvidence::Waiting,
            (None, Some(last)) if last.ok => JobEvidence::Ok,
            (None, Some(last)) => JobEvidence::Failed(reason_of(last)),
        }
    }

    /// What is expected of it.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// The runs that go on, oldest first.
    pub fn going(&self) -> impl Iterator<Item = &Going> {
        self.running.iter().map(|run| &run.seen)
    }

    /// The runs that have ended, newest first.
    pub fn recent(&self) -> &[RunRecord] {
        &self.recent
    }

    /// The due time that is awaited; where one was missed, the first after it that is still to come.
    pub fn next_due(&self, now: Wall) -> Option<Due> {
        match (&self.spec.schedule, self.overdue) {
            (Schedule::Calendar(calendar), Some(_)) => calendar.after(now),
            _ => self.due,
        }
    }

    /// The due time that was missed.
    pub fn overdue(&self) -> Option<Due> {
        self.overdue
    }

    /// The last due time that is not held against it, because lifesign was away.
    pub fn excused(&self) -> Option<Wall> {
        self.excused
    }

    /// How long of the grace is left, once the due time has come.
    pub fn grace_left(&self, now: Mono) -> Option<Duration> {
        self.waiting.map(|since| (since + self.spec.grace).since(now))
    }

    /// Whether something goes on that the next life must know the length of.
    pub fn is_awaited(&self) -> bool {
        self.waiting.is_some() || !self.running.is_empty()
    }

    /// What the next life must know.
    pub fn memory(&self, now: Moment) -> JobMemory {
        JobMemory {
            seen_at: now.wall,
            schedule: self.spec.schedule.words(),
            due: self.due,
            waited: self.waiting.map(|since| now.mono.since(since)),
            overdue: self.overdue,
            forgiven: self.forgiven,
            excused: self.excused,
            going: self.going().cloned().collect(),
            recent: self.recent.clone(),
        }
    }
}

/// Why a run that failed did: what the system says of its end, else what it says itself.
fn reason_of(run: &RunRecord) -> Reason {
    match &run.exit {
        None | Some(Exit::Clean | Exit::Unseen) => Reason::CheckFailed,
        Some(exit) => exit.reason(),
    }
}
