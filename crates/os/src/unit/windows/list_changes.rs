//! When the list of services may have changed: services created, deleted, configured otherwise.
//!
//! The service control manager keeps its list in the registry and writes there before it answers, so a change
//! notification on that key tells of all three. `SubscribeServiceChangeNotifications` would too, but not before
//! Windows 8, and under Wine it is a stub that ends the process; `NotifyServiceStatusChange` tells nothing of a changed
//! configuration and answers 120 there. The registry's notification works on both, and so it is tested.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use windows_sys::Win32::Foundation::{ERROR_SUCCESS, WAIT_OBJECT_0};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_NOTIFY, REG_NOTIFY_CHANGE_LAST_SET, REG_NOTIFY_CHANGE_NAME,
    REG_NOTIFY_THREAD_AGNOSTIC, RegCloseKey, RegNotifyChangeKeyValue, RegOpenKeyExW,
};
use windows_sys::Win32::System::Threading::{CreateEventW, INFINITE, SetEvent, WaitForMultipleObjects};

use crate::wide::wide;

/// Where the service control manager keeps its list.
const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services";
/// How long after a change further ones are waited for: an installation makes several.
const GATHER: Duration = Duration::from_millis(300);
/// How long after one reading the next one follows at the earliest, whatever changes: services keep settings of their
/// own beside the list, and some write them all the time.
const REST: Duration = Duration::from_secs(10);

/// Tells that the list of services may have changed.
pub(crate) struct ListChanges {
    /// `None`: nobody will tell, so it is looked every [`REST`].
    watch: Option<(Arc<Watch>, watch::Receiver<()>)>,
    told: Option<Instant>,
}

impl ListChanges {
    pub(super) fn new() -> Self {
        let watch = Watch::shared()
            .inspect_err(|error| tracing::warn!(%error, "The list of services is read every {REST:?}"))
            .ok();
        Self { watch, told: None }
    }

    /// Waits until it may have changed. The first time that is at once: what happened before the watching is new, too.
    pub(crate) async fn next(&mut self) {
        if let Some(told) = self.told {
            match &mut self.watch {
                None => sleep(REST).await,
                Some((_watch, news)) => {
                    // An error: the thread has ended, and said so.
                    if news.changed().await.is_err() {
                        sleep(REST).await;
                    }
                    sleep(GATHER).await;
                    // At once after a quiet time.
                    sleep_until(told + REST).await;
                }
            }
        }
        self.told = Some(Instant::now());
    }
}

/// A thread that waits on the key, one for all.
struct Watch {
    news: watch::Receiver<()>,
    stop: Arc<OwnedHandle>,
}

impl Watch {
    /// The one that runs, or a new one.
    fn shared() -> io::Result<(Arc<Self>, watch::Receiver<()>)> {
        static RUNNING: Mutex<Weak<Watch>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = match running.upgrade() {
            // One whose thread has ended tells nothing more.
            Some(watch) if watch.news.has_changed().is_ok() => watch,
            _ => Arc::new(Self::start()?),
        };
        *running = Arc::downgrade(&watch);
        let news = watch.news.clone();
        Ok((watch, news))
    }

    fn start() -> io::Result<Self> {
        let key = Key::open(SERVICES)?;
        let (changed, stop) = (event()?, Arc::new(event()?));
        let (tell, news) = watch::channel(());
        // Before anything is read, so that no change falls between.
        key.arm(&changed)?;
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new().name("lifesign-services".to_owned()).spawn(move || {
            loop {
                let handles = [stopped.as_raw_handle(), changed.as_raw_handle()];
                // SAFETY: both events are open as long as this thread runs.
                let woken = unsafe { WaitForMultipleObjects(2, handles.as_ptr(), 0, INFINITE) };
                if woken != WAIT_OBJECT_0 + 1 {
                    return;
                }
                let armed = key.arm(&changed);
                tell.send_replace(());
                if let Err(error) = armed {
                    tracing::error!(%error, "Changes of the list of services are found by reading it now and then");
                    return;
                }
            }
        })?;
        Ok(Self { news, stop })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: the event is open; the thread holds it too.
        unsafe { SetEvent(self.stop.as_raw_handle()) };
    }
}

struct Key(HKEY);

// SAFETY: a key may be used and closed by any thread.
unsafe impl Send for Key {}

impl Key {
    fn open(path: &str) -> io::Result<Self> {
        let path = wide(path)?;
        let mut key = null_mut();
        // SAFETY: the path ends with a zero and outlives the call; the key goes through a pointer valid for it.
        let error = unsafe { RegOpenKeyExW(HKEY_LOCAL_MACHINE, path.as_ptr(), 0, KEY_NOTIFY, &raw mut key) };
        ok(error).map(|()| Self(key))
    }

    /// Sets `changed` at the next change in the key or below it.
    fn arm(&self, changed: &OwnedHandle) -> io::Result<()> {
        let what = REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET | REG_NOTIFY_THREAD_AGNOSTIC;
        // SAFETY: key and event are open; the last flag makes the call return at once.
        ok(unsafe { RegNotifyChangeKeyValue(self.0, 1, what, changed.as_raw_handle(), 1) })
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: opened in `open`, closed once.
        unsafe { RegCloseKey(self.0) };
    }
}

fn ok(error: u32) -> io::Result<()> {
    if error == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(error.cast_signed())) }
}

/// An event that resets itself, not set.
fn event() -> io::Result<OwnedHandle> {
    // SAFETY: no attributes, no name.
    let event = unsafe { CreateEventW(null(), 0, 0, null()) };
    if event.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid, just made, and nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(event) })
}
