//! A handle on one process that becomes readable the moment it ends (`pidfd_open(2)`).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use lifesign_core::evidence::{Exit, Process};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::proc_stat::Stat;

/// The first form of the kernel's `struct pidfd_info` (`linux/pidfd.h`); later ones only add to its end.
#[repr(C)]
struct PidFdInfo {
    mask: u64,
    /// Cgroup, numbers and owners of the process.
    unused: [u32; 13],
    exit_code: i32,
}

/// `_IOWR(0xFF, 11, struct pidfd_info)` in its first form of 64 bytes.
const PIDFD_GET_INFO: libc::Ioctl = 0xC040_FF0B_u32 as libc::Ioctl;
/// `exit_code` is wanted, or given.
const PIDFD_INFO_EXIT: u64 = 1 << 3;
const _: () = assert!(size_of::<PidFdInfo>() == 64);

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

    /// The signal that ended it, if one did and the system tells us; it need not be a child of ours.
    ///
    /// Until somebody has waited for it `/proc` tells, after that the handle itself (Linux 6.15).
    pub(crate) fn killed_by(&self) -> Option<i32> {
        let status = self
            .status_of_reaped()
            .or_else(|| self.status_of_zombie())
            .or_else(|| self.status_of_reaped())?;
        libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
    }

    fn status_of_zombie(&self) -> Option<i32> {
        let stat = Stat::read(self.process.pid).ok()?;
        (stat.started == self.process.started && stat.is_dead()).then_some(stat.exit)
    }

    fn status_of_reaped(&self) -> Option<i32> {
        let mut info = PidFdInfo { mask: PIDFD_INFO_EXIT, unused: [0; 13], exit_code: 0 };
        // SAFETY: the kernel writes at most the size that is part of the request's number: one PidFdInfo.
        let failed = unsafe { libc::ioctl(self.fd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
        (failed == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn the_signal_that_ended_a_stranger_is_known_before_and_after_somebody_has_waited_for_it() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let handle = PidFd::open(child.id()).unwrap();
        assert_eq!(handle.killed_by(), None, "it lives");
        child.kill().unwrap();
        handle.ended().await;
        assert_eq!(handle.killed_by(), Some(libc::SIGKILL));
        child.wait().unwrap();
        // Kernels before 6.15 do not say.
        assert!(matches!(handle.killed_by(), Some(libc::SIGKILL) | None));
    }

    #[tokio::test]
    async fn an_exit_is_no_signal() {
        let mut child = Command::new("sh").args(["-c", "exit 9"]).spawn().unwrap();
        let handle = PidFd::open(child.id());
        if let Ok(handle) = handle {
            handle.ended().await;
            assert_eq!(handle.killed_by(), None);
        }
        child.wait().unwrap();
    }
}
