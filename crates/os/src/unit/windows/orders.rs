//! Carrying out orders: start and stop one service, step by step, on a thread that may block.
//!
//! No order is given while the service is in a pending state; it is waited for, as long as the order's time
//! allows. A stop first asks. What does not stop within its patience is killed, when that hits nothing else: a
//! process shared with other services is left alone.
//!
//! INVARIANT: only the process that was opened before the stop was asked for is ever killed. Its number cannot pass
//! to another program while it is held, and the service control manager must still name it.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use lifesign_core::evidence::Process;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DEPENDENT_SERVICES_RUNNING, ERROR_INVALID_PARAMETER,
    ERROR_INVALID_SERVICE_CONTROL, ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_CANNOT_ACCEPT_CTRL,
    ERROR_SERVICE_NEVER_STARTED, ERROR_SERVICE_REQUEST_TIMEOUT,
};
use windows_sys::Win32::System::Services::{
    SERVICE_PAUSED, SERVICE_RUNNING, SERVICE_STOPPED, SERVICE_WIN32_OWN_PROCESS,
};

use super::scm::{Access, RPC_S_SERVER_UNAVAILABLE, Scm, ScmError, Service, Status};
use crate::process_handle::{ProcessHandle, Rights};
use crate::unit::UnitError;

/// Between two looks at a service on its way; the end of its process is seen at once.
const PACE: Duration = Duration::from_millis(20);
/// How long a service that was stopped for another may take to start, however little time is left.
const DEPENDENT_TAKES: Duration = Duration::from_secs(30);
/// The exit code of what lifesign kills, as `taskkill /F` sets it.
const KILLED: u32 = 1;

/// Starts the service unless it runs, and waits until it does.
pub(super) fn start(name: &str, gone: Option<u32>, limit: Duration) -> Result<Option<Process>, UnitError> {
    let mut order = Order::begin(name, Access::Start, gone, limit)?;
    loop {
        let look = order.look()?;
        match look.status.dwCurrentState {
            // A manager that has not noticed the death starts the service all the same, or says 1056.
            _ if look.is_still() => match order.service.start() {
                Ok(()) => {
                    order.gone = None;
                    break;
                }
                Err(ScmError(ERROR_SERVICE_ALREADY_RUNNING)) => {}
                // Also what is said of one that ended before it could answer: then its code tells more.
                Err(ScmError(ERROR_SERVICE_REQUEST_TIMEOUT)) => {
                    let status = order.look()?.status;
                    return Err(match status.dwWin32ExitCode {
                        0 | ERROR_SERVICE_NEVER_STARTED | ERROR_SERVICE_REQUEST_TIMEOUT => {
                            order.refused(ScmError(ERROR_SERVICE_REQUEST_TIMEOUT))
                        }
                        _ => order.stopped_again(&status),
                    });
                }
                Err(error) => return Err(order.refused(error)),
            },
            SERVICE_RUNNING => return Ok(look.process()),
            SERVICE_PAUSED => {
                return Err(order.failed("it is paused; continue it in the service control manager"));
            }
            _pending => {}
        }
        order.pace(&look)?;
    }
    loop {
        let look = order.look()?;
        if look.status.dwCurrentState == SERVICE_STOPPED {
            return Err(order.stopped_again(&look.status));
        }
        if let Some(code) = look.dead() {
            return Err(order.failed(&format!("it was started and its process ended with code {code}")));
        }
        if look.status.dwCurrentState == SERVICE_RUNNING {
            return Ok(look.process());
        }
        order.pace(&look)?;
    }
}

/// Stops the service and what needs it, starts it, and starts again what was stopped for it.
///
/// The service control manager refuses to stop what running services need, so those are stopped first, the last
/// started one first, and started again in the opposite order.
pub(super) fn restart(name: &str, gone: Option<u32>, limit: Duration) -> Result<Option<Process>, UnitError> {
    let deadline = Instant::now() + limit;
    let rest = || deadline.saturating_duration_since(Instant::now());
    let dependents = dependents(name);
    for dependent in &dependents {
        stop(dependent, None, rest() / 2).map_err(|error| UnitError::Failed {
            name: name.to_owned(),
            why: format!("it was not stopped, because what needs it did not stop: {error}"),
        })?;
    }
    // What hangs gets killed early enough that the start has time, too.
    let restarted = stop(name, gone, rest() / 2).and_then(|()| start(name, gone, rest()));
    let mut left = Vec::new();
    // Also after a failure: what ran before is not left standing for the sake of another.
    for dependent in dependents.iter().rev() {
        if let Err(error) = start(dependent, None, rest().max(DEPENDENT_TAKES)) {
            tracing::error!(service = dependent, %error, "A service that was stopped for another does not start again");
            left.push(error.to_string());
        }
    }
    let process = restarted?;
    if left.is_empty() {
        return Ok(process);
    }
    let why = format!("it runs again, but what was stopped for it does not: {}", left.join("; "));
    Err(UnitError::Failed { name: name.to_owned(), why })
}

/// The running services that need this one; none where that cannot be asked: the stop is refused then.
fn dependents(name: &str) -> Vec<String> {
    let asked = Scm::connect()
        .and_then(|scm| scm.open(name, Access::Config))
        .and_then(|service| service.dependents(true));
    asked.unwrap_or_else(|error| {
        tracing::debug!(service = name, %error, "Cannot ask which services need it");
        Vec::new()
    })
}

/// Waits while the service is in a pending state. Gives the process that runs after such a wait: somebody else has
/// restarted it.
pub(super) fn settle(name: &str, gone: Option<u32>, limit: Duration) -> Result<Option<Process>, UnitError> {
    let mut order = Order::begin(name, Access::Look, gone, limit)?;
    let mut has_waited = false;
    loop {
        let look = order.look()?;
        let is_pending =
            !matches!(look.status.dwCurrentState, SERVICE_STOPPED | SERVICE_RUNNING | SERVICE_PAUSED);
        if look.is_still() || !is_pending {
            let runs = has_waited && look.status.dwCurrentState == SERVICE_RUNNING;
            return Ok(look.process().filter(|_| runs));
        }
        has_waited = true;
        order.pace(&look)?;
    }
}

/// Stops the service and waits until its process is gone.
pub(super) fn stop(name: &str, gone: Option<u32>, limit: Duration) -> Result<(), UnitError> {
    let mut order = Order::begin(name, Access::Look, gone, limit)?;
    let mut patience = Patience::new(limit);
    let mut asked: Option<mpsc::Receiver<Result<(), ScmError>>> = None;
    let mut killed = false;
    loop {
        let look = order.look()?;
        if look.is_still() {
            return order.outlive(&look);
        }
        if let Some(answer) = asked.as_ref().and_then(|answer| answer.try_recv().ok()) {
            match answer {
                // Not in this state: asked again at the next look.
                Err(ScmError(ERROR_SERVICE_CANNOT_ACCEPT_CTRL)) => asked = None,
                Err(
                    error @ ScmError(
                        ERROR_ACCESS_DENIED
                        | ERROR_DEPENDENT_SERVICES_RUNNING
                        | ERROR_INVALID_SERVICE_CONTROL,
                    ),
                ) => return Err(order.refused(error)),
                // Taken; or ended meanwhile; or the handler hangs, which the patience below is for.
                Ok(()) | Err(_) => {}
            }
        }
        if asked.is_none() && matches!(look.status.dwCurrentState, SERVICE_RUNNING | SERVICE_PAUSED) {
            asked = Some(ask_to_stop(name.to_owned()));
        }
        if !killed && patience.is_over(&look.status) {
            order.kill(&look)?;
            killed = true;
        }
        order.pace(&look)?;
    }
}

/// Sends the stop control from a thread of its own, since it blocks for as long as the service's handler does.
fn ask_to_stop(name: String) -> mpsc::Receiver<Result<(), ScmError>> {
    let (answer, answered) = mpsc::sync_channel(1);
    let ask = move || {
        let done =
            Scm::connect().and_then(|scm| scm.open(&name, Access::Stop)).and_then(|service| service.stop());
        // The order may be over: the service is killed, or the time is up.
        let _ = answer.send(done);
    };
    // Without a thread the channel is closed, nobody is asked, and the patience runs out.
    let _ = std::thread::Builder::new().name("scm-stop".to_owned()).spawn(ask);
    answered
}

/// How long a service may take to stop by itself: two thirds of the order's time, or nine tenths while it keeps
/// showing progress, that is, raises its checkpoint within the wait hint it gave.
struct Patience {
    ends: Instant,
    ends_with_progress: Instant,
    checkpoint: u32,
    progress: Instant,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            ends: now + limit * 2 / 3,
            ends_with_progress: now + limit * 9 / 10,
            checkpoint: 0,
            progress: now,
        }
    }

    fn is_over(&mut self, status: &Status) -> bool {
        let now = Instant::now();
        if status.dwCheckPoint != self.checkpoint {
            self.checkpoint = status.dwCheckPoint;
            self.progress = now;
        }
        let hint = Duration::from_millis(status.dwWaitHint.into());
        let progresses = self.checkpoint > 0 && now.duration_since(self.progress) <= hint;
        now >= if progresses { self.ends_with_progress } else { self.ends }
    }
}

/// One order under way.
struct Order<'a> {
    name: &'a str,
    service: Service,
    limit: Duration,
    deadline: Instant,
    /// A process that is known to have ended. A service control manager that has not noticed still names it, while
    /// the number may be another program's by now.
    gone: Option<u32>,
    /// The process the service control manager names, held open.
    main: Option<ProcessHandle>,
}

/// One look at the service of an order.
struct Look {
    status: Status,
    main: MainProcess,
}

enum MainProcess {
    /// None is named, or it may not be opened.
    Unknown,
    Alive(Process),
    Dead(u32),
}

impl Look {
    /// Whether nothing of it runs.
    fn is_still(&self) -> bool {
        self.status.dwCurrentState == SERVICE_STOPPED || self.dead().is_some()
    }

    fn dead(&self) -> Option<u32> {
        if let MainProcess::Dead(code) = self.main { Some(code) } else { None }
    }

    fn process(&self) -> Option<Process> {
        if let MainProcess::Alive(process) = self.main { Some(process) } else { None }
    }
}

impl<'a> Order<'a> {
    fn begin(name: &'a str, access: Access, gone: Option<u32>, limit: Duration) -> Result<Self, UnitError> {
        let scm = Scm::connect().map_err(|error| UnitError::Unreachable { why: error.to_string() })?;
        let service = scm.open(name, access).map_err(|error| in_words(name, error))?;
        Ok(Self { name, service, limit, deadline: Instant::now() + limit, gone, main: None })
    }

    fn look(&mut self) -> Result<Look, UnitError> {
        let look = self.look_once()?;
        if look.dead().is_none() {
            return Ok(look);
        }
        // A service that reports its stop and then exits must not look as if it had died without a word: the
        // status may be older than the death.
        self.look_once()
    }

    fn look_once(&mut self) -> Result<Look, UnitError> {
        let status = self.service.status().map_err(|error| self.refused(error))?;
        let pid = status.dwProcessId;
        if pid == 0 || status.dwCurrentState == SERVICE_STOPPED {
            return Ok(Look { status, main: MainProcess::Unknown });
        }
        if self.gone == Some(pid) {
            return Ok(Look { status, main: MainProcess::Dead(0) });
        }
        if self.main.as_ref().is_none_or(|main| main.process().pid != pid) {
            // The right to kill is taken where it is given; it is asked for when it is needed.
            self.main = ProcessHandle::open(pid, Rights::Kill)
                .or_else(|_| ProcessHandle::open(pid, Rights::Watch))
                .map_err(|error| tracing::debug!(service = self.name, pid, %error, "Cannot hold the process"))
                .ok();
        }
        let main = match &self.main {
            Some(main) => match main.exit_code() {
                Some(code) => MainProcess::Dead(code),
                None => MainProcess::Alive(main.process()),
            },
            None if no_such_process(pid) => MainProcess::Dead(0),
            None => MainProcess::Unknown,
        };
        Ok(Look { status, main })
    }

    /// Waits a moment, or until the process ends.
    fn pace(&self, look: &Look) -> Result<(), UnitError> {
        if Instant::now() >= self.deadline {
            return Err(UnitError::TimedOut { name: self.name.to_owned(), after: self.limit });
        }
        match (&self.main, &look.main) {
            (Some(main), MainProcess::Alive(_)) => {
                main.wait(PACE);
            }
            _ => std::thread::sleep(PACE),
        }
        Ok(())
    }

    /// Waits for the process of a service that has said `STOPPED`, so that its files and ports are free. One that
    /// serves other services too lives on.
    fn outlive(&self, look: &Look) -> Result<(), UnitError> {
        let Some(main) =
            self.main.as_ref().filter(|_| look.status.dwServiceType & SERVICE_WIN32_OWN_PROCESS != 0)
        else {
            return Ok(());
        };
        if main.wait(self.deadline.saturating_duration_since(Instant::now())) {
            Ok(())
        } else {
            Err(UnitError::TimedOut { name: self.name.to_owned(), after: self.limit })
        }
    }

    fn kill(&self, look: &Look) -> Result<(), UnitError> {
        if look.status.dwServiceType & SERVICE_WIN32_OWN_PROCESS == 0 {
            return Err(self.failed(
                "it does not stop, and its process serves other services too, so it was not killed",
            ));
        }
        let Some(main) = &self.main else {
            return Err(self.denied("it does not stop, and its process may not be opened"));
        };
        let named = self.service.status().map_err(|error| self.refused(error))?;
        if named.dwProcessId != main.process().pid {
            return Ok(()); // another process by now: the next look sees it
        }
        tracing::warn!(service = self.name, pid = named.dwProcessId, "Killing a service that does not stop");
        match main.terminate(KILLED) {
            Err(_) if main.wait(PACE) => Ok(()), // it was ending by itself
            Err(error) => Err(self.denied(&format!("it does not stop, and may not be killed ({error})"))),
            Ok(()) => Ok(()),
        }
    }

    fn stopped_again(&self, status: &Status) -> UnitError {
        let code = match status.dwServiceSpecificExitCode {
            0 => status.dwWin32ExitCode,
            specific => specific,
        };
        self.failed(&format!("it was started and stopped again with code {code}"))
    }

    fn refused(&self, error: ScmError) -> UnitError {
        in_words(self.name, error)
    }

    fn failed(&self, why: &str) -> UnitError {
        UnitError::Failed { name: self.name.to_owned(), why: why.to_owned() }
    }

    fn denied(&self, why: &str) -> UnitError {
        UnitError::Denied { name: self.name.to_owned(), why: why.to_owned() }
    }
}

fn no_such_process(pid: u32) -> bool {
    ProcessHandle::open(pid, Rights::Watch)
        .is_err_and(|error| error.raw_os_error() == Some(ERROR_INVALID_PARAMETER.cast_signed()))
}

pub(super) fn in_words(name: &str, error: ScmError) -> UnitError {
    let name = name.to_owned();
    match error {
        error if error.is_not_found() => UnitError::NotFound { name },
        ScmError(ERROR_ACCESS_DENIED) => UnitError::Denied { name, why: error.to_string() },
        ScmError(RPC_S_SERVER_UNAVAILABLE) => UnitError::Unreachable { why: error.to_string() },
        error => UnitError::Failed { name, why: error.to_string() },
    }
}
