//! The one thread that watches every service.
//!
//! `NotifyServiceStatusChange` calls back on the thread that asked, while that thread waits alertably. So one
//! thread owns all watches and does all asking; everybody else sends it events. It sleeps until an event, a
//! notification, or the next turn of the slow poll. Whatever wakes it, it does the same: look at the service,
//! let its [`Tracker`](super::tracker::Tracker) find what is new, and ask for the next notification.
//!
//! Three sources, as the module above says: the end of the main process (by a wait on its handle, for some
//! managers of this family never notice it), the notification, and the poll.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::mem;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lifesign_core::evidence::{UnitReport, UnitState};
use tokio::sync::oneshot;
use windows_sys::Win32::System::Threading::{CreateEventW, SetEvent, WaitForSingleObjectEx};

use super::scm::Scm;
use super::watched::{Retired, Unit, heard};
use crate::unit::{RECONCILE_EVERY, Sink};

/// How long the buffer of a closed notification is kept. By the documentation none is written after the close of
/// the handle; one that was under way then has been seen to arrive late on a busy machine.
const RETIRED_FOR: Duration = Duration::from_secs(60);

/// Something the thread is told.
enum Event {
    Watch { id: u64, name: String, sink: Sink, live: Arc<AtomicBool> },
    Unwatch(u64),
    Died(u64),
    Evidence { id: u64, lines: Option<String> },
    Look { name: String, reply: oneshot::Sender<Look> },
    Quit,
}

/// What one look shows.
pub(super) struct Look {
    pub(super) report: UnitReport,
    /// A process that has ended, seen by a watch, and that the service control manager may still name.
    pub(super) gone: Option<u32>,
}

impl Look {
    /// Nothing could be seen.
    fn blind(why: &str) -> Self {
        Self { report: blind_report(why), gone: None }
    }
}

/// The way to the thread.
///
/// The queue is bounded by its senders: a watch adds three events at most (watch, death, unwatch) and the reader of
/// the event log one for each end that it was given, a caller of `look` one, and the thread empties it as a whole each time it wakes.
pub(super) struct Mailbox {
    events: Mutex<Vec<Event>>,
    wake: OwnedHandle,
    /// The services lifesign is stopping right now, with the number of orders for each.
    stops: Mutex<HashMap<String, u32>>,
}

impl Mailbox {
    fn send(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        // SAFETY: the event handle is open as long as the mailbox.
        unsafe { SetEvent(self.wake.as_raw_handle()) };
    }

    /// The process of this watch has ended.
    pub(super) fn died(&self, id: u64) {
        self.send(Event::Died(id));
    }

    /// What the event log has about the end of this watch's service; `None`: it has nothing.
    pub(super) fn evidence(&self, id: u64, lines: Option<String>) {
        self.send(Event::Evidence { id, lines });
    }

    /// Whether lifesign is stopping this service right now.
    pub(super) fn is_our_stop(&self, name: &str) -> bool {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key(name))
    }

    fn take(&self) -> Vec<Event> {
        mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The service control manager does not tell upper from lower case in names.
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
        let mut stops = self.mailbox.stops.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mailbox = Arc::new(Mailbox { events: Mutex::default(), wake, stops: Mutex::default() });
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
    pub(super) async fn look(&self, name: &str) -> Look {
        let (reply, report) = oneshot::channel();
        self.mailbox.send(Event::Look { name: name.to_owned(), reply });
        report.await.unwrap_or_else(|_| Look::blind("the observer of services has ended"))
    }

    /// Announces a stop that lifesign orders.
    pub(super) fn our_stop(&self, name: &str) -> OurStop {
        let name = key(name);
        let mut stops = self.mailbox.stops.lock().unwrap_or_else(PoisonError::into_inner);
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
    UnitReport::new(UnitState::CouldNotLook(why.to_owned()), why)
}

/// The thread's own state.
struct Rounds {
    mailbox: Arc<Mailbox>,
    scm: Option<Scm>,
    units: BTreeMap<u64, Unit>,
    /// Buffers of closed notifications, kept for [`RETIRED_FOR`].
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
                    Event::Evidence { id, lines } => {
                        if let Some(unit) = self.units.get_mut(&id) {
                            unit.tell_evidence(lines);
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
                        // A notification that is on its way may still be written. There is at most a buffer of
                        // 80 bytes for each watch, and an observer ends with its process.
                        mem::forget(self.retired);
                        return;
                    }
                }
            }
            for (id, status, state) in heard() {
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
            self.retired.retain(|(since, _)| since.elapsed() < RETIRED_FOR);
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

    fn look(&mut self, name: &str) -> Look {
        let mut seen = None;
        for (&id, unit) in &mut self.units {
            if key(&unit.name) == key(name) {
                unit.attend(id, &self.mailbox, &mut self.scm, &mut self.retired);
                seen = unit.told().cloned().map(|report| Look { report, gone: unit.buried_pid() });
            }
        }
        seen.unwrap_or_else(|| {
            let mut unit = Unit::new(name.to_owned(), Arc::new(|_| {}), Arc::default());
            unit.look(&self.mailbox, &mut self.scm, &mut self.retired);
            match unit.tracker.last().cloned() {
                Some(report) => Look { report, gone: None },
                None => Look::blind("nothing was seen"),
            }
        })
    }
}
