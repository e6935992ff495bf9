//! A command that runs in our place: as if we were not there.
//!
//! It has our standard input, its output is handed on, signals that reach us reach it, and its end is told as the
//! system tells it. It is not supervised: if we are killed it goes on without us.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;

use lifesign_core::evidence::Exit;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

/// A running command.
#[derive(Debug)]
pub struct Foreground {
    child: Child,
    signals: imp::Signals,
}

impl Foreground {
    /// Starts `program` with `args`; from now on signals end the command and not us.
    ///
    /// # Errors
    /// When the system refuses a signal handler, or the program cannot be started.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<S: AsRef<OsStr>>(program: &OsStr, args: &[S]) -> io::Result<Self> {
        let signals = imp::Signals::new()?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::inherit())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { child, signals })
    }

    /// Its standard output and standard error, once.
    pub fn output(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        self.child.stdout.take().zip(self.child.stderr.take())
    }

    /// Waits for its end, and passes signals on meanwhile.
    ///
    /// # Errors
    /// When the system does not tell of its end.
    pub async fn ended(&mut self) -> io::Result<Exit> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status.map(imp::exit),
                signal = self.signals.next() => {
                    if let Some(pid) = self.child.id() {
                        imp::pass(pid, signal);
                    }
                }
            }
        }
    }

    /// Once it has ended: waits until we are asked to end ourselves.
    pub async fn asked_to_end(&mut self) {
        self.signals.next().await;
    }
}

/// The exit code by which we stand for a command that ended so: its own; 128 and the signal's number as shells
/// have it; 126 or 127 where it could not be started.
pub fn exit_code(exit: &Exit) -> i32 {
    match exit {
        Exit::Clean => 0,
        Exit::Code(code) => imp::code(*code),
        Exit::Signal(signal) => 128 + signal,
        Exit::StartFailed(_) => 127,
        Exit::Watchdog | Exit::Unseen => 1,
    }
}
