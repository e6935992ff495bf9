//! A job object: the process tree as one thing.
//! <https://learn.microsoft.com/windows/win32/procthread/job-objects>

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use lifesign_core::evidence::Process;
use windows_sys::Win32::Foundation::{DUPLICATE_SAME_ACCESS, DuplicateHandle, ERROR_ALREADY_EXISTS, HANDLE};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_BREAKAWAY_OK,
    JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation,
    JobObjectExtendedLimitInformation, OpenJobObjectW, QueryInformationJobObject, SetInformationJobObject,
    TerminateJobObject,
};
use windows_sys::Win32::System::SystemServices::{JOB_OBJECT_QUERY, JOB_OBJECT_TERMINATE};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use crate::process_handle::ProcessHandle;
use crate::wide::wide;

/// The job of one child. Everything the child starts belongs to it as well.
#[derive(Debug)]
pub(super) struct Job(OwnedHandle);

impl Job {
    /// A new job, named after its future main process.
    pub(super) fn create(main: Process) -> io::Result<Self> {
        let name = name(main)?;
        // SAFETY: no attributes; the name is NUL-terminated.
        let handle = unsafe { CreateJobObjectW(null(), name.as_ptr()) };
        let error = io::Error::last_os_error();
        let job = Self::owned(handle)?;
        if error.raw_os_error() == Some(ERROR_ALREADY_EXISTS.cast_signed()) {
            // Somebody else made it, and could do with our child what they like.
            return Err(error);
        }
        Ok(job)
    }

    /// The job an earlier lifesign made.
    pub(super) fn open(main: Process) -> io::Result<Self> {
        let name = name(main)?;
        // SAFETY: the name is NUL-terminated; the handle is not inherited.
        Self::owned(unsafe { OpenJobObjectW(JOB_OBJECT_QUERY | JOB_OBJECT_TERMINATE, 0, name.as_ptr()) })
    }

    fn owned(handle: HANDLE) -> io::Result<Self> {
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is valid, just made, and nobody else's.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    /// Whether the members die when nobody holds the job any more.
    pub(super) fn end_with_last_handle(&self, yes: bool) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = if yes { JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE } else { 0 };
        // SAFETY: the information is of the class named and its size is passed along.
        done(unsafe {
            SetInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>() as u32,
            )
        })
    }

    /// Makes `main` a member, and with it all it will start.
    pub(super) fn take(&self, main: &ProcessHandle) -> io::Result<()> {
        // SAFETY: both handles are open.
        done(unsafe { AssignProcessToJobObject(self.0.as_raw_handle(), main.raw()) })
    }

    /// Gives `main` a handle to its own job, of which it knows nothing: the job keeps its name while it lives.
    pub(super) fn hand_over(&self, main: &ProcessHandle) -> io::Result<()> {
        let mut theirs = null_mut();
        // SAFETY: takes nothing, gives a constant that stands for this process.
        let this = unsafe { GetCurrentProcess() };
        // SAFETY: all handles are open; the new one is a number of the other process, not ours to close.
        done(unsafe {
            DuplicateHandle(
                this,
                self.0.as_raw_handle(),
                main.raw(),
                &raw mut theirs,
                0,
                0,
                DUPLICATE_SAME_ACCESS,
            )
        })
    }

    /// Ends every member. Succeeds when there is none.
    pub(super) fn terminate(&self, code: u32) -> io::Result<()> {
        // SAFETY: the handle is open.
        done(unsafe { TerminateJobObject(self.0.as_raw_handle(), code) })
    }

    /// How many members live; 0 also when it cannot be told.
    pub(super) fn members(&self) -> u32 {
        let mut counts = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        // SAFETY: the buffer is of the class named and its size is passed along.
        let known = unsafe {
            QueryInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectBasicAccountingInformation,
                (&raw mut counts).cast(),
                size_of::<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION>() as u32,
                null_mut(),
            )
        };
        if known == 0 { 0 } else { counts.ActiveProcesses }
    }
}

/// Whether this process is in a job that lets children leave it.
pub(super) fn may_break_away() -> bool {
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    // SAFETY: a null job means that of this process; the buffer is of the class named and its size is passed along.
    let known = unsafe {
        QueryInformationJobObject(
            null_mut(),
            JobObjectExtendedLimitInformation,
            (&raw mut limits).cast(),
            size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>() as u32,
            null_mut(),
        )
    };
    known != 0 && limits.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_BREAKAWAY_OK != 0
}

/// In the global namespace, so that a lifesign in another session finds it.
fn name(main: Process) -> io::Result<Vec<u16>> {
    wide(format!(r"Global\lifesign-{}-{:x}", main.pid, main.started))
}

fn done(result: windows_sys::core::BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
