//! The one thread that watches every service.
//!
//! `NotifyServiceStatusChange` calls back on the thread that asked, while that thread waits alertably. So one
//! thread owns all watches and does all asking; everybody else sends it events. It sleeps until an event, a
//! notification, or the next turn of the slow poll. Whatever wakes it, it does the same: look at the service,
//! let the [`Tracker`] find what is new, and ask for the next notification.
//!
//! Three sources, as the module above says: the end of the main process (by a wait on its handle, for some
//! managers of this family never notice it), the notification, and the poll.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;
use std::io;
use std::mem;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, without_provenance_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lifesign_core::evidence::{UnitReport, UnitState};
use tokio::sync::oneshot;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_ALREADY_REGISTERED, ERROR_INVALID_PARAMETER, ERROR_SERVICE_MARKED_FOR_DELETE,
    ERROR_SERVICE_NOTIFY_CLIENT_LAGGING,
};
use windows_sys::Win32::System::Services::{
    SERVICE_NOTIFY_2W, SERVICE_NOTIFY_CONTINUE_PENDING, SERVICE_NOTIFY_DELETE_PENDING,
    SERVICE_NOTIFY_PAUSE_PENDING, SERVICE_NOTIFY_PAUSED, SERVICE_NOTIFY_RUNNING,
    SERVICE_NOTIFY_START_PENDING, SERVICE_NOTIFY_STATUS_CHANGE, SERVICE_NOTIFY_STOP_PENDING,
    SERVICE_NOTIFY_STOPPED, SERVICE_STOPPED,
};
use windows_sys::Win32::System::Threading::{CreateEventW, SetEvent, WaitForSingleObjectEx};

use super::scm::{Access, Scm, ScmError, Service, Status, empty_notification};
use super::tracker::{Death, Main, Sight, Tracker};
use crate::process_handle::{ExitWatch, ProcessHandle, Rights};
use crate::unit::{RECONCILE_EVERY, Sink};

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

/// Something the thread is told.
enum Event {
    Watch { id: u64, name: String, sink: Sink, live: Arc<AtomicBool> },
    Unwatch(u64),
    Died(u64),
    Look { name: String, reply: oneshot::Sender<UnitReport> },
    Quit,
}

/// The way to the thread.
///
/// The queue is bounded by its senders: a watch adds three events at most (watch, death, unwatch), a caller of
/// `look` one, and the thread empties it as a whole each time it wakes.
struct Mailbox {
    events: Mutex<Vec<Event>>,
    wake: OwnedHandle,
    stops: Stops,
}

impl Mailbox {
    fn send(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        // SAFETY: the event handle is open as long as the mailbox.
        unsafe { SetEvent(self.wake.as_raw_handle()) };
    }

    fn take(&self) -> Vec<Event> {
        mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The services lifesign is stopping right now, with the number of orders for each.
#[derive(Default)]
struct Stops(Mutex<HashMap<String, u32>>);

impl Stops {
    fn holds(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key(name))
    }
}

/// Service names differ by more than case.
fn key(name: &str) -> String {
    name.to_lowercase()
}

/// While it lives, an end of this service counts as ordered.
pub(super) struct OurStop {
    mailbox: Arc<Mailbox>,
    name: String,
}

impl Drop for OurStop {
    fn drop(&mut self) {
        let mut stops = self.mailbox.stops.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = stops.get_mut(&self.name) {
            *orders -= 1;
            if *orders == 0 {
                stops.remove(&self.name);
            }
        }
    }
}

/// The owner of the thread: when it goes, the thread ends.
pub(super) struct Observer {
    mailbox: Arc<Mailbox>,
    next_id: Mutex<u64>,
}

impl Observer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread or event to give.
    pub(super) fn spawn() -> io::Result<Self> {
        // SAFETY: no attributes, no name; an event that resets itself, not set.
        let wake = unsafe { CreateEventW(null(), 0, 0, null()) };
        if wake.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is valid, just made, and nobody else's.
        let wake = unsafe { OwnedHandle::from_raw_handle(wake) };
        let mailbox = Arc::new(Mailbox { events: Mutex::default(), wake, stops: Stops::default() });
        let thread_mailbox = Arc::clone(&mailbox);
        // The state is made on the thread: its buffers belong to that thread's callbacks.
        let rounds = move || Rounds::new(thread_mailbox).run();
        std::thread::Builder::new().name("scm-observer".to_owned()).spawn(rounds)?;
        Ok(Self { mailbox, next_id: Mutex::new(0) })
    }

    /// Watches a service until the result is dropped.
    pub(super) fn watch(self: &Arc<Self>, name: &str, sink: Sink) -> Watching {
        let id = {
            let mut next = self.next_id.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            *next
        };
        let live = Arc::new(AtomicBool::new(true));
        self.mailbox.send(Event::Watch { id, name: name.to_owned(), sink, live: Arc::clone(&live) });
        Watching { observer: Arc::clone(self), id, live }
    }

    /// Looks once. A watched service is looked at with all that is known of it, and its watchers hear first.
    pub(super) async fn look(&self, name: &str) -> UnitReport {
        let (reply, report) = oneshot::channel();
        self.mailbox.send(Event::Look { name: name.to_owned(), reply });
        report.await.unwrap_or_else(|_| blind_report("the observer of services has ended"))
    }

    /// Announces a stop that lifesign orders.
    pub(super) fn our_stop(&self, name: &str) -> OurStop {
        let name = key(name);
        let mut stops = self.mailbox.stops.0.lock().unwrap_or_else(PoisonError::into_inner);
        *stops.entry(name.clone()).or_insert(0) += 1;
        OurStop { mailbox: Arc::clone(&self.mailbox), name }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.mailbox.send(Event::Quit);
    }
}

/// A watch on one service.
pub(super) struct Watching {
    observer: Arc<Observer>,
    id: u64,
    live: Arc<AtomicBool>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.live.store(false, Ordering::Release);
        self.observer.mailbox.send(Event::Unwatch(self.id));
    }
}

/// A report that nothing could be seen.
pub(super) fn blind_report(why: &str) -> UnitReport {
    UnitReport { state: UnitState::CouldNotLook(why.to_owned()), os: why.to_owned(), last_output: None }
}

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

/// A buffer that waits for its notification.
type Buffer = Box<SERVICE_NOTIFY_2W>;

/// Buffers of closed notifications, with the time of the close.
type Retired = Vec<(Instant, Buffer)>;

/// The thread's own state.
struct Rounds {
    mailbox: Arc<Mailbox>,
    scm: Option<Scm>,
    units: BTreeMap<u64, Unit>,
    /// Buffers of closed notifications. A callback that was queued before the close may still come at the next
    /// alertable wait, so they are kept for one round of the poll.
    retired: Retired,
}

impl Rounds {
    fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox, scm: None, units: BTreeMap::new(), retired: Vec::new() }
    }

    fn run(mut self) {
        loop {
            for event in self.mailbox.take() {
                match event {
                    Event::Watch { id, name, sink, live } => {
                        self.units.insert(id, Unit::new(name, sink, live));
                    }
                    Event::Unwatch(id) => {
                        if let Some(mut unit) = self.units.remove(&id) {
                            unit.close(&mut self.retired);
                        }
                    }
                    Event::Died(id) => {
                        if let Some(unit) = self.units.get_mut(&id) {
                            unit.due = Instant::now();
                        }
                    }
                    Event::Look { name, reply } => {
                        let report = self.look(&name);
                        // The asker may have given up.
                        let _ = reply.send(report);
                    }
                    Event::Quit => {
                        for unit in self.units.values_mut() {
                            unit.close(&mut self.retired);
                        }
                        // Lets callbacks that are queued already come before the buffers go.
                        self.wait(Duration::ZERO);
                        return;
                    }
                }
            }
            for (id, status, state) in HEARD.take() {
                if let Some(unit) = self.units.get_mut(&id) {
                    unit.heard(status, state, &mut self.retired);
                }
            }
            let now = Instant::now();
            for (&id, unit) in &mut self.units {
                if unit.due <= now {
                    unit.attend(id, &self.mailbox, &mut self.scm, &mut self.retired);
                }
            }
            self.retired.retain(|(since, _)| since.elapsed() < RECONCILE_EVERY);
            let next = self.units.values().map(|unit| unit.due).min();
            self.wait(next.map_or(RECONCILE_EVERY, |due| due.saturating_duration_since(Instant::now())));
        }
    }

    /// Sleeps until an event, a callback, or `limit`.
    fn wait(&self, limit: Duration) {
        // Rounded up: waking a moment too early would only mean to sleep again.
        let millis = u32::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(1000);
        // SAFETY: the handle is open; callbacks run in here touch nothing but HEARD.
        unsafe { WaitForSingleObjectEx(self.mailbox.wake.as_raw_handle(), millis, 1) };
    }

    fn look(&mut self, name: &str) -> UnitReport {
        let mut seen = None;
        for (&id, unit) in &mut self.units {
            if key(&unit.name) == key(name) {
                unit.attend(id, &self.mailbox, &mut self.scm, &mut self.retired);
                seen = unit.tracker.last().cloned();
            }
        }
        seen.unwrap_or_else(|| {
            let mut unit = Unit::new(name.to_owned(), Arc::new(|_| {}), Arc::default());
            unit.look(&self.mailbox, &mut self.scm, &mut self.retired);
            unit.tracker.last().cloned().unwrap_or_else(|| blind_report("nothing was seen"))
        })
    }
}

/// The main process, held open.
struct Held {
    process: ProcessHandle,
    exit: Option<ExitWatch>,
}

/// One watched service.
struct Unit {
    name: String,
    sink: Sink,
    live: Arc<AtomicBool>,
    tracker: Tracker,
    service: Option<Service>,
    /// A notification is asked for and has not come.
    armed: bool,
    buffer: Buffer,
    held: Option<Held>,
    /// The process that ended last.
    buried: Option<Death>,
    empty_notifications: u32,
    due: Instant,
}

impl Unit {
    fn new(name: String, sink: Sink, live: Arc<AtomicBool>) -> Self {
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
            due: Instant::now(),
        }
    }

    /// Lets go of the service, which also ends its notification.
    fn close(&mut self, retired: &mut Retired) {
        self.service = None;
        if mem::take(&mut self.armed) {
            let buffer = mem::replace(&mut self.buffer, Box::new(empty_notification()));
            retired.push((Instant::now(), buffer));
        }
    }

    /// A notification came.
    fn heard(&mut self, status: u32, state: u32, retired: &mut Retired) {
        self.armed = false;
        if status == 0 {
            self.tracker.heard(state);
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
    fn attend(&mut self, id: u64, mailbox: &Arc<Mailbox>, scm: &mut Option<Scm>, retired: &mut Retired) {
        self.due = Instant::now() + RECONCILE_EVERY;
        if self.tracker.last().is_some_and(|last| matches!(last.state, UnitState::Stopped { .. })) {
            // Held open, a stopped service that somebody deleted could not go, and nobody could make it anew.
            self.close(retired);
        }
        // Asked for before the look, so that no change falls between.
        if self.open(scm).is_ok() {
            self.arm(id, retired);
        }
        let news = self.look(mailbox, scm, retired);
        self.hold_on(id, mailbox);
        if !news.is_empty() {
            self.empty_notifications = 0;
        }
        for report in news {
            if self.live.load(Ordering::Acquire) {
                (self.sink)(report);
            }
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
    fn look(&mut self, mailbox: &Mailbox, scm: &mut Option<Scm>, retired: &mut Retired) -> Vec<UnitReport> {
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
        self.tracker.see(&Sight {
            state: status.dwCurrentState,
            win32: status.dwWin32ExitCode,
            specific: status.dwServiceSpecificExitCode,
            main,
            death,
            our_stop: mailbox.stops.holds(&self.name),
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
            return Main::Unnamed;
        }
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
            Err(error) if is(&error, ERROR_INVALID_PARAMETER) => Main::Dead(
                self.buried.filter(|buried| buried.pid == pid).unwrap_or(Death { pid, code: None }),
            ),
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
        match held.process.on_exit(move || mailbox.send(Event::Died(id))) {
            Ok(exit) => held.exit = Some(exit),
            Err(error) => tracing::warn!(service = self.name, %error, "Deaths are seen by the poll only"),
        }
    }
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}
