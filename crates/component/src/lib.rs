//! The service interface of every internal part: start, stop, status.
//!
//! A [`Component`] is a name and an asynchronous function. The [`Supervisor`] starts components in the
//! order given, waits for each to say it is ready, watches them, and stops them in reverse, each with a
//! deadline. A component that dies is started again within a budget or ends the process with a reason;
//! it never just disappears.
#![warn(missing_docs)]

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Why a component ended.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Told to everything that runs: time to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A stop signal and the switch that gives it.
    pub fn pair() -> (StopSwitch, Self) {
        let (sender, receiver) = watch::channel(false);
        (StopSwitch(sender), Self(receiver))
    }

    /// Whether the signal has been given.
    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the signal is given (or nobody is left who could give it).
    pub async fn given(&mut self) {
        let _gone = self.0.wait_for(|given| *given).await.is_err();
    }
}

/// Gives a [`Stop`] signal.
#[derive(Debug)]
pub struct StopSwitch(watch::Sender<bool>);

impl StopSwitch {
    /// Gives the signal. Giving it twice does nothing more.
    pub fn give(&self) {
        self.0.send_replace(true);
    }
}

/// By which a component says that it does its work.
#[derive(Debug)]
pub struct Ready(Option<oneshot::Sender<()>>);

impl Ready {
    /// The component is ready.
    pub fn tell(&mut self) {
        if let Some(sender) = self.0.take() {
            // Nobody listening any more means that the start was given up.
            let _ = sender.send(());
        }
    }
}

/// What follows when a component ends without having been told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeath {
    /// It is started again after a wait, at most `budget` times in ten minutes; then the process ends.
    Restart {
        /// How often in ten minutes.
        budget: usize,
    },
    /// The process ends with the reason.
    EndProcess,
}

/// One internal part.
pub struct Component {
    name: &'static str,
    on_death: OnDeath,
    stop_within: Duration,
    run: Box<dyn FnMut(Ready, Stop) -> Running + Send>,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").field("name", &self.name).field("on_death", &self.on_death).finish()
    }
}

impl Component {
    /// A component that may be started again: `run` is called for each start.
    pub fn restartable<F, R>(name: &'static str, mut run: F) -> Self
    where
        F: FnMut(Ready, Stop) -> R + Send + 'static,
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self {
            name,
            on_death: OnDeath::Restart { budget: 5 },
            stop_within: Duration::from_secs(5),
            run: Box::new(move |ready, stop| Box::pin(run(ready, stop))),
        }
    }

    /// A component that the process cannot live without: its death ends the process.
    pub fn essential<F, R>(name: &'static str, run: F) -> Self
    where
        F: FnOnce(Ready, Stop) -> R + Send + 'static,
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let mut once = Some(run);
        Self {
            name,
            on_death: OnDeath::EndProcess,
            stop_within: Duration::from_secs(5),
            run: Box::new(move |ready, stop| match once.take() {
                Some(run) => Box::pin(run(ready, stop)),
                None => Box::pin(async { Err("this component can be started only once".into()) }),
            }),
        }
    }

    /// How long it may take to stop before it is abandoned. Default 5 s.
    #[must_use]
    pub fn stop_within(mut self, limit: Duration) -> Self {
        self.stop_within = limit;
        self
    }
}

/// How a component stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Standing {
    /// Not ready yet.
    Starting,
    /// At work.
    Up,
    /// Ended without being told; waiting to be started again, or given up.
    Down,
    /// Told to stop.
    Stopped,
}

/// One line of [`Board::read`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The component.
    pub name: &'static str,
    /// How it stands.
    pub status: Standing,
    /// Restarts since the start of the process.
    pub restarts: usize,
    /// Why it last ended, if it did.
    pub last_error: Option<String>,
}

/// A readable list of how all components stand; cheap to copy.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Vec<Status>>>);

impl Board {
    /// How each component stands, in the order of start.
    pub fn read(&self) -> Vec<Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, name: &'static str, change: impl FnOnce(&mut Status)) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = board.iter_mut().find(|status| status.name == name) {
            change(status);
        }
    }

    fn add(&self, name: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Status {
            name,
            status: Standing::Starting,
            restarts: 0,
            last_error: None,
        });
    }
}

struct Started {
    name: &'static str,
    stop: StopSwitch,
    stop_within: Duration,
    task: JoinHandle<()>,
}

/// A component ended and may not be started again: the process has to end.
#[derive(Debug)]
pub struct Fatal {
    /// The component.
    pub name: &'static str,
    /// Why it ended.
    pub error: String,
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended: {}", self.name, self.error)
    }
}

impl std::error::Error for Fatal {}

/// Starts, watches and stops components.
#[derive(Debug)]
pub struct Supervisor {
    board: Board,
    started: Vec<Started>,
    fatal: mpsc::Receiver<Fatal>,
    fatal_sender: mpsc::Sender<Fatal>,
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Supervisor {
    /// Nothing started yet. `board` shows how the components stand; whoever answers `/readyz` reads it.
    pub fn new(board: Board) -> Self {
        let (fatal_sender, fatal) = mpsc::channel(1);
        Self { board, started: Vec::new(), fatal, fatal_sender }
    }

    /// Starts `component` and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready within `ready_within`. It has been stopped then.
    pub async fn start(&mut self, component: Component, ready_within: Duration) -> Result<(), Fatal> {
        let name = component.name;
        self.board.add(name);
        let (stop, stopped) = Stop::pair();
        let (ready, is_ready) = oneshot::channel();
        let stop_within = component.stop_within;
        let task = tokio::spawn(keep(
            component,
            self.board.clone(),
            Ready(Some(ready)),
            stopped,
            self.fatal_sender.clone(),
        ));
        self.started.push(Started { name, stop, stop_within, task });
        tokio::select! {
            biased;
            ready = timeout(ready_within, is_ready) => match ready {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(self.fatal.recv().await.unwrap_or_else(|| Fatal { name, error: "ended".into() })),
                Err(_) => Err(Fatal { name, error: format!("not ready within {ready_within:?}") }),
            },
            Some(fatal) = self.fatal.recv() => Err(fatal),
        }
    }

    /// Waits for a component's death that may not be survived.
    pub async fn fatal(&mut self) -> Fatal {
        match self.fatal.recv().await {
            Some(fatal) => fatal,
            // The supervisor holds a sender itself, so the channel never closes.
            None => std::future::pending().await,
        }
    }

    /// Stops everything, last started first, each within its own limit.
    pub async fn stop(mut self) {
        while let Some(Started { name, stop, stop_within, mut task }) = self.started.pop() {
            stop.give();
            if timeout(stop_within, &mut task).await.is_err() {
                tracing::warn!(
                    component = name,
                    ?stop_within,
                    "Component did not stop in time and was abandoned"
                );
                task.abort();
            }
            self.board.write(name, |status| status.status = Standing::Stopped);
        }
    }
}

/// Runs one component for as long as it is wanted.
async fn keep(mut component: Component, board: Board, ready: Ready, stop: Stop, fatal: mpsc::Sender<Fatal>) {
    const WINDOW: Duration = Duration::from_secs(600);
    let name = component.name;
    let mut deaths: VecDeque<Instant> = VecDeque::new();
    // The first start is waited for by `Supervisor::start`; later ones only show on the board.
    let mut outer = Some(ready);
    loop {
        let (sender, mut is_ready) = oneshot::channel();
        // A panic ends the inner task only: it is a death like any other.
        let mut task = tokio::spawn((component.run)(Ready(Some(sender)), stop.clone()));
        let ended = loop {
            tokio::select! {
                told = &mut is_ready, if outer.is_some() || !is_ready.is_terminated() => {
                    if told.is_ok() {
                        board.write(name, |status| status.status = Standing::Up);
                        if let Some(mut ready) = outer.take() {
                            ready.tell();
                        }
                    } else {
                        break (&mut task).await;
                    }
                }
                ended = &mut task => break ended,
            }
        };
        if stop.is_given() {
            return;
        }
        let error = match ended {
            Ok(Ok(())) => "it returned without being told to stop".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        board.write(name, |status| {
            status.status = Standing::Down;
            status.last_error = Some(error.clone());
        });
        let now = Instant::now();
        deaths.retain(|at| now.duration_since(*at) < WINDOW);
        deaths.push_back(now);
        let may_restart = match component.on_death {
            OnDeath::Restart { budget } => deaths.len() <= budget && outer.is_none(),
            OnDeath::EndProcess => false,
        };
        if !may_restart {
            tracing::error!(component = name, error, "Component ended; the process cannot go on");
            let _ = fatal.send(Fatal { name, error }).await;
            return;
        }
        let wait = Duration::from_millis(100 << deaths.len().min(6));
        tracing::error!(component = name, error, ?wait, "Component ended; starting it again");
        let mut stopping = stop.clone();
        if timeout(wait, stopping.given()).await.is_ok() {
            return;
        }
        board.write(name, |status| {
            status.status = Standing::Starting;
            status.restarts += 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn components_stop_in_reverse_order_of_start() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut supervisor = Supervisor::new(Board::default());
        for name in ["first", "second"] {
            let log = Arc::clone(&log);
            let component = Component::essential(name, move |mut ready, mut stop| async move {
                ready.tell();
                stop.given().await;
                log.lock().unwrap().push(name);
                Ok(())
            });
            supervisor.start(component, SECOND).await.unwrap();
        }
        supervisor.stop().await;
        assert_eq!(*log.lock().unwrap(), ["second", "first"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_component_that_panics_is_started_again() {
        let board = Board::default();
        let mut supervisor = Supervisor::new(board.clone());
        let starts = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&starts);
        let (again, mut started_again) = mpsc::channel(1);
        let component = Component::restartable("fragile", move |mut ready, mut stop| {
            let start = counter.fetch_add(1, Ordering::SeqCst);
            let again = again.clone();
            async move {
                ready.tell();
                if start == 0 {
                    tokio::time::sleep(SECOND).await;
                    panic!("on purpose");
                }
                again.send(()).await?;
                stop.given().await;
                Ok(())
            }
        });
        supervisor.start(component, SECOND).await.unwrap();
        started_again.recv().await.unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), 2);
        assert_eq!(board.read()[0].restarts, 1);
        supervisor.stop().await;
        assert_eq!(board.read()[0].status, Standing::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn an_essential_component_that_ends_is_fatal_with_its_reason() {
        let mut supervisor = Supervisor::new(Board::default());
        let component = Component::essential("store", |mut ready, _stop| async move {
            ready.tell();
            tokio::time::sleep(SECOND).await;
            Err("disk is gone".into())
        });
        supervisor.start(component, SECOND).await.unwrap();
        assert_eq!(supervisor.fatal().await.to_string(), "store ended: disk is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_component_that_fails_to_start_says_why() {
        let mut supervisor = Supervisor::new(Board::default());
        let component = Component::restartable("api", |_ready, _stop| async { Err("port taken".into()) });
        let fatal = supervisor.start(component, SECOND).await.unwrap_err();
        assert_eq!(fatal.to_string(), "api ended: port taken");
    }
}
