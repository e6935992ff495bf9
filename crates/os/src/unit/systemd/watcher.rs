//! One watched unit: brings signals, pidfd and poll together.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::{Process, UnitReport, UnitState};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::bus::{Link, Reading, Session};
use super::properties::Properties;
use super::tracker::Tracker;
use super::{full_name, means_not_found};
use crate::pidfd::PidFd;
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
}

impl Watcher {
    pub(crate) fn new(name: &str, sink: Sink) -> Self {
        Self {
            name: full_name(name).into_owned(),
            sink,
            tracker: Tracker::default(),
            main: None,
            patience: None,
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
                                () = sleep(RECONCILE_EVERY) => continue,
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
                changed = reloads.changed() => if changed.is_ok() {
                    reading = self.read(session, &path).await?;
                },
                _ = poll.tick() => if session.state_change(&path).await? != reading.properties.state_change {
                    tracing::debug!(unit = self.name, "Found a change that no signal had told of");
                    reading = self.read(session, &path).await?;
                },
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
        let is_calm = unit.active_state == "active" && unit.job == 0 && self.tracker.runs();
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
        self.follow(unit);
        if self.main.as_ref().is_some_and(|main| main.gone) {
            // systemd has not noticed yet that its main process is gone; its picture is of the past.
            self.patience = self.patience.or_else(Patience::begin);
            return;
        }
        self.patience = None;
        let reports = self.tracker.read(unit, self.main.as_ref().map(|main| main.process));
        self.tell(reports);
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
    }

    fn blind(&mut self, error: &zbus::Error) -> Vec<UnitReport> {
        if means_not_found(error) {
            let os = format!("systemd knows no unit {:?}", self.name);
            return self.tracker.absent(UnitReport {
                state: UnitState::NotFound,
                os,
                last_output: None,
                notes: Vec::new(),
            });
        }
        self.tracker.blind(format!("systemd does not answer about the unit: {error}"))
    }

    fn tell(&self, reports: Vec<UnitReport>) {
        let sink = Arc::clone(&self.sink);
        reports.into_iter().for_each(|report| sink(report));
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

async fn until(patience: Option<Patience>) {
    match patience {
        Some(Patience::Word(deadline) | Patience::Signals(deadline)) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
