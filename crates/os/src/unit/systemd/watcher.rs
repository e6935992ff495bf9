//! One watched unit: brings signals, pidfd and poll together.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{MAX_NOTES, Process, Remains, UnitReport, UnitState};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::bus::{Link, Reading, Session};
use super::policy::policy;
use super::properties::{Properties, Recovery};
use super::tracker::Tracker;
use super::{full_name, journal, means_not_found};
use crate::pidfd::PidFd;
use crate::unit::policy::{Hole, holes};
use crate::unit::vitals::Vitals;
use crate::unit::{RECONCILE_EVERY, Sink};

/// How long systemd may take to say why a main process has ended, before it is asked.
///
/// The pidfd alone cannot tell a crash from a stop that somebody ordered a moment ago, and taking the second
/// for the first would open an incident. systemd's word follows within 2 ms as a rule, within 10 ms nearly always.
const WORD_FOLLOWS: Duration = Duration::from_millis(40);
/// How long it may take to answer then, before the end is reported without a cause.
const ANSWER_FOLLOWS: Duration = Duration::from_millis(60);
/// How long the signals may take that its answer promises, before everything is read anew.
const SIGNALS_FOLLOW: Duration = Duration::from_millis(500);

/// How long after a death its last lines are looked for: they are on their way to the journal by then.
const LINES_FOLLOW: Duration = Duration::from_millis(100);

/// How soon a unit that could not be read is read again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Text that is being gathered about a death.
type Evidence = Pin<Box<dyn Future<Output = Left> + Send>>;

/// What is left of a life that has ended.
struct Left {
    /// What its main process last used.
    usage: Option<String>,
    /// The last lines in the journal.
    lines: Option<String>,
}

/// The main process of the watched unit.
struct Main {
    process: Process,
    /// systemd's start stamp of it, to tell it from a later one with the same number.
    life: u64,
    /// `None`: it was gone before it could be opened, or cannot be opened.
    handle: Option<PidFd>,
    /// It has ended, whatever systemd says.
    gone: bool,
}

/// What is being waited for from systemd about the end of a main process, and until when.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// Its word, unasked.
    Word(Instant),
    /// The signals that say what its answer has hinted at.
    Signals(Instant),
}

impl Patience {
    fn begin() -> Option<Self> {
        Some(Self::Word(Instant::now() + WORD_FOLLOWS))
    }
}

/// The watcher's state; [`run`](Self::run) is its task.
pub(crate) struct Watcher {
    name: String,
    sink: Sink,
    tracker: Tracker,
    main: Option<Main>,
    /// The main process is gone, and systemd has not yet said so.
    patience: Option<Patience>,
    /// Where the journal lies, if not in its usual place.
    journal: Option<Arc<Path>>,
    /// What systemd does about an end, and what there is to say about that.
    recovery: Option<Recovery>,
    notes: Vec<String>,
    /// The job that brought it up; it may be named for a while after the unit is.
    start_job: u32,
    /// Which start of the unit the newest picture is of, and of which one the end is looked into.
    invocation: [u8; 16],
    looked_into: [u8; 16],
    /// What the main process last used.
    vitals: Option<Vitals>,
    evidence: Option<Evidence>,
}

impl Watcher {
    pub(crate) fn new(name: &str, sink: Sink, journal: Option<Arc<Path>>) -> Self {
        Self {
            name: full_name(name).into_owned(),
            sink,
            tracker: Tracker::default(),
            main: None,
            patience: None,
            journal,
            recovery: None,
            notes: Vec::new(),
            start_job: 0,
            invocation: [0; 16],
            looked_into: [0; 16],
            vitals: None,
            evidence: None,
        }
    }

    /// Watches until cancelled.
    pub(crate) async fn run(mut self, mut link: watch::Receiver<Link>) {
        loop {
            let now = link.borrow_and_update().clone();
            match now {
                Link::Connecting => {}
                Link::Down(why) => {
                    let reports = self.tracker.blind(format!("systemd cannot be reached: {why}"));
                    self.tell(reports);
                }
                Link::Up(session) => {
                    let attending = self.attend(&session);
                    tokio::select! {
                        error = attending => {
                            let reports = self.blind(&error);
                            self.tell(reports);
                            // If it is the connection, the link changes; if it is this unit, try again by and by.
                            tokio::select! {
                                () = sleep(RETRY_AFTER) => continue,
                                changed = link.changed() => if changed.is_err() { return },
                            }
                            continue;
                        }
                        changed = link.changed() => if changed.is_err() { return } else { continue },
                    }
                }
            }
            // Without systemd the pidfd still sees.
            tokio::select! {
                () = gone(&mut self.main) => {
                    let reports = self.tracker.lost();
                    self.tell(reports);
                }
                changed = link.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Watches over one connection until a call fails.
    async fn attend(&mut self, session: &Session) -> zbus::Error {
        match self.try_attend(session).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn try_attend(&mut self, session: &Session) -> zbus::Result<std::convert::Infallible> {
        let path = session.load(&self.name).await?;
        let mut changes = session.changes(&path);
        let mut reloads = session.reloads();
        let mut reading = session.read(&path).await?;
        self.take(&reading.properties);
        let mut poll = interval_at(Instant::now() + RECONCILE_EVERY, RECONCILE_EVERY);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                change = changes.recv() => match change {
                    Ok(signal) => if reading.take(&signal) {
                        self.take(&reading.properties);
                    },
                    Err(RecvError::Lagged(_)) => reading = self.read(session, &path).await?,
                    Err(RecvError::Closed) => return Err(zbus::Error::Failure("the connection has ended".to_owned())),
                },
                () = gone(&mut self.main) => self.fallen(&reading.properties),
                () = until(self.patience) => match self.patience.take() {
                    Some(Patience::Word(_)) => self.ask(session, &path).await?,
                    Some(Patience::Signals(_)) => reading = self.read(session, &path).await?,
                    None => {}
                },
                left = gathered(&mut self.evidence) => self.tell_evidence(left),
                changed = reloads.changed() => if changed.is_ok() {
                    reading = self.read(session, &path).await?;
                },
                _ = poll.tick() => {
                    self.sample();
                    if session.state_change(&path).await? != reading.properties.state_change {
                        tracing::debug!(unit = self.name, "Found a change that no signal had told of");
                        reading = self.read(session, &path).await?;
                    }
                }
            }
        }
    }

    async fn read(&mut self, session: &Session, path: &str) -> zbus::Result<Reading> {
        let reading = session.read(path).await?;
        self.take(&reading.properties);
        Ok(reading)
    }

    /// The main process has ended. Where nobody but a stranger can have done it, that is told at once: with many
    /// deaths at a time systemd's word comes late.
    fn fallen(&mut self, unit: &Properties) {
        let has_no_order = unit.job == 0 || unit.job == self.start_job;
        let is_calm = unit.active_state == "active" && has_no_order && self.tracker.runs();
        let handle = self.main.as_ref().and_then(|main| main.handle.as_ref());
        match handle.and_then(PidFd::killed_by).filter(|signal| is_calm && unit.stop.never_sends(*signal)) {
            Some(signal) => {
                self.patience = Some(Patience::Signals(Instant::now() + SIGNALS_FOLLOW));
                let reports = self.tracker.fell(signal);
                self.tell(reports);
            }
            None => self.patience = Patience::begin(),
        }
    }

    /// The main process has ended and systemd has said nothing: asks.
    ///
    /// Its answer is younger than the end. If the unit is still active by then, nobody had ordered a stop.
    async fn ask(&mut self, session: &Session, path: &str) -> zbus::Result<()> {
        match timeout(ANSWER_FOLLOWS, session.is_active(path)).await {
            Ok(is_active) => {
                if is_active? {
                    let reports = self.tracker.lost();
                    self.tell(reports);
                } else {
                    self.patience = Some(Patience::Signals(Instant::now() + SIGNALS_FOLLOW));
                }
            }
            Err(_) => {
                let reports = self.tracker.lost();
                self.tell(reports);
            }
        }
        Ok(())
    }

    /// Reports what `unit` adds.
    fn take(&mut self, unit: &Properties) {
        self.read_policy(unit);
        if matches!(unit.active_state.as_str(), "inactive" | "failed" | "activating") {
            self.start_job = unit.job;
        }
        self.follow(unit);
        if self.main.as_ref().is_none_or(|main| !main.gone) {
            self.invocation = unit.invocation;
        }
        if self.main.as_ref().is_some_and(|main| main.gone) {
            // systemd has not noticed yet that its main process is gone; its picture is of the past.
            self.patience = self.patience.or_else(Patience::begin);
            return;
        }
        self.patience = None;
        let mut reports = self.tracker.read(unit, self.main.as_ref().map(|main| main.process));
        if unit.awaits_restart() {
            let pause = Duration::from_micros(unit.recovery.pause);
            for report in reports.iter_mut().filter(|report| report.state == UnitState::Starting) {
                report.notes.push(format!("systemd itself starts it again in {pause:?} (RestartSec)"));
            }
        }
        self.tell(reports);
    }

    /// What systemd does about an end, and whether that has holes.
    fn read_policy(&mut self, unit: &Properties) {
        if self.recovery.as_ref() == Some(&unit.recovery) {
            return;
        }
        let is_news = self.recovery.replace(unit.recovery.clone()).is_some();
        let policy = policy(&unit.recovery);
        let found = holes(&policy);
        self.notes = found.iter().filter(|hole| hole.is_worth_a_warning()).map(Hole::to_string).collect();
        if !self.notes.is_empty() {
            let holes: Vec<&str> = found.iter().map(Hole::word).collect();
            tracing::warn!(
                unit = self.name,
                policy = policy.words,
                ?holes,
                "systemd's recovery of a unit has holes; `lifesign discover` explains them"
            );
        }
        if is_news && let Some(last) = self.tracker.last().cloned() {
            tracing::info!(
                unit = self.name,
                policy = policy.words,
                "systemd's recovery of a unit has changed"
            );
            self.tell(vec![last]);
        }
    }

    /// Notes what the main process uses, for the day it is gone.
    fn sample(&mut self) {
        if let Some(main) = self.main.as_ref().filter(|main| !main.gone) {
            self.vitals = Vitals::of(main.process).or(self.vitals.take());
        }
    }

    /// An end that nobody ordered: gathers what is left of it, beside the watching.
    fn look_into(&mut self) {
        if self.looked_into == self.invocation && self.evidence.is_some() {
            return;
        }
        self.looked_into = self.invocation;
        let (name, invocation, folder) = (self.name.clone(), self.invocation, self.journal.clone());
        let usage = self.vitals.take().map(|vitals| vitals.to_string());
        self.evidence = Some(Box::pin(async move {
            sleep(LINES_FOLLOW).await;
            let lines = journal::last_lines(&name, &invocation, folder.as_deref()).await;
            Left { usage, lines }
        }));
    }

    /// The present state once more, with what is left of the life before it.
    fn tell_evidence(&mut self, left: Left) {
        self.evidence = None;
        if let Some(mut report) = self.tracker.last().cloned() {
            report.usage = left.usage;
            report.last_output = left.lines;
            report.remains = Remains::Complete;
            self.tell(vec![report]);
        }
    }

    /// Holds the main process that `unit` names.
    fn follow(&mut self, unit: &Properties) {
        if unit.main_pid == 0 {
            self.main = None;
            return;
        }
        let known = |main: &Main| main.process.pid == unit.main_pid && main.life == unit.exec_start;
        if self.main.as_ref().is_some_and(known) {
            return;
        }
        let unnamed = Process { pid: unit.main_pid, started: unit.exec_start };
        let (process, handle, gone) = match PidFd::open(unit.main_pid) {
            Ok(handle) => (handle.process(), Some(handle), false),
            Err(error) if PidFd::means_gone(&error) => (unnamed, None, true),
            Err(error) => {
                tracing::warn!(unit = self.name, pid = unit.main_pid, %error, "Cannot watch a main process; its end will be seen a little later");
                (unnamed, None, false)
            }
        };
        self.main = Some(Main { process, life: unit.exec_start, handle, gone });
        self.sample();
    }

    fn blind(&mut self, error: &zbus::Error) -> Vec<UnitReport> {
        if means_not_found(error) {
            let os = format!("systemd knows no unit {:?}", self.name);
            return self.tracker.absent(UnitReport::new(UnitState::NotFound, os));
        }
        self.tracker.blind(format!("systemd does not answer about the unit: {error}"))
    }

    fn tell(&mut self, reports: Vec<UnitReport>) {
        for mut report in reports {
            if matches!(report.state, UnitState::Stopped { ordered: false, .. })
                && report.remains != Remains::Complete
            {
                self.look_into();
                report.remains = Remains::Follow;
            }
            report.notes.extend(self.notes.iter().cloned());
            report.notes.truncate(MAX_NOTES);
            (self.sink)(report);
        }
    }
}

/// Waits until the main process ends, and notes it; for ever while there is none to wait for.
async fn gone(main: &mut Option<Main>) {
    match main {
        Some(Main { handle: Some(handle), gone, .. }) if !*gone => {
            handle.ended().await;
            *gone = true;
        }
        _ => std::future::pending().await,
    }
}

/// Waits for what is being gathered; for ever while there is nothing.
async fn gathered(evidence: &mut Option<Evidence>) -> Left {
    match evidence {
        Some(evidence) => evidence.await,
        None => std::future::pending().await,
    }
}

async fn until(patience: Option<Patience>) {
    match patience {
        Some(Patience::Word(deadline) | Patience::Signals(deadline)) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
