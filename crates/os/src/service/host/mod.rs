//! Being run by the service manager: saying how far one is, and hearing what it wants.
//!
//! A [`Reporter`] says the phases; a thread of its own repeats *starting* and *stopping* twice a second (a checkpoint
//! for the SCM, `EXTEND_TIMEOUT_USEC` for systemd), because what a start waits for, such as a disk, may hold all
//! other threads. It does so for a stated time only: a start that hangs must be seen to hang.
//!
//! What the manager wants is kept as a level, not as a queue: the control handler writes it and can neither block nor
//! fail, and a reader that comes late sees the last word.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::signal::{Signal, Signals};

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

/// Between two signs of life while starting or stopping.
const PULSE: Duration = Duration::from_millis(500);
/// What the manager is told to wait for the next sign of life.
const WAIT_HINT: Duration = Duration::from_secs(10);
/// Longest start or stop that is vouched for. A store being moved to a new version may take minutes.
const VOUCHED: Duration = Duration::from_secs(300);

/// How far the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Reloading,
    Pausing,
    Paused,
    Continuing,
    Stopping,
    /// With its exit code.
    Stopped(u8),
}

impl Phase {
    /// Whether the manager waits for something to happen.
    const fn is_pending(self) -> bool {
        matches!(self, Self::Starting | Self::Pausing | Self::Continuing | Self::Stopping)
    }
}

/// What was last said to the manager.
#[derive(Debug, Clone)]
struct Said {
    phase: Phase,
    /// Counts up while a phase is pending.
    checkpoint: u32,
    since: Instant,
    /// A line for people.
    text: String,
}

/// What the manager wants; each field is the last word on its subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wanted {
    stop: bool,
    paused: bool,
    reloads: u32,
    sleeps: u32,
    wakes: u32,
}

/// What is asked of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// End in good order: a stop, the machine shutting down, Ctrl-C.
    Stop,
    /// Read the configuration again.
    Reload,
    /// Hold what acts on others; go on watching.
    Pause,
    /// End the pause.
    Continue,
    /// The machine is about to sleep.
    Sleep,
    /// The machine has woken.
    Wake,
}

struct Shared {
    port: imp::Port,
    said: Mutex<Said>,
    changed: Condvar,
    wanted: watch::Sender<Wanted>,
}

impl Shared {
    fn new(port: imp::Port) -> Arc<Self> {
        let said = Said {
            phase: Phase::Starting,
            checkpoint: 1,
            since: Instant::now(),
            text: String::from("Starting"),
        };
        port.tell(&said);
        let shared = Arc::new(Self {
            port,
            said: Mutex::new(said),
            changed: Condvar::new(),
            wanted: watch::Sender::new(Wanted::default()),
        });
        if shared.port.is_heard() {
            let pulse = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("service-pulse".to_owned());
            if let Err(error) = thread.spawn(move || pulse.beat_while_pending()) {
                tracing::warn!(%error, "No thread to show the service manager that the start goes on");
            }
        }
        shared
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, phase: Phase, text: Option<&str>) {
        let mut said = self.lock();
        // The last word has been spoken; and nothing but the end follows a stop.
        let over = matches!(said.phase, Phase::Stopped(_))
            || (said.phase == Phase::Stopping && !matches!(phase, Phase::Stopped(_) | Phase::Stopping));
        if over {
            return;
        }
        if said.phase != phase {
            said.since = Instant::now();
            said.checkpoint = 0;
        }
        said.phase = phase;
        if phase.is_pending() {
            said.checkpoint += 1;
        }
        if let Some(text) = text {
            text.clone_into(&mut said.text);
        }
        // Under the lock, so that the manager hears the phases in their order.
        self.port.tell(&said);
        drop(said);
        self.changed.notify_all();
    }

    fn beat_while_pending(&self) {
        let mut said = self.lock();
        loop {
            if let Phase::Stopped(_) = said.phase {
                return;
            }
            said = if said.phase.is_pending() && said.since.elapsed() < VOUCHED {
                let (mut said, waited) =
                    self.changed.wait_timeout(said, PULSE).unwrap_or_else(PoisonError::into_inner);
                if waited.timed_out() && said.phase.is_pending() {
                    said.checkpoint += 1;
                    self.port.tell(&said);
                }
                said
            } else {
                self.changed.wait(said).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }
}

/// Says to the service manager how far the program is. Cheap to clone; without a manager it says nothing.
#[derive(Clone)]
pub struct Reporter(Arc<Shared>);

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reporter").field(&*self.0.lock()).finish()
    }
}

impl Reporter {
    /// The start goes on: what is being done now.
    pub fn starting(&self, text: &str) {
        self.0.say(Phase::Starting, Some(text));
    }

    /// At work; also the end of a reload or of a pause.
    pub fn ready(&self, text: &str) {
        self.0.say(Phase::Running, Some(text));
    }

    /// Reading the configuration again; [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        self.0.say(Phase::Reloading, None);
    }

    /// Beginning to hold what acts on others; [`paused`](Self::paused) ends it.
    pub fn pausing(&self) {
        self.0.say(Phase::Pausing, None);
    }

    /// Beginning to let go again; [`ready`](Self::ready) ends it.
    pub fn continuing(&self) {
        self.0.say(Phase::Continuing, None);
    }

    /// A new line for people; the phase stays.
    pub fn status(&self, text: &str) {
        let (phase, is_news) = {
            let said = self.0.lock();
            (said.phase, said.text != text)
        };
        if is_news && matches!(phase, Phase::Running | Phase::Paused) {
            self.0.say(phase, Some(text));
        }
    }

    /// Holding what acts on others, as was asked.
    pub fn paused(&self, text: &str) {
        self.0.say(Phase::Paused, Some(text));
    }

    /// The stop goes on: what is being done now.
    pub fn stopping(&self, text: &str) {
        self.0.say(Phase::Stopping, Some(text));
    }

    /// Whether a service manager started this process and listens.
    pub fn is_heard(&self) -> bool {
        self.0.port.is_heard()
    }

    /// How long the manager lets the program be silent before it kills it; `None`: for ever. Call
    /// [`alive`](Self::alive) at least twice in that time.
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.port.watchdog()
    }

    /// The program makes progress.
    pub fn alive(&self) {
        self.0.port.alive();
    }
}

/// What the service manager, or a signal, asks.
#[derive(Debug)]
pub struct Requests {
    wanted: watch::Receiver<Wanted>,
    taken: Wanted,
    signals: Option<Signals>,
}

impl Requests {
    /// The next request. May be cancelled. After a stop comes nothing more.
    pub async fn next(&mut self) -> Request {
        loop {
            let wanted = *self.wanted.borrow_and_update();
            if let Some(request) = difference(&mut self.taken, wanted) {
                return request;
            }
            let signal = async {
                match &mut self.signals {
                    Some(signals) => signals.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                signal = signal => return match signal {
                    Signal::Stop => Request::Stop,
                    Signal::Reload => Request::Reload,
                },
                changed = self.wanted.changed() => if changed.is_err() {
                    // The manager's side lives as long as the process; without it only signals are left.
                    if self.signals.is_none() {
                        return Request::Stop;
                    }
                },
            }
        }
    }
}

/// The first subject on which `wanted` has a newer word than `taken`; takes it.
fn difference(taken: &mut Wanted, wanted: Wanted) -> Option<Request> {
    if wanted.stop && !taken.stop {
        taken.stop = true;
        return Some(Request::Stop);
    }
    if wanted.sleeps != taken.sleeps {
        taken.sleeps = wanted.sleeps;
        return Some(Request::Sleep);
    }
    if wanted.wakes != taken.wakes {
        taken.wakes = wanted.wakes;
        return Some(Request::Wake);
    }
    if wanted.paused != taken.paused {
        taken.paused = wanted.paused;
        return Some(if wanted.paused { Request::Pause } else { Request::Continue });
    }
    if wanted.reloads != taken.reloads {
        taken.reloads = wanted.reloads;
        return Some(Request::Reload);
    }
    None
}

/// The program's two ways to the service manager.
#[derive(Debug)]
pub struct Host {
    /// Says how far the program is.
    pub reporter: Reporter,
    shared: HasShared,
    /// Whether signals are requests too.
    signals: bool,
}

struct HasShared(Arc<Shared>);

impl std::fmt::Debug for HasShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Host {
    /// A program started by a person or by systemd. Takes systemd's variables (`NOTIFY_SOCKET`, `WATCHDOG_USEC`) out
    /// of the environment, so that no program started later takes itself for the one they were meant for.
    ///
    /// Call it before there are other threads: the environment belongs to all of them.
    pub fn from_environment() -> Self {
        let shared = Shared::new(imp::Port::from_environment());
        Self { reporter: Reporter(Arc::clone(&shared)), shared: HasShared(shared), signals: true }
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// When the system refuses a signal handler.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn requests(&self) -> std::io::Result<Requests> {
        let signals = if self.signals { Some(Signals::new()?) } else { None };
        Ok(Requests { wanted: self.shared.0.wanted.subscribe(), taken: Wanted::default(), signals })
    }
}

/// Runs `body` as the service `name`, which the service manager has started this process for. Where none has,
/// `body` runs all the same, as from a terminal. Gives the exit code of `body`, which the manager is told too: any
/// but 0 is a failure and brings the recovery actions.
///
/// # Errors
/// When the service manager refuses this process.
pub fn run<F>(name: &str, body: F) -> std::io::Result<u8>
where
    F: FnOnce(Host) -> u8 + Send + 'static,
{
    #[cfg(windows)]
    // Only the first counts: a process is one service.
    let _ = NAME.set(name.to_owned());
    imp::run(name, Box::new(body))
}

#[cfg(windows)]
static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// What the service manager calls this process; `None`: it has not started it.
#[cfg(windows)]
pub(crate) fn name() -> Option<String> {
    NAME.get().cloned()
}

type Body = Box<dyn FnOnce(Host) -> u8 + Send>;

/// Runs `body` over `port` and says its end.
fn run_over(port: imp::Port, signals: bool, shared_to: impl FnOnce(&Arc<Shared>), body: Body) -> u8 {
    let shared = Shared::new(port);
    shared_to(&shared);
    let reporter = Reporter(Arc::clone(&shared));
    let host = Host { reporter, shared: HasShared(Arc::clone(&shared)), signals };
    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(host))).unwrap_or(PANICKED);
    shared.say(Phase::Stopped(code), Some("Stopped"));
    code
}

/// Exit code of a body that panicked, as Rust's own.
const PANICKED: u8 = 101;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_heard_first_and_a_pause_taken_back_is_not_heard_at_all() {
        let mut taken = Wanted::default();
        let wanted = Wanted { stop: true, paused: true, wakes: 2, ..Wanted::default() };
        assert_eq!(difference(&mut taken, wanted), Some(Request::Stop));
        assert_eq!(difference(&mut taken, wanted), Some(Request::Wake));
        assert_eq!(difference(&mut taken, wanted), Some(Request::Pause));
        assert_eq!(difference(&mut taken, wanted), None);
        assert_eq!(difference(&mut taken, Wanted { paused: false, ..wanted }), Some(Request::Continue));

        let mut taken = Wanted::default();
        assert_eq!(difference(&mut taken, Wanted::default()), None);
    }

    #[test]
    fn after_stopping_nothing_is_said_but_the_end() {
        let shared = Shared::new(imp::Port::silent());
        shared.say(Phase::Running, None);
        shared.say(Phase::Stopping, Some("Stopping"));
        shared.say(Phase::Running, Some("late"));
        assert_eq!(shared.lock().phase, Phase::Stopping);
        assert_eq!(shared.lock().text, "Stopping");
        shared.say(Phase::Stopped(0), None);
        shared.say(Phase::Starting, None);
        assert_eq!(shared.lock().phase, Phase::Stopped(0));
    }
}
