//! Handles of the service control manager and the calls on them, each with the least rights it needs.
//!
//! Error texts are our own: the system's message tables are localised and at times missing, while the number
//! is what an administrator looks up.

use std::fmt;
use std::io;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DEPENDENT_SERVICES_RUNNING, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME,
    ERROR_INVALID_SERVICE_CONTROL, ERROR_PATH_NOT_FOUND, ERROR_SERVICE_ALREADY_RUNNING,
    ERROR_SERVICE_CANNOT_ACCEPT_CTRL, ERROR_SERVICE_DEPENDENCY_FAIL, ERROR_SERVICE_DISABLED,
    ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_LOGON_FAILED, ERROR_SERVICE_MARKED_FOR_DELETE,
    ERROR_SERVICE_NOT_ACTIVE, ERROR_SERVICE_REQUEST_TIMEOUT,
};
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, ControlService, NotifyServiceStatusChangeW, OpenSCManagerW, OpenServiceW,
    QueryServiceStatusEx, SC_HANDLE, SC_MANAGER_CONNECT, SC_MANAGER_ENUMERATE_SERVICE,
    SC_STATUS_PROCESS_INFO, SERVICE_CONTROL_STOP, SERVICE_ENUMERATE_DEPENDENTS, SERVICE_NOTIFY_2W,
    SERVICE_QUERY_CONFIG, SERVICE_QUERY_STATUS, SERVICE_START, SERVICE_STATUS, SERVICE_STATUS_PROCESS,
    SERVICE_STOP, StartServiceW,
};

use crate::wide::wide;

/// The service control manager is not there: `RPC_S_SERVER_UNAVAILABLE`.
pub(super) const RPC_S_SERVER_UNAVAILABLE: u32 = 1722;

/// What a service handle may be used for, beside asking for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing else; notifications are included.
    Look,
    /// Start it.
    Start,
    /// Send it the stop control.
    Stop,
    /// Ask for its configuration and for what needs it.
    Config,
}

/// A refusal by the service control manager, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScmError(pub(super) u32);

impl ScmError {
    /// What the last call on this thread was refused with.
    pub(super) fn last() -> Self {
        Self(io::Error::last_os_error().raw_os_error().map_or(0, i32::cast_unsigned))
    }

    /// No service has this name, or none could have it.
    pub(super) fn is_not_found(self) -> bool {
        matches!(self.0, ERROR_SERVICE_DOES_NOT_EXIST | ERROR_INVALID_NAME)
    }

    fn words(self) -> &'static str {
        match self.0 {
            ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND => "the service's program file is missing",
            ERROR_ACCESS_DENIED => "access denied",
            ERROR_DEPENDENT_SERVICES_RUNNING => "services that depend on it are running; stop them first",
            ERROR_INVALID_SERVICE_CONTROL => "the service accepts no stop",
            ERROR_SERVICE_REQUEST_TIMEOUT => "the service did not answer the service control manager in time",
            ERROR_SERVICE_ALREADY_RUNNING => "the service runs already",
            ERROR_SERVICE_DISABLED => "the service is disabled; set another start type (`sc config`)",
            ERROR_SERVICE_DOES_NOT_EXIST => "there is no service of this name",
            ERROR_INVALID_NAME => "no service can have this name",
            ERROR_SERVICE_CANNOT_ACCEPT_CTRL => "the service accepts no control in its present state",
            ERROR_SERVICE_NOT_ACTIVE => "the service is not running",
            ERROR_SERVICE_DEPENDENCY_FAIL => "a service it depends on could not be started",
            ERROR_SERVICE_LOGON_FAILED => {
                "the service's account could not log on; check its password and rights"
            }
            ERROR_SERVICE_MARKED_FOR_DELETE => {
                "the service is marked for deletion; it goes when all programs have closed it"
            }
            RPC_S_SERVER_UNAVAILABLE => "the service control manager does not answer",
            _ => "the service control manager refused",
        }
    }
}

impl fmt::Display for ScmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (error {})", self.words(), self.0)
    }
}

/// The status of a service, with its process.
pub(super) type Status = SERVICE_STATUS_PROCESS;

/// A handle that `CloseServiceHandle` closes.
#[derive(Debug)]
struct Handle(SC_HANDLE);

// SAFETY: service handles belong to the process, not to a thread.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open and is closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// The connection to this machine's service control manager.
#[derive(Debug)]
pub(super) struct Scm(Handle);

impl Scm {
    /// Connects, with no right but that of opening services.
    ///
    /// # Errors
    /// When the service control manager is not there or does not let us in.
    pub(super) fn connect() -> Result<Self, ScmError> {
        Self::connect_with(SC_MANAGER_CONNECT)
    }

    /// Connects, with the right to list services as well.
    ///
    /// # Errors
    /// Like [`connect`](Self::connect).
    pub(super) fn connect_to_list() -> Result<Self, ScmError> {
        Self::connect_with(SC_MANAGER_CONNECT | SC_MANAGER_ENUMERATE_SERVICE)
    }

    fn connect_with(access: u32) -> Result<Self, ScmError> {
        // SAFETY: null names mean this machine and its active database.
        let handle = unsafe { OpenSCManagerW(null(), null(), access) };
        if handle.is_null() { Err(ScmError::last()) } else { Ok(Self(Handle(handle))) }
    }

    /// The raw handle, for calls in other files.
    pub(super) fn raw(&self) -> SC_HANDLE {
        self.0.0
    }

    /// Opens a service by its key name.
    ///
    /// # Errors
    /// [`ScmError::is_not_found`], access denied, marked for deletion.
    pub(super) fn open(&self, name: &str, access: Access) -> Result<Service, ScmError> {
        let name = wide(name).map_err(|_| ScmError(ERROR_INVALID_NAME))?;
        let access = SERVICE_QUERY_STATUS
            | match access {
                Access::Look => 0,
                Access::Start => SERVICE_START,
                Access::Stop => SERVICE_STOP,
                Access::Config => SERVICE_QUERY_CONFIG | SERVICE_ENUMERATE_DEPENDENTS,
            };
        // SAFETY: the manager's handle is open, the name is NUL-terminated.
        let handle = unsafe { OpenServiceW(self.0.0, name.as_ptr(), access) };
        if handle.is_null() { Err(ScmError::last()) } else { Ok(Service(Handle(handle))) }
    }
}

/// One open service. Keeping it open keeps a deleted service from going away.
#[derive(Debug)]
pub(super) struct Service(Handle);

impl Service {
    /// The raw handle, for calls in other files.
    pub(super) fn raw(&self) -> SC_HANDLE {
        self.0.0
    }

    /// Asks for the status.
    ///
    /// # Errors
    /// When the service control manager is gone, or the service is.
    pub(super) fn status(&self) -> Result<Status, ScmError> {
        let mut status = Status::default();
        let mut needed = 0;
        // SAFETY: the buffer is one SERVICE_STATUS_PROCESS and its size is passed along.
        let known = unsafe {
            QueryServiceStatusEx(
                self.0.0,
                SC_STATUS_PROCESS_INFO,
                (&raw mut status).cast(),
                size_of::<Status>() as u32,
                &raw mut needed,
            )
        };
        if known == 0 { Err(ScmError::last()) } else { Ok(status) }
    }

    /// Orders the start. Returns when the service's process has connected, not when the service runs.
    ///
    /// # Errors
    /// All the reasons the service control manager has for not starting a program.
    pub(super) fn start(&self) -> Result<(), ScmError> {
        // SAFETY: the handle is open; no arguments are passed.
        if unsafe { StartServiceW(self.0.0, 0, null()) } == 0 { Err(ScmError::last()) } else { Ok(()) }
    }

    /// Sends the stop control. Blocks while the service's handler does, up to 30 s.
    ///
    /// # Errors
    /// When the service cannot take it, or its handler hangs.
    pub(super) fn stop(&self) -> Result<(), ScmError> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: the handle is open; the status is written through a pointer valid for the call.
        let taken = unsafe { ControlService(self.0.0, SERVICE_CONTROL_STOP, &raw mut status) };
        if taken == 0 { Err(ScmError::last()) } else { Ok(()) }
    }

    /// Asks to be called back once, on this thread while it waits alertably, at the next change.
    ///
    /// # Safety
    /// `buffer` must stay where it is until the callback has come, or the handle is closed and a further
    /// alertable wait has let late callbacks through.
    ///
    /// # Errors
    /// `ERROR_SERVICE_NOTIFY_CLIENT_LAGGING` (1294) and `ERROR_SERVICE_MARKED_FOR_DELETE` (1072) want the
    /// handle closed and the service opened again; `ERROR_ALREADY_REGISTERED` (1242) means there is nothing to do.
    pub(super) unsafe fn notify(&self, mask: u32, buffer: *mut SERVICE_NOTIFY_2W) -> Result<(), ScmError> {
        // SAFETY: the handle is open; the caller keeps the buffer.
        match unsafe { NotifyServiceStatusChangeW(self.0.0, mask, buffer) } {
            0 => Ok(()),
            error => Err(ScmError(error)),
        }
    }
}

/// A notification buffer with nothing in it.
pub(super) fn empty_notification() -> SERVICE_NOTIFY_2W {
    SERVICE_NOTIFY_2W {
        dwVersion: 0,
        pfnNotifyCallback: None,
        pContext: null_mut(),
        dwNotificationStatus: 0,
        ServiceStatus: Status::default(),
        dwNotificationTriggered: 0,
        pszServiceNames: null_mut(),
    }
}
