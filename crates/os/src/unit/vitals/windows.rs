//! Memory, processor time and handles of a process held open.

use std::time::Duration;

use lifesign_core::evidence::Process;
use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::{GetProcessHandleCount, GetProcessTimes};

use super::Figures;
use crate::process_handle::{ProcessHandle, Rights};

/// A `FILETIME` counts tenths of a microsecond.
fn span(time: FILETIME) -> u64 {
    ((u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime)) / 10
}

pub(super) fn figures(process: Process) -> Option<Figures> {
    let handle = ProcessHandle::open(process.pid, Rights::Watch).ok()?;
    if handle.process() != process || handle.exit_code().is_some() {
        return None;
    }
    let mut counters = PROCESS_MEMORY_COUNTERS::default();
    let size = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
    // SAFETY: the handle is open; one structure of this size is written through a pointer valid for the call.
    let has_memory = unsafe { K32GetProcessMemoryInfo(handle.raw(), &raw mut counters, size) } != 0;
    let mut handles = 0;
    // SAFETY: the handle is open; one u32 is written through a pointer valid for the call.
    let has_handles = unsafe { GetProcessHandleCount(handle.raw(), &raw mut handles) } != 0;
    let none = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let (mut created, mut ended, mut kernel, mut user) = (none, none, none, none);
    // SAFETY: the handle is open; four FILETIMEs are written through pointers valid for the call.
    let has_times = unsafe {
        GetProcessTimes(handle.raw(), &raw mut created, &raw mut ended, &raw mut kernel, &raw mut user)
    } != 0;
    let used = Duration::from_micros(span(kernel).saturating_add(span(user)));
    Some(Figures {
        memory: has_memory.then_some(counters.WorkingSetSize as u64),
        processor: has_times.then_some(used),
        threads: None,
        handles: has_handles.then_some(u64::from(handles)),
    })
}
