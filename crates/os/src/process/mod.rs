//! A process that lifesign itself starts, watches and stops.
//!
//! The child must outlive lifesign: when lifesign is killed the service goes on, and the next lifesign
//! finds and adopts it instead of starting a second one. So its output goes straight into a file, never
//! through a pipe that would break; it has a session (Windows: a job) of its own; and a state file beside
//! the log proves which process it is, by number *and* start time.
//!
//! [`supervisor`] holds what both systems share; `imp` holds one child.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

mod log;
mod supervisor;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

pub use supervisor::Supervised;

/// How to run a process.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// The program and its arguments; the program is looked up in `PATH` when it has no separator.
    pub argv: Vec<String>,
    /// Where it runs; `None`: where lifesign runs.
    pub cwd: Option<PathBuf>,
    /// Set on top of lifesign's own environment.
    pub env: Vec<(String, String)>,
    /// How long a stop waits between asking and killing.
    pub stop_timeout: Duration,
    /// Standard output and standard error are appended here. Beside it lie its older half (`.1`) and the
    /// state file (`.state`). The folder must exist.
    pub log: PathBuf,
    /// Most bytes `log` grows to before it becomes `.1` and starts anew, so at most twice this is kept.
    /// Looked at once a second: a flood may overshoot by what it writes in a second.
    pub log_limit: u64,
}

impl ProcessSpec {
    /// The file that names the living child for the next lifesign.
    fn state_file(&self) -> PathBuf {
        let mut name = self.log.clone().into_os_string();
        name.push(".state");
        name.into()
    }

    fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}

/// Arguments and environment may hold secrets, so only the program is shown.
impl fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("program", &self.program())
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// Why a supervised process could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Nothing to run.
    #[error("the command is empty; write the program first, then its arguments")]
    EmptyCommand,
    /// The log cannot be opened, so the process was not started.
    #[error("failed to open the log {path:?} of {program:?}; the process was not started")]
    Log {
        /// The program.
        program: String,
        /// The log file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The system would not start it.
    #[error("failed to start {program:?}")]
    Start {
        /// The program.
        program: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// It lives on although it was killed: it hangs in the kernel, or lifesign has not the right.
    #[error("{program:?} (process {pid}) is still there {after:?} after it was killed")]
    Unkillable {
        /// The program.
        program: String,
        /// Its number.
        pid: u32,
        /// How long was waited after the kill.
        after: Duration,
    },
    /// The supervisor is gone (the runtime is shutting down).
    #[error("the supervisor of {program:?} has ended")]
    Ended {
        /// The program.
        program: String,
    },
}
