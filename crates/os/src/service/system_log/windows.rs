//! The event log. Each event is one text under a number that the message file of `EventCreate.exe` knows (1 to 1000,
//! `%1`); the installer registers that file for the source.

use std::ptr::null_mut;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE,
    RegisterEventSourceW, ReportEventW,
};

use super::{Record, Severity, cut};
use crate::wide::wide;

pub(super) const HAS_STANDARD_ERROR: bool = false;

/// Numbers of what has none of its own.
const ANY_WARNING: u32 = 900;
const ANY_ERROR: u32 = 901;

pub(super) fn takes(severity: Severity, event: Option<u16>) -> bool {
    event.is_some() || severity >= Severity::Warning
}

#[derive(Debug)]
pub(super) struct SystemLog(HANDLE);

// SAFETY: the handle may be used from any thread; each call is whole in itself.
unsafe impl Send for SystemLog {}
// SAFETY: as above.
unsafe impl Sync for SystemLog {}

impl Drop for SystemLog {
    fn drop(&mut self) {
        // SAFETY: the handle is open and is closed once.
        unsafe { DeregisterEventSource(self.0) };
    }
}

impl SystemLog {
    pub(super) fn open(name: &str) -> Option<Self> {
        let name = wide(name).ok()?;
        // SAFETY: a null server is this machine, the name is NUL-terminated.
        let handle = unsafe { RegisterEventSourceW(std::ptr::null(), name.as_ptr()) };
        (!handle.is_null()).then_some(Self(handle))
    }

    pub(super) fn write(&self, record: &Record<'_>) {
        let mut text = cut(record.message).replace('\0', " ");
        for (name, value) in record.fields {
            text.push_str(&format!("\r\n{name}: {}", cut(value).replace('\0', " ")));
        }
        let Ok(text) = wide(cut(&text)) else { return };
        let (kind, any) = match record.severity {
            Severity::Error => (EVENTLOG_ERROR_TYPE, ANY_ERROR),
            Severity::Warning => (EVENTLOG_WARNING_TYPE, ANY_WARNING),
            Severity::Info | Severity::Debug => (EVENTLOG_INFORMATION_TYPE, ANY_WARNING),
        };
        let strings = [text.as_ptr()];
        // SAFETY: the handle is open; one NUL-terminated string, no user, no further data. A failure has nobody left
        // to be told to.
        unsafe {
            ReportEventW(
                self.0,
                kind,
                0,
                record.event.map_or(any, u32::from),
                null_mut(),
                1,
                0,
                strings.as_ptr(),
                std::ptr::null(),
            )
        };
    }
}
