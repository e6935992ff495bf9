//! Signals are passed on one by one, unless the terminal has sent them to both of us.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use lifesign_core::evidence::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are passed on: those people and service managers send.
const PASSED: &[libc::c_int] =
    &[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// Those a terminal sends to every process in its foreground.
const FROM_TERMINAL: &[libc::c_int] = &[libc::SIGINT, libc::SIGQUIT];

#[derive(Debug)]
pub(super) struct Signals(Vec<(libc::c_int, Signal)>);

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        // What was ignored before us (`nohup`) stays so, for the command too.
        let heard = PASSED.iter().filter(|number| !is_ignored(**number));
        heard
            .map(|number| Ok((*number, signal(SignalKind::from_raw(*number))?)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// The number of the next one.
    pub(super) async fn next(&mut self) -> libc::c_int {
        std::future::poll_fn(|cx| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

fn is_ignored(number: libc::c_int) -> bool {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the call only writes the present one into `old`.
    let done = unsafe { libc::sigaction(number, std::ptr::null(), old.as_mut_ptr()) };
    // SAFETY: zeroed, and so valid even where the call failed: the struct is numbers and a nullable pointer.
    let old = unsafe { old.assume_init() };
    done == 0 && old.sa_sigaction == libc::SIG_IGN
}

/// Sends `number` to the command, which has not been waited for yet, so that its number is still its own.
pub(super) fn pass(pid: u32, number: libc::c_int) {
    if FROM_TERMINAL.contains(&number) && in_foreground() {
        return;
    }
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: a plain system call; a process that is gone by now is an error that means nothing.
        unsafe { libc::kill(pid, number) };
    }
}

/// Whether a terminal sends its signals to us, and so to the command as well, which is in our process group.
fn in_foreground() -> bool {
    // SAFETY: takes and gives plain numbers; without a terminal it gives -1.
    let foreground = unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) };
    // SAFETY: takes nothing and cannot fail.
    let ours = unsafe { libc::getpgrp() };
    foreground == ours
}

pub(super) fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(0), _) => Exit::Clean,
        (Some(code), _) => Exit::Code(i64::from(code)),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unseen,
    }
}

pub(super) fn code(code: i64) -> i32 {
    i32::try_from(code).unwrap_or(1)
}
