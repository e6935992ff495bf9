//! The event by which a program written for SvcWatchDog is asked to stop: its name stands in the program's
//! `SHUTDOWN_EVENT`. <https://github.com/matjazt/SvcWatchDog>
//!
//! A program that listens to it must not be sent Ctrl-Break as well, which ends most programs on the spot. Whether one
//! listens shows in the number of open handles: somebody has the event open besides us.

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use windows_sys::Wdk::Foundation::{NtQueryObject, ObjectBasicInformation};
use windows_sys::Win32::System::Threading::{CreateEventW, ResetEvent, SetEvent};
use windows_sys::Win32::System::WindowsProgramming::PUBLIC_OBJECT_BASIC_INFORMATION;

use super::super::ProcessSpec;
use crate::wide::wide;

/// The variable that names the event.
const VARIABLE: &str = "SHUTDOWN_EVENT";
/// A program that opens the event anew for each wait does so within this.
const OPENED_WITHIN: Duration = Duration::from_millis(500);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The event of one child. An adopted child finds it again by its name.
pub(super) struct ShutdownEvent(OwnedHandle);

impl ShutdownEvent {
    /// The event that the child's environment names, not set; `None`: it names none, or the system refuses.
    pub(super) fn of(spec: &ProcessSpec) -> Option<Self> {
        let (_, name) = spec.env.iter().rev().find(|(variable, _)| variable == VARIABLE)?;
        Self::create(name)
            .inspect_err(|error| {
                tracing::warn!(program = spec.program(), %error, "There is no shutdown event for a process");
            })
            .ok()
    }

    fn create(name: &str) -> io::Result<Self> {
        let name = wide(name)?;
        // SAFETY: no attributes; the name is NUL-terminated. Manual reset, as SvcWatchDog makes it.
        let handle = unsafe { CreateEventW(null(), 1, 0, name.as_ptr()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is valid, just made, and nobody else's.
        let event = Self(unsafe { OwnedHandle::from_raw_handle(handle) });
        // It may be there from a child before.
        // SAFETY: the handle is open.
        unsafe { ResetEvent(event.0.as_raw_handle()) };
        Ok(event)
    }

    /// Sets it. Whether somebody listens.
    pub(super) async fn tell(&self) -> bool {
        let begun = Instant::now();
        let mut listens = self.is_open_elsewhere();
        while !listens && begun.elapsed() < OPENED_WITHIN {
            tokio::time::sleep(LOOK).await;
            listens = self.is_open_elsewhere();
        }
        // SAFETY: the handle is open.
        unsafe { SetEvent(self.0.as_raw_handle()) };
        listens
    }

    fn is_open_elsewhere(&self) -> bool {
        let mut known = PUBLIC_OBJECT_BASIC_INFORMATION::default();
        // SAFETY: the buffer is of the class named and its size is passed along; the handle is open.
        let status = unsafe {
            NtQueryObject(
                self.0.as_raw_handle(),
                ObjectBasicInformation,
                (&raw mut known).cast(),
                size_of::<PUBLIC_OBJECT_BASIC_INFORMATION>() as u32,
                null_mut(),
            )
        };
        status == 0 && known.HandleCount > 1
    }
}
