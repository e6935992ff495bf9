//! One watched service: what is open of it, and how it is looked at. Lives on the observer's thread.

use std::cell::RefCell;
use std::ffi::c_void;
use std::io;
use std::mem;
use std::ptr::without_provenance_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lifesign_core::evidence::{MAX_NOTES, Remains, UnitReport, UnitState};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_ALREADY_REGISTERED, ERROR_INVALID_PARAMETER, ERROR_PROCESS_ABORTED,
    ERROR_SERVICE_MARKED_FOR_DELETE, ERROR_SERVICE_NOTIFY_CLIENT_LAGGING,
};
use windows_sys::Win32::System::Services::{
    SERVICE_NOTIFY_2W, SERVICE_NOTIFY_CONTINUE_PENDING, SERVICE_NOTIFY_DELETE_PENDING,
    SERVICE_NOTIFY_PAUSE_PENDING, SERVICE_NOTIFY_PAUSED, SERVICE_NOTIFY_RUNNING,
    SERVICE_NOTIFY_START_PENDING, SERVICE_NOTIFY_STATUS_CHANGE, SERVICE_NOTIFY_STOP_PENDING,
    SERVICE_NOTIFY_STOPPED, SERVICE_STOPPED,
};

use super::event_log::{self, Ended};
use super::observer::Mailbox;
use super::scm::{Access, Scm, ScmError, Service, Status, empty_notification};
use super::tracker::{Death, Main, Sight, Tracker};
use crate::process_handle::{ExitWatch, ProcessHandle, Rights};
use crate::unit::policy::{Failure, Failures, Hole, Policy, holes};
use crate::unit::vitals::Vitals;
use crate::unit::{RECONCILE_EVERY, Sink};

/// How often the failure actions are read again.
const POLICY_EVERY: Duration = Duration::from_secs(60);
/// How much later than it says the service control manager may restart a service.
const RESTART_LATE: Duration = Duration::from_secs(5);

/// How soon a deleted or lagging service is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// Notifications in a row that brought nothing new, before the next one is waited for only after [`CALM`].
const EMPTY_NOTIFICATIONS: u32 = 4;
/// Bounds the rate of notifications that bring nothing new.
const CALM: Duration = Duration::from_millis(100);

const ALL_CHANGES: u32 = SERVICE_NOTIFY_STOPPED
    | SERVICE_NOTIFY_START_PENDING
    | SERVICE_NOTIFY_STOP_PENDING
    | SERVICE_NOTIFY_RUNNING
    | SERVICE_NOTIFY_CONTINUE_PENDING
    | SERVICE_NOTIFY_PAUSE_PENDING
    | SERVICE_NOTIFY_PAUSED
    | SERVICE_NOTIFY_DELETE_PENDING;

thread_local! {
    /// What the callbacks of this thread heard since it last looked: unit, status of the notification, state.
    static HEARD: RefCell<Vec<(u64, u32, u32)>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "system" fn notified(parameter: *const c_void) {
    // SAFETY: the parameter is the buffer given to NotifyServiceStatusChangeW, which the thread keeps until
    // no callback can come any more.
    let notification = unsafe { &*parameter.cast::<SERVICE_NOTIFY_2W>() };
    let heard = (
        notification.pContext.addr() as u64,
        notification.dwNotificationStatus,
        notification.ServiceStatus.dwCurrentState,
    );
    HEARD.with_borrow_mut(|all| all.push(heard));
}

/// What the callbacks of this thread have heard since the last call.
pub(super) fn heard() -> Vec<(u64, u32, u32)> {
    HEARD.take()
}

/// A buffer that waits for its notification.
type Buffer = Box<SERVICE_NOTIFY_2W>;

/// Buffers of closed notifications, with the time of the close.
pub(super) type Retired = Vec<(Instant, Buffer)>;

/// The main process, held open.
struct Held {
    process: ProcessHandle,
    exit: Option<ExitWatch>,
}

/// One watched service.
pub(super) struct Unit {
    pub(super) name: String,
    sink: Sink,
    live: Arc<AtomicBool>,
    pub(super) tracker: Tracker,
    service: Option<Service>,
    /// A notification is asked for and has not come.
    armed: bool,
    buffer: Buffer,
    held: Option<Held>,
    /// The process that ended last, for as long as the service control manager has shown no sign of knowing.
    /// Meanwhile its number may pass to another program, which must not be taken for the service.
    buried: Option<Death>,
    empty_notifications: u32,
    /// What the service control manager does about its end, and what there is to say about that.
    policy: Option<Policy>,
    policy_due: Instant,
    notes: Vec<String>,
    /// Its display name, once it is known.
    title: String,
    failures: Failures,
    /// Until when the service control manager's own restart is waited for.
    own_restart: Option<Instant>,
    /// What was told last; `None` before the first report.
    told: Option<UnitReport>,
    /// What the main process last used.
    vitals: Option<Vitals>,
    /// The last status was that of a service that stopped with an error, not of one that died.
    has_reported_end: bool,
    /// When it is to be looked at next.
    pub(super) due: Instant,
}

impl Unit {
    pub(super) fn new(name: String, sink: Sink, live: Arc<AtomicBool>) -> Self {
        Self {
            name,
            sink,
            live,
            tracker: Tracker::default(),
            service: None,
            armed: false,
            buffer: Box::new(empty_notification()),
            held: None,
            buried: None,
            empty_notifications: 0,
            policy: None,
            policy_due: Instant::now(),
            notes: Vec::new(),
            title: String::new(),
            failures: Failures::default(),
            own_restart: None,
            told: None,
            vitals: None,
            has_reported_end: false,
            due: Instant::now(),
        }
    }

    /// The newest report, as it was told.
    pub(super) fn told(&self) -> Option<&UnitReport> {
        self.told.as_ref()
    }

    /// Lets go of the service, which also ends its notification.
    pub(super) fn close(&mut self, retired: &mut Retired) {
        self.service = None;
        if mem::take(&mut self.armed) {
            let buffer = mem::replace(&mut self.buffer, Box::new(empty_notification()));
            retired.push((Instant::now(), buffer));
        }
    }

    /// The number under which the service control manager may go on naming a process that has ended.
    pub(super) fn buried_pid(&self) -> Option<u32> {
        self.buried.map(|death| death.pid)
    }

    /// A notification came.
    pub(super) fn heard(&mut self, status: u32, state: u32, retired: &mut Retired) {
        self.armed = false;
        if status == 0 {
            self.tracker.heard(state);
            self.buried = None;
            self.due = Instant::now();
            if self.empty_notifications >= EMPTY_NOTIFICATIONS {
                self.due += CALM;
            }
            self.empty_notifications = self.empty_notifications.saturating_add(1);
        } else {
            // Marked for deletion: while anybody holds it open, it cannot go.
            self.close(retired);
            self.due = Instant::now() + REOPEN_AFTER;
        }
    }

    /// Looks, reports what is new, and makes sure that the next change is heard.
    pub(super) fn attend(
        &mut self,
        id: u64,
        mailbox: &Arc<Mailbox>,
        scm: &mut Option<Scm>,
        retired: &mut Retired,
    ) {
        self.due = Instant::now() + RECONCILE_EVERY;
        if self.tracker.last().is_some_and(|last| matches!(last.state, UnitState::Stopped { .. })) {
            // Held open, a stopped service that somebody deleted could not go, and nobody could make it anew.
            self.close(retired);
        }
        // Asked for before the look, so that no change falls between.
        if self.open(scm).is_ok() {
            self.arm(id, retired);
        }
        self.read_policy(scm);
        let news = self.look(mailbox, scm, retired);
        self.hold_on(id, mailbox);
        self.sample();
        if !news.is_empty() {
            self.empty_notifications = 0;
        }
        for report in news {
            self.tell(report, id, mailbox);
        }
        self.await_own_restart();
    }

    /// Reports, with what belongs to it; after an end that the service control manager itself is going to repair,
    /// that as well.
    fn tell(&mut self, mut report: UnitReport, id: u64, mailbox: &Arc<Mailbox>) {
        let mut own_restart = None;
        match report.state {
            UnitState::Stopped { ordered: false, .. } => {
                let vitals = self.vitals.take();
                let is_looked_into = event_log::look_into(
                    Ended {
                        watch: id,
                        name: self.name.clone(),
                        title: self.title.clone(),
                        pid: vitals.map(|vitals| vitals.pid()),
                    },
                    mailbox,
                );
                report.usage = vitals.map(|vitals| vitals.to_string());
                report.remains = if is_looked_into { Remains::Follow } else { Remains::Complete };
                let failure = if self.has_reported_end { Failure::Error } else { Failure::Crash };
                let now = Instant::now();
                own_restart =
                    self.policy.as_ref().and_then(|policy| self.failures.restart_after(failure, policy, now));
                self.own_restart = own_restart.map(|pause| now + pause + RESTART_LATE);
            }
            UnitState::CouldNotLook(_) => {}
            _ => self.own_restart = None,
        }
        let os = report.os.clone();
        self.hand_on(report);
        if let Some(pause) = own_restart {
            let mut waiting = UnitReport::new(UnitState::Starting, os);
            waiting.notes.push(format!(
                "the service control manager itself starts it again in {pause:?} (failure actions)"
            ));
            self.hand_on(waiting);
        }
    }

    /// The present state once more, with what the event log has about the end before it.
    pub(super) fn tell_evidence(&mut self, lines: Option<String>) {
        if let Some(mut report) = self.tracker.last().cloned() {
            report.last_output = lines;
            report.remains = Remains::Complete;
            self.hand_on(report);
        }
    }

    fn hand_on(&mut self, mut report: UnitReport) {
        report.notes.extend(self.notes.iter().cloned());
        report.notes.truncate(MAX_NOTES);
        self.told = Some(report.clone());
        if self.live.load(Ordering::Acquire) {
            (self.sink)(report);
        }
    }

    /// Says that a service stands still after all, when the restart that its failure actions promise has not come.
    fn await_own_restart(&mut self) {
        let Some(until) = self.own_restart else { return };
        if Instant::now() < until {
            self.due = self.due.min(until);
            return;
        }
        self.own_restart = None;
        if let Some(mut report) = self.tracker.last().cloned() {
            report.notes.push(
                "the service control manager has not started it again, although its failure actions say so"
                    .to_owned(),
            );
            self.hand_on(report);
        }
    }

    /// What the service control manager does about an end, and whether that has holes.
    fn read_policy(&mut self, scm: &mut Option<Scm>) {
        if Instant::now() < self.policy_due {
            return;
        }
        self.policy_due = Instant::now() + POLICY_EVERY;
        // A handle of its own, soon closed: who may look need not be allowed to read the configuration.
        let Some(manager) = scm.as_ref() else { return };
        let asked = manager.open(&self.name, Access::Config).and_then(|service| service.policy());
        if self.title.is_empty()
            && let Ok(config) = manager.open(&self.name, Access::Config).and_then(|service| service.config())
        {
            self.title = config.title;
        }
        let policy = match asked {
            Ok(policy) => policy,
            Err(error) => {
                tracing::debug!(service = self.name, %error, "Cannot read the failure actions");
                return;
            }
        };
        if policy == self.policy {
            return;
        }
        let found = policy.as_ref().map(holes).unwrap_or_default();
        self.notes = found.iter().filter(|hole| hole.is_worth_a_warning()).map(Hole::to_string).collect();
        let words = policy.as_ref().map_or("", |policy| &policy.words);
        if !self.notes.is_empty() {
            let holes: Vec<&str> = found.iter().map(Hole::word).collect();
            tracing::warn!(
                service = self.name,
                policy = words,
                ?holes,
                "The recovery of a service has holes; `lifesign discover` explains them"
            );
        }
        self.policy = policy;
        if let Some(mut report) = self.told.take() {
            report.notes.clear();
            self.hand_on(report);
        }
    }

    /// Notes what the main process uses, for the day it is gone.
    fn sample(&mut self) {
        if let Some(held) = &self.held {
            self.vitals = Vitals::of(held.process.process()).or(self.vitals.take());
        }
    }

    fn open(&mut self, scm: &mut Option<Scm>) -> Result<&Service, ScmError> {
        if self.service.is_none() {
            let manager = match scm.take() {
                Some(manager) => manager,
                None => Scm::connect()?,
            };
            self.service = Some(scm.insert(manager).open(&self.name, Access::Look)?);
        }
        self.service.as_ref().ok_or(ScmError(0))
    }

    /// Asks for the next notification, unless one is outstanding.
    fn arm(&mut self, id: u64, retired: &mut Retired) {
        let Some(service) = self.service.as_ref().filter(|_| !self.armed) else { return };
        *self.buffer = SERVICE_NOTIFY_2W {
            dwVersion: SERVICE_NOTIFY_STATUS_CHANGE,
            pfnNotifyCallback: Some(notified),
            pContext: without_provenance_mut(id as usize),
            ..empty_notification()
        };
        // SAFETY: the buffer is boxed, and `close` retires it for as long as a callback could come.
        match unsafe { service.notify(ALL_CHANGES, &raw mut *self.buffer) } {
            Ok(()) | Err(ScmError(ERROR_ALREADY_REGISTERED)) => self.armed = true,
            Err(ScmError(ERROR_SERVICE_MARKED_FOR_DELETE | ERROR_SERVICE_NOTIFY_CLIENT_LAGGING)) => {
                self.close(retired);
                self.due = Instant::now() + REOPEN_AFTER;
            }
            // The poll and the process handle remain.
            Err(error) => tracing::debug!(service = self.name, %error, "No status notification"),
        }
    }

    /// One look, without notification. Gives what is new.
    pub(super) fn look(
        &mut self,
        mailbox: &Mailbox,
        scm: &mut Option<Scm>,
        retired: &mut Retired,
    ) -> Vec<UnitReport> {
        // Before the status is asked for: a service that reports its stop and then exits must not look as if it
        // had died without a word.
        let death = self.release_dead();
        let mut status = match self.open(scm).and_then(Service::status) {
            Ok(status) => status,
            Err(error) => return self.unseen(error, scm, retired).into_iter().collect(),
        };
        let mut main = self.main(&status);
        if matches!(main, Main::Dead(_)) {
            // For the same reason: found dead only after the status was asked for.
            match self.open(scm).and_then(Service::status) {
                Ok(newer) => status = newer,
                Err(error) => return self.unseen(error, scm, retired).into_iter().collect(),
            }
            main = self.main(&status);
        }
        self.has_reported_end =
            status.dwCurrentState == SERVICE_STOPPED && status.dwWin32ExitCode != ERROR_PROCESS_ABORTED;
        self.tracker.see(&Sight {
            state: status.dwCurrentState,
            win32: status.dwWin32ExitCode,
            specific: status.dwServiceSpecificExitCode,
            main,
            death,
            our_stop: mailbox.is_our_stop(&self.name),
        })
    }

    /// The service could not be looked at.
    fn unseen(
        &mut self,
        error: ScmError,
        scm: &mut Option<Scm>,
        retired: &mut Retired,
    ) -> Option<UnitReport> {
        self.close(retired);
        let why = error.to_string();
        if error.is_not_found() {
            self.held = None;
            return self.tracker.not_found(&why);
        }
        // A handle of a manager that was restarted stays bad; the next look connects anew.
        *scm = None;
        self.tracker.blind(&why)
    }

    /// Lets go of the held process if it has ended.
    fn release_dead(&mut self) -> Option<Death> {
        let held = self.held.as_ref()?;
        let death = Death { pid: held.process.process().pid, code: Some(held.process.exit_code()?) };
        self.held = None;
        self.buried = Some(death);
        Some(death)
    }

    /// The process the service control manager names.
    fn main(&mut self, status: &Status) -> Main {
        let pid = status.dwProcessId;
        if pid == 0 || status.dwCurrentState == SERVICE_STOPPED {
            self.held = None;
            self.buried = None;
            return Main::Unnamed;
        }
        if let Some(death) = self.buried.filter(|death| death.pid == pid) {
            return Main::Dead(death);
        }
        self.buried = None;
        if let Some(held) = self.held.as_ref().filter(|held| held.process.process().pid == pid) {
            return Main::Alive(held.process.process());
        }
        self.held = None;
        match ProcessHandle::open(pid, Rights::Watch) {
            Ok(process) => match process.exit_code() {
                Some(code) => Main::Dead(Death { pid, code: Some(code) }),
                None => {
                    let main = Main::Alive(process.process());
                    self.held = Some(Held { process, exit: None });
                    main
                }
            },
            Err(error) if is(&error, ERROR_INVALID_PARAMETER) => Main::Dead(Death { pid, code: None }),
            Err(error) => {
                if !is(&error, ERROR_ACCESS_DENIED) {
                    tracing::debug!(service = self.name, pid, %error, "The process cannot be opened");
                }
                Main::Hidden(pid)
            }
        }
    }

    /// Waits for the end of a process that is newly held.
    fn hold_on(&mut self, id: u64, mailbox: &Arc<Mailbox>) {
        let Some(held) = self.held.as_mut().filter(|held| held.exit.is_none()) else { return };
        let mailbox = Arc::clone(mailbox);
        match held.process.on_exit(move || mailbox.died(id)) {
            Ok(exit) => held.exit = Some(exit),
            Err(error) => tracing::warn!(service = self.name, %error, "Deaths are seen by the poll only"),
        }
    }
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}
