//! The working set: what is resident now. Trimmed pages stay in the standby list and come back without a read.

use windows_sys::Win32::System::Threading::{GetCurrentProcess, SetProcessWorkingSetSize};

pub(super) fn stay_small() {}

pub(super) fn give_back() {
    // SAFETY: it only names our own process, by a pseudo handle that is always valid.
    let ourselves = unsafe { GetCurrentProcess() };
    // SAFETY: with both sizes at their maximum the working set is emptied (SetProcessWorkingSetSize,
    // learn.microsoft.com). That it fails changes nothing.
    unsafe {
        SetProcessWorkingSetSize(ourselves, usize::MAX, usize::MAX);
    }
}
