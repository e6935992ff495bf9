//! Asking a console program to stop: Ctrl-Break to its process group.
//!
//! The event travels through a console. A child of a lifesign that has one shares it. A service has none, and
//! gives its children consoles of their own; to reach one of those it enters that console for a moment.
//! <https://learn.microsoft.com/windows/console/generateconsolectrlevent>

use std::io;
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Console::{
    AttachConsole, CTRL_BREAK_EVENT, FreeConsole, GenerateConsoleCtrlEvent, GetConsoleProcessList,
    GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetStdHandle,
};

/// A process is in one console at a time, so one child is asked after the other.
static IN_FOREIGN_CONSOLE: Mutex<()> = Mutex::new(());

/// The processes that share this process's console.
pub(super) struct Console(Vec<u32>);

impl Console {
    /// The console of this process, if it has one.
    pub(super) fn of_this_process() -> Option<Self> {
        let mut pids = vec![0; 16];
        loop {
            let room = u32::try_from(pids.len()).unwrap_or(u32::MAX);
            // SAFETY: at most `room` numbers are written to the buffer of that length.
            let count = unsafe { GetConsoleProcessList(pids.as_mut_ptr(), room) };
            if count == 0 {
                return None;
            }
            let fits = count <= room;
            pids.resize(count as usize, 0);
            if fits {
                return Some(Self(pids));
            }
        }
    }
}

/// Sends Ctrl-Break to the process group that `pid` leads.
///
/// # Errors
/// When it cannot be reached: it has no console, or another one than lifesign, which has one too.
pub(super) fn send_break(pid: u32) -> io::Result<()> {
    let _one_at_a_time = IN_FOREIGN_CONSOLE.lock().unwrap_or_else(PoisonError::into_inner);
    match Console::of_this_process() {
        Some(ours) if ours.0.contains(&pid) => generate(pid),
        Some(_) => Err(io::Error::other("it runs in another console")),
        None => {
            let _visit = Visit::enter(pid)?;
            generate(pid)
        }
    }
}

fn generate(group: u32) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    if unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Being in the console of another process. The standard handles, which entering may replace, come back with the
/// drop.
struct Visit([(u32, HANDLE); 3]);

impl Visit {
    fn enter(pid: u32) -> io::Result<Self> {
        let kept = [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].map(|which| {
            // SAFETY: takes a plain number.
            (which, unsafe { GetStdHandle(which) })
        });
        // SAFETY: takes a plain number; this process has no console.
        if unsafe { AttachConsole(pid) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(kept))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // SAFETY: this process is in a console that it entered itself.
        unsafe { FreeConsole() };
        for (which, handle) in self.0 {
            // SAFETY: the handle is the one that stood there before.
            unsafe { SetStdHandle(which, handle) };
        }
    }
}
