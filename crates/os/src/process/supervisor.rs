//! The life of one supervised process: start, adopt, watch, stop.
//!
//! One task owns the child and takes orders one by one; whoever holds [`Supervised`] talks to it through a
//! bounded channel and reads the latest report without waiting for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifesign_core::evidence::{Exit, Process, Remains, UnitReport, UnitState};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::imp::Child;
use super::{ProcessError, ProcessSpec, log};
use crate::unit::{Sink, Vitals};

/// How often the log's length is looked at.
const LOG_LOOK: Duration = Duration::from_secs(1);
/// How often what the process uses is looked at, in looks at the log.
const USAGE_EVERY: u32 = 30;
/// How long a killed process may take to vanish; longer means that it hangs inside the kernel.
const KILL_TAKES: Duration = Duration::from_secs(5);
/// Orders that may wait while one is carried out; further callers wait to hand theirs in.
const ORDERS: usize = 8;

/// A process that lifesign supervises. Dropping it lets the process run on; [`stop`](Self::stop) ends it.
#[derive(Debug)]
pub struct Supervised {
    program: String,
    orders: mpsc::Sender<Order>,
    latest: Arc<Mutex<UnitReport>>,
}

#[derive(Debug)]
enum Order {
    Start(oneshot::Sender<Result<Process, ProcessError>>),
    Stop(oneshot::Sender<Result<(), ProcessError>>),
    Restart(oneshot::Sender<Result<Process, ProcessError>>),
}

impl Supervised {
    /// Takes charge. A child that an earlier lifesign left running is adopted and reported to `sink` at once,
    /// and so is one that has died meanwhile. Starts nothing.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(spec: ProcessSpec, sink: Sink) -> Self {
        let program = spec.program().to_owned();
        let latest = Arc::new(Mutex::new(never_started()));
        let (orders, inbox) = mpsc::channel(ORDERS);
        let mut keeper =
            Keeper { spec, sink, latest: Arc::clone(&latest), child: None, log_from: 0, vitals: None };
        keeper.adopt();
        tokio::spawn(keeper.run(inbox));
        Self { program, orders, latest }
    }

    /// Starts it, unless it runs; gives the process that runs.
    ///
    /// # Errors
    /// When the log cannot be opened or the system refuses.
    pub async fn start(&self) -> Result<Process, ProcessError> {
        self.order(Order::Start).await
    }

    /// Stops it, on order: asks, waits `stop_timeout`, kills. Done when it and all it started are gone; at
    /// once when it does not run.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn stop(&self) -> Result<(), ProcessError> {
        self.order(Order::Stop).await
    }

    /// Stops it if it runs, and starts it.
    ///
    /// # Errors
    /// Like [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self) -> Result<Process, ProcessError> {
        self.order(Order::Restart).await
    }

    /// The latest report, also while an order is being carried out.
    pub async fn look(&self) -> UnitReport {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, ProcessError>>) -> Order,
    ) -> Result<T, ProcessError> {
        let ended = || ProcessError::Ended { program: self.program.clone() };
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// The task's side.
struct Keeper {
    spec: ProcessSpec,
    sink: Sink,
    latest: Arc<Mutex<UnitReport>>,
    child: Option<Child>,
    /// Length of the log when the child was started: what comes after is its output.
    log_from: u64,
    /// What the child last used.
    vitals: Option<Vitals>,
}

impl Keeper {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut log_look = interval(LOG_LOOK);
        log_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks: u32 = 0;
        loop {
            tokio::select! {
                // An end that has happened is told as it was, before an order can claim it.
                biased;
                exit = ended(&mut self.child) => self.lost(exit, false).await,
                order = inbox.recv() => match order {
                    Some(order) => self.carry_out(order).await,
                    None => break,
                },
                _ = log_look.tick() => {
                    looks = looks.wrapping_add(1);
                    self.sample(looks.is_multiple_of(USAGE_EVERY));
                    self.bound_log().await;
                }
            }
        }
        // Nobody listens any more. The process runs on, and must still be reaped when it ends.
        if let Some(mut child) = self.child {
            child.ended().await;
            child.bury(&self.spec).await;
        }
    }

    fn adopt(&mut self) {
        let expected = self.spec.state_file().exists();
        match Child::adopt(&self.spec) {
            Ok(Some(child)) => {
                tracing::info!(
                    program = self.spec.program(),
                    pid = child.process().pid,
                    "Adopted a running process"
                );
                self.running(child);
            }
            Ok(None) if expected => self.report(
                UnitState::Stopped { ordered: false, exit: Exit::Unseen },
                "ended while nobody watched".to_owned(),
            ),
            Ok(None) => {}
            Err(error) => {
                let why = format!("failed to look for the process of an earlier run: {error}");
                self.report(UnitState::CouldNotLook(why.clone()), why);
            }
        }
    }

    async fn carry_out(&mut self, order: Order) {
        // A caller that no longer waits for the answer is no fault.
        match order {
            Order::Start(reply) => {
                let _ = reply.send(self.start());
            }
            Order::Stop(reply) => {
                let _ = reply.send(self.stop().await);
            }
            Order::Restart(reply) => {
                let _ = reply.send(match self.stop().await {
                    Ok(()) => self.start(),
                    Err(error) => Err(error),
                });
            }
        }
    }

    fn start(&mut self) -> Result<Process, ProcessError> {
        if let Some(child) = &self.child {
            return Ok(child.process());
        }
        match self.spawn() {
            Ok(child) => Ok(self.running(child)),
            Err(error) => {
                let why = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                self.report(UnitState::Stopped { ordered: false, exit: Exit::StartFailed(why.clone()) }, why);
                Err(error)
            }
        }
    }

    fn spawn(&mut self) -> Result<Child, ProcessError> {
        let program = self.spec.program().to_owned();
        if program.is_empty() {
            return Err(ProcessError::EmptyCommand);
        }
        let log = log::open(&self.spec.log, self.spec.log_limit).map_err(|source| ProcessError::Log {
            program: program.clone(),
            path: self.spec.log.clone(),
            source,
        })?;
        self.log_from = log::length(&self.spec.log);
        Child::spawn(&self.spec, log).map_err(|source| ProcessError::Start { program, source })
    }

    fn running(&mut self, child: Child) -> Process {
        let process = child.process();
        self.child = Some(child);
        self.vitals = None;
        self.report(UnitState::Running(Some(process)), format!("running (process {})", process.pid));
        process
    }

    async fn stop(&mut self) -> Result<(), ProcessError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let pid = child.process().pid;
        if let Err(error) = child.ask_to_stop().await {
            tracing::warn!(pid, %error, "Could not ask a process to stop");
        }
        self.report(UnitState::Stopping, format!("stopping (process {pid})"));
        let Some(child) = &mut self.child else { return Ok(()) };
        let exit = match timeout(self.spec.stop_timeout, child.ended()).await {
            Ok(exit) => exit,
            Err(_) => {
                tracing::warn!(pid, after = ?self.spec.stop_timeout, "Killing a process that did not stop");
                if let Err(error) = child.kill() {
                    tracing::warn!(pid, %error, "Could not kill a process");
                }
                match timeout(KILL_TAKES, child.ended()).await {
                    Ok(exit) => exit,
                    Err(_) => {
                        let process = child.process();
                        self.report(UnitState::Running(Some(process)), format!("running (process {pid})"));
                        let program = self.spec.program().to_owned();
                        return Err(ProcessError::Unkillable { program, pid, after: KILL_TAKES });
                    }
                }
            }
        };
        self.lost(exit, true).await;
        Ok(())
    }

    /// The main process has ended: says so first, then clears up after it.
    async fn lost(&mut self, exit: Exit, ordered: bool) {
        let os = match &exit {
            Exit::Clean => "ended (exit code 0)".to_owned(),
            Exit::Code(code) => format!("ended (exit code {code})"),
            Exit::Signal(signal) => format!("ended (signal {signal})"),
            Exit::StartFailed(why) => why.clone(),
            Exit::Watchdog => "ended (watchdog)".to_owned(),
            Exit::Unseen => "ended (nobody saw how)".to_owned(),
        };
        self.report(UnitState::Stopped { ordered, exit }, os);
        if let Some(child) = self.child.take() {
            child.bury(&self.spec).await;
        }
    }

    /// Notes what the child uses, for the day it is gone: at the first look, and when it is due.
    fn sample(&mut self, is_due: bool) {
        if let Some(child) = self.child.as_ref().filter(|_| is_due || self.vitals.is_none()) {
            self.vitals = Vitals::of(child.process()).or(self.vitals.take());
        }
    }

    fn report(&self, state: UnitState, os: String) {
        let mut report = UnitReport::new(state, os);
        if matches!(report.state, UnitState::Stopped { .. }) {
            report.last_output = log::tail(&self.spec.log, self.log_from);
            report.usage = self.vitals.map(|vitals| vitals.to_string());
            report.remains = Remains::Complete;
        }
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = report.clone();
        (self.sink)(report);
    }

    async fn bound_log(&mut self) {
        let (path, limit) = (self.spec.log.clone(), self.spec.log_limit);
        match tokio::task::spawn_blocking(move || log::bound(&path, limit)).await {
            Ok(Ok(true)) => self.log_from = 0,
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(path = ?self.spec.log, %error, "Could not bound a log"),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }
}

/// Waits for the end of the child; for ever while there is none.
async fn ended(child: &mut Option<Child>) -> Exit {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}

fn never_started() -> UnitReport {
    UnitReport::new(UnitState::Stopped { ordered: true, exit: Exit::Clean }, "not started yet")
}
