//! An open handle on a process: proof that its number still means this very process.
//!
//! Windows gives a process number to another program as soon as the process *and all handles on it* are gone.
//! While one is held, the number cannot be reused, so whoever opened the right process keeps the right process.

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;
use std::time::Duration;

use lifesign_core::evidence::Process;
use windows_sys::Win32::Foundation::{FILETIME, HANDLE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading::{
    GetExitCodeProcess, GetProcessTimes, INFINITE, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, RegisterWaitForSingleObject, TerminateProcess, UnregisterWaitEx,
    WT_EXECUTEINWAITTHREAD, WT_EXECUTEONLYONCE, WaitForSingleObject,
};

/// What a handle may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// See it end, and how. Granted for nearly every process.
    Watch,
    /// End it as well.
    Kill,
}

/// A process held open.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    handle: OwnedHandle,
    process: Process,
}

impl ProcessHandle {
    /// Opens the process that has this number now. It may have ended already, if somebody else still holds it.
    ///
    /// # Errors
    /// `ERROR_INVALID_PARAMETER` (87): no such process. `ERROR_ACCESS_DENIED` (5): not ours to look at.
    pub(crate) fn open(pid: u32, rights: Rights) -> io::Result<Self> {
        let watch = PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION;
        let access = match rights {
            Rights::Watch => watch,
            Rights::Kill => watch | PROCESS_TERMINATE,
        };
        // SAFETY: takes plain numbers; a null result is an error.
        let handle = unsafe { OpenProcess(access, 0, pid) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is valid, just made, and nobody else's.
        Self::of(unsafe { OwnedHandle::from_raw_handle(handle) }, pid)
    }

    /// Takes over a handle that has at least the rights to wait and to query.
    ///
    /// # Errors
    /// When the system does not tell the creation time.
    pub(crate) fn of(handle: OwnedHandle, pid: u32) -> io::Result<Self> {
        let none = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
        let (mut created, mut ended, mut kernel, mut user) = (none, none, none, none);
        // SAFETY: four FILETIMEs are written through pointers valid for the call; the handle is open.
        let known = unsafe {
            GetProcessTimes(
                handle.as_raw_handle(),
                &raw mut created,
                &raw mut ended,
                &raw mut kernel,
                &raw mut user,
            )
        };
        if known == 0 {
            return Err(io::Error::last_os_error());
        }
        let started = (u64::from(created.dwHighDateTime) << 32) | u64::from(created.dwLowDateTime);
        Ok(Self { handle, process: Process { pid, started } })
    }

    /// Which process it is; the start stamp is its creation time.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Its exit code, once it has ended.
    pub(crate) fn exit_code(&self) -> Option<u32> {
        self.wait(Duration::ZERO).then(|| {
            // Only after the wait: a living process may have 259 (STILL_ACTIVE) as its code, an ended one too.
            let mut code = 0;
            // SAFETY: writes one u32 through a pointer valid for the call; the handle is open.
            unsafe { GetExitCodeProcess(self.raw(), &raw mut code) };
            code
        })
    }

    /// Waits for its end, at most this long; whether it has ended.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let millis = u32::try_from(limit.as_millis()).unwrap_or(INFINITE - 1).min(INFINITE - 1);
        // SAFETY: the handle is open and may be waited on.
        unsafe { WaitForSingleObject(self.raw(), millis) == WAIT_OBJECT_0 }
    }

    /// Ends it at once, with this exit code. Needs [`Rights::Kill`].
    ///
    /// # Errors
    /// `ERROR_ACCESS_DENIED` also when it is ending already.
    pub(crate) fn terminate(&self, code: u32) -> io::Result<()> {
        // SAFETY: the handle is open; without the right the call fails.
        if unsafe { TerminateProcess(self.raw(), code) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Calls `done` once, on a thread of the system's pool, when the process ends (at once when it has).
    /// `done` must return quickly and must not drop the [`ExitWatch`].
    ///
    /// # Errors
    /// When the system's pool takes no further wait.
    pub(crate) fn on_exit(&self, done: impl Fn() + Send + Sync + 'static) -> io::Result<ExitWatch> {
        let held = self.handle.try_clone()?;
        let done: Box<Callback> = Box::new(Box::new(done));
        let mut wait = null_mut();
        // SAFETY: handle and callback live in the ExitWatch, which ends the wait before it lets them go.
        let registered = unsafe {
            RegisterWaitForSingleObject(
                &raw mut wait,
                held.as_raw_handle(),
                Some(call),
                (&raw const *done).cast(),
                INFINITE,
                WT_EXECUTEONLYONCE | WT_EXECUTEINWAITTHREAD,
            )
        };
        if registered == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(ExitWatch { wait, _held: held, _done: done })
    }

    /// The raw handle, for calls that need one while `self` is borrowed.
    pub(crate) fn raw(&self) -> HANDLE {
        self.handle.as_raw_handle()
    }
}

type Callback = Box<dyn Fn() + Send + Sync>;

unsafe extern "system" fn call(context: *mut c_void, _timed_out: bool) {
    // SAFETY: `context` is the boxed callback of an ExitWatch, which outlives the wait.
    let done = unsafe { &*context.cast::<Callback>() };
    done();
}

/// A wait for the end of a process. Dropping it ends the wait, after a callback that runs right now.
pub(crate) struct ExitWatch {
    wait: HANDLE,
    _held: OwnedHandle,
    _done: Box<Callback>,
}

// SAFETY: the wait handle may be given back from any thread, and the callback is Send and Sync.
unsafe impl Send for ExitWatch {}
// SAFETY: there is nothing to do with a shared reference.
unsafe impl Sync for ExitWatch {}

impl Drop for ExitWatch {
    fn drop(&mut self) {
        // SAFETY: the wait was registered and is given back once; INVALID_HANDLE_VALUE makes the call wait for
        // a running callback, so nothing uses handle and callback afterwards.
        unsafe { UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE) };
    }
}

impl fmt::Debug for ExitWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExitWatch")
    }
}
