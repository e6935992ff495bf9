//! A child in a job object of its own.

use std::fs::File;
use std::io;

use lifesign_core::evidence::{Exit, Process};

use super::ProcessSpec;

/// One process and everything it started.
pub(super) struct Child {
    process: Process,
}

impl Child {
    /// Starts it with `log` as standard output and standard error, and writes the state file before it runs.
    pub(super) fn spawn(_spec: &ProcessSpec, _log: File) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The child an earlier lifesign left running: the one the state file names, if its start time still
    /// proves it to be the same. `Ok(None)`: none lives.
    pub(super) fn adopt(_spec: &ProcessSpec) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Which process it is.
    pub(super) fn process(&self) -> Process {
        self.process
    }

    /// Waits until the main process has ended; at once when it has. May be cancelled and called again.
    pub(super) async fn ended(&mut self) -> Exit {
        std::future::pending().await
    }

    /// Asks it to stop (Linux: SIGTERM to the group). Succeeds when it is gone already.
    pub(super) fn ask_to_stop(&self) -> io::Result<()> {
        Ok(())
    }

    /// Kills it with everything it started. Succeeds when it is gone already.
    pub(super) fn kill(&self) -> io::Result<()> {
        Ok(())
    }

    /// After [`ended`](Self::ended): kills what it left behind, frees its number, removes the state file.
    pub(super) fn bury(self, _spec: &ProcessSpec) {}
}
