//! The service control manager.

use std::time::Duration;

use lifesign_core::evidence::{Process, UnitReport, UnitState};

use super::{Scope, Sink, UnitError};

pub(super) const KIND: &str = "scm";
pub(super) const LIST_COMMAND: &str = "sc query state= all";

const WHY: &str = "not built yet";

#[derive(Clone)]
pub(super) struct Manager;

pub(super) struct Watch;

impl Manager {
    pub(super) fn new(_scope: Scope) -> Self {
        Self
    }

    pub(super) fn watch(&self, _name: &str, _sink: Sink) -> Watch {
        Watch
    }

    pub(super) async fn look(&self, _name: &str) -> UnitReport {
        UnitReport { state: UnitState::CouldNotLook(WHY.to_owned()), os: WHY.to_owned(), last_output: None }
    }

    pub(super) async fn start(&self, _name: &str, _timeout: Duration) -> Result<Option<Process>, UnitError> {
        Err(UnitError::Unreachable { why: WHY.to_owned() })
    }

    pub(super) async fn stop(&self, _name: &str, _timeout: Duration) -> Result<(), UnitError> {
        Err(UnitError::Unreachable { why: WHY.to_owned() })
    }

    pub(super) async fn restart(
        &self,
        _name: &str,
        _timeout: Duration,
    ) -> Result<Option<Process>, UnitError> {
        Err(UnitError::Unreachable { why: WHY.to_owned() })
    }
}
