//! The working set: what is resident now. Trimmed pages stay in the standby list and come back without a read.

use windows_sys::Win32::System::Threading::{GetCurrentProcess, SetProcessWorkingSetSize};

pub(super) fn give_back() {
    // SAFETY: the pseudo handle of our own process is always valid; with both sizes at their maximum the working set is
    // emptied (SetProcessWorkingSetSize, learn.microsoft.com). That it fails changes nothing.
    unsafe {
        SetProcessWorkingSetSize(GetCurrentProcess(), usize::MAX, usize::MAX);
    }
}
