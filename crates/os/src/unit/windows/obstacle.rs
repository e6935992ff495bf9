//! What stands in the way of a restart: Windows shuts down, or installs updates.

use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::ERROR_ACCESS_DENIED;
use windows_sys::Win32::System::Services::SERVICE_STOPPED;
use windows_sys::Win32::System::Threading::{OpenMutexW, SYNCHRONIZATION_SYNCHRONIZE};
use windows_sys::Win32::UI::WindowsAndMessaging::{GetSystemMetrics, SM_SHUTTINGDOWN};

use super::scm::{Access, Scm};
use crate::wide::wide;

/// Held by Windows Installer while it installs.
const INSTALLER: &str = "Global\\_MSIExecute";
/// The service that installs Windows' own updates; it runs only while there is something to do.
const TRUSTED_INSTALLER: &str = "TrustedInstaller";

/// Why nothing is restarted any more.
pub(super) fn shutdown() -> Option<String> {
    // SAFETY: takes a number.
    (unsafe { GetSystemMetrics(SM_SHUTTINGDOWN) } != 0).then(|| "Windows is shutting down".to_owned())
}

/// The update that is under way.
pub(super) fn update() -> Option<String> {
    if mutex_exists(INSTALLER) {
        return Some(format!("an update is under way (Windows Installer holds {INSTALLER})"));
    }
    let installer = Scm::connect().and_then(|scm| scm.open(TRUSTED_INSTALLER, Access::Look));
    let works = installer
        .and_then(|service| service.status())
        .is_ok_and(|status| status.dwCurrentState != SERVICE_STOPPED);
    works.then(|| format!("an update is under way (the service {TRUSTED_INSTALLER} runs)"))
}

/// Whether somebody holds a named mutex open.
fn mutex_exists(name: &str) -> bool {
    let Ok(name) = wide(name) else { return false };
    // SAFETY: the name ends with a zero.
    let handle = unsafe { OpenMutexW(SYNCHRONIZATION_SYNCHRONIZE, 0, name.as_ptr()) };
    if handle.is_null() {
        // One that is there and not ours to open.
        return io::Error::last_os_error().raw_os_error() == Some(ERROR_ACCESS_DENIED.cast_signed());
    }
    // SAFETY: the handle is valid, just made, and nobody else's.
    drop(unsafe { OwnedHandle::from_raw_handle(handle) });
    true
}

#[cfg(test)]
mod tests {
    use std::ptr::null;

    use windows_sys::Win32::System::Threading::CreateMutexW;

    use super::*;

    #[test]
    fn a_mutex_is_seen_for_as_long_as_somebody_holds_it_open() {
        let name = format!("Global\\lifesign-test-{}", std::process::id());
        assert!(!mutex_exists(&name));
        // SAFETY: no attributes; the name ends with a zero.
        let handle = unsafe { CreateMutexW(null(), 0, wide(&name).unwrap().as_ptr()) };
        assert!(!handle.is_null());
        assert!(mutex_exists(&name));
        // SAFETY: the handle is valid, just made, and nobody else's.
        drop(unsafe { OwnedHandle::from_raw_handle(handle) });
        assert!(!mutex_exists(&name));
    }
}
