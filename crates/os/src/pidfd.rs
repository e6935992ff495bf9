//! A handle on one process that becomes readable the moment it ends (`pidfd_open(2)`).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use lifesign_core::evidence::{Exit, Process};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::proc_stat::Stat;

/// The handle. It means one process for ever, also when the number is given to another.
#[derive(Debug)]
pub(crate) struct PidFd {
    fd: AsyncFd<OwnedFd>,
    process: Process,
}

impl PidFd {
    /// A handle on the process that has the number `pid` now, and its start time.
    ///
    /// # Errors
    /// `ESRCH` or `NotFound` when there is none. One that has ended and was not waited for still counts.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let number = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
        // SAFETY: pidfd_open(2) takes a process number and flags, and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the call above gave this descriptor to us alone; it has set close-on-exec.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // Read after the handle was taken: a number given away in between shows as another start time.
        let stat = Stat::read(pid)?;
        // SAFETY: an OwnedFd keeps its descriptor open and the same until the AsyncFd that holds it is dropped.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { fd, process: Process { pid, started: stat.started } })
    }

    /// Whether [`open`](Self::open) failed because there is no such process.
    pub(crate) fn means_gone(error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::ESRCH) || error.kind() == io::ErrorKind::NotFound
    }

    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Waits until the process has ended; at once when it has. May be cancelled.
    pub(crate) async fn ended(&self) {
        // Readiness is never cleared, so every later wait returns at once too. An error means that the
        // runtime is shutting down; then nothing is known, and the wait never ends.
        if self.fd.readable().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_alive(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll(2) reads and writes one pollfd through a pointer valid for the call; it does not wait.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready == 0
    }

    /// How it ended, if it has ended and is a child of ours that nobody has waited for yet.
    pub(crate) fn cause(&self) -> Option<Exit> {
        // SAFETY: all fields of siginfo_t are plain numbers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = libc::id_t::try_from(self.fd.as_raw_fd()).ok()?;
        // WNOWAIT leaves the zombie, and with it the number of its group, in place.
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: waitid(2) writes one siginfo_t through a pointer valid for the call.
        let failed = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) };
        if failed != 0 {
            return None;
        }
        // SAFETY: waitid(2) filled in the fields of a SIGCHLD, of which the status is one.
        let status = unsafe { info.si_status() };
        match info.si_code {
            libc::CLD_EXITED if status == 0 => Some(Exit::Clean),
            libc::CLD_EXITED => Some(Exit::Code(i64::from(status))),
            libc::CLD_KILLED | libc::CLD_DUMPED => Some(Exit::Signal(status)),
            _ => None,
        }
    }
}
