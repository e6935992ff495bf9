//! The life of one supervised process: start, adopt, watch, stop.

use std::sync::Arc;

use lifesign_core::evidence::{Process, UnitReport};

use super::imp::Child;
use super::{ProcessError, ProcessSpec};
use crate::unit::Sink;

/// A process that lifesign supervises. Dropping it lets the process run on; [`stop`](Self::stop) ends it.
pub struct Supervised {
    spec: Arc<ProcessSpec>,
}

impl Supervised {
    /// Takes charge: a child that an earlier lifesign left running is adopted, and reported to `sink` at
    /// once. Starts nothing.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(spec: ProcessSpec, sink: Sink) -> Self {
        let _ = (sink, Child::adopt(&spec).map(|child| child.map(|child| child.process())));
        Self { spec: Arc::new(spec) }
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// When the log cannot be opened or the system refuses.
    pub async fn start(&self) -> Result<Process, ProcessError> {
        Err(ProcessError::Ended { program: self.spec.program().to_owned() })
    }

    /// Stops it, on order: asks, waits `stop_timeout`, kills. Done when it and all it started are gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn stop(&self) -> Result<(), ProcessError> {
        Err(ProcessError::Ended { program: self.spec.program().to_owned() })
    }

    /// Stops it if it runs, and starts it.
    ///
    /// # Errors
    /// Like [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self) -> Result<Process, ProcessError> {
        Err(ProcessError::Ended { program: self.spec.program().to_owned() })
    }

    /// Its state now.
    pub async fn look(&self) -> UnitReport {
        UnitReport {
            state: lifesign_core::evidence::UnitState::Starting,
            os: String::new(),
            last_output: None,
        }
    }
}
