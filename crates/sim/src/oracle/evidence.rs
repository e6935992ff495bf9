//! What the sources of evidence of a service have said, counted a second time: the results of each check, the
//! process and the state of its unit. The engine's view is held against it after each piece of news.
//!
//! Written after the contract, not after the engine: a check turns when the last `rise` or `fall` results were
//! equal (the first pass is enough), a failure before the first verdict does not count in the time of a start,
//! and another process begins with nothing.

use std::time::Duration;

use lifesign_core::evidence::{CheckOutcome, UnitState};
use lifesign_core::model::{CheckKind, CheckState};
use lifesign_core::spec::ServiceSpec;
use lifesign_core::view::ServiceView;

/// The results of one check since its process began.
#[derive(Debug, Clone, Copy, Default)]
struct Results {
    /// What they come to.
    passes: Option<bool>,
    /// The last result, and how many like it came in a row.
    row: Option<(bool, u32)>,
}

impl Results {
    fn take(&mut self, pass: bool, rise: u32, fall: u32) {
        let row = match self.row {
            Some((last, count)) if last == pass => count + 1,
            _ => 1,
        };
        self.row = Some((pass, row));
        let enough = if pass { self.passes.is_none() || row >= rise } else { row >= fall };
        if enough {
            self.passes = Some(pass);
        }
    }

    fn state(self) -> CheckState {
        match self.passes {
            Some(true) => CheckState::Pass,
            Some(false) => CheckState::Fail,
            None => CheckState::Pending,
        }
    }
}

/// What is known of one service in this life of lifesign.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    checks: Vec<Results>,
    /// The process of its unit, and the run time at which it was first seen.
    pub(super) process: Option<u32>,
    pub(super) process_since: Duration,
    /// Whether another one was known before it.
    pub(super) is_another: bool,
    /// Whether it is known to have started in this life.
    pub(super) is_new: bool,
    /// What its unit was last said to be.
    pub(super) unit: Option<UnitState>,
}

impl Evidence {
    /// Lifesign starts and knows nothing.
    pub(super) fn of_a_new_life(spec: &ServiceSpec, run: Duration) -> Self {
        Self { checks: vec![Results::default(); spec.checks.len()], process_since: run, ..Self::default() }
    }

    /// News of the unit. Returns whether a process was seen that was not known.
    pub(super) fn unit(&mut self, state: &UnitState, run: Duration) -> bool {
        let stopped = self.unit.as_ref().is_some_and(|unit| !matches!(unit, UnitState::Running(_)));
        self.unit = Some(state.clone());
        let UnitState::Running(Some(process)) = state else { return false };
        if self.process == Some(process.pid) {
            return false;
        }
        self.is_new = self.process.is_some() || stopped;
        if self.is_new {
            self.checks.fill(Results::default());
        }
        self.is_another = self.process.is_some();
        self.process = Some(process.pid);
        self.process_since = run;
        true
    }

    /// A restart that was ordered is done. Returns whether its process was not known yet.
    pub(super) fn restarted(&mut self, pid: u32, run: Duration) -> bool {
        if self.unit.is_some() {
            self.unit = Some(UnitState::Running(None));
        }
        if self.process == Some(pid) {
            return false;
        }
        self.checks.fill(Results::default());
        self.is_new = true;
        self.is_another = self.process.is_some();
        self.process = Some(pid);
        self.process_since = run;
        true
    }

    /// A check ended.
    pub(super) fn check(&mut self, spec: &ServiceSpec, check: u16, outcome: CheckOutcome, run: Duration) {
        let place = usize::from(check);
        let (Some(results), Some(check)) = (self.checks.get_mut(place), spec.checks.get(place)) else {
            return;
        };
        let pass = match outcome {
            CheckOutcome::Pass => true,
            CheckOutcome::Fail(_) => false,
            CheckOutcome::Unknown => return,
        };
        let starting = spec.unit.is_some() && run < self.process_since + spec.start_grace;
        if pass || results.passes.is_some() || !starting {
            results.take(pass, check.rise, check.fall);
        }
    }

    /// Whether the unit is between two states.
    pub(super) fn is_changing(&self) -> bool {
        matches!(self.unit, Some(UnitState::Starting | UnitState::Stopping))
    }

    /// Whether some check fails.
    pub(super) fn any_fails(&self) -> bool {
        self.checks.iter().any(|check| check.passes == Some(false))
    }

    /// Whether the last result of every check was a pass.
    pub(super) fn all_passed_last(&self) -> bool {
        self.checks.iter().all(|check| check.row.is_some_and(|(pass, _)| pass))
    }

    /// Whether every check that must has passed `rise` times in a row. One address of several may fail.
    pub(super) fn has_risen(&self, spec: &ServiceSpec) -> bool {
        self.checks.iter().zip(&spec.checks).all(|(results, check)| {
            let alone = spec.checks.iter().filter(|other| other.group == check.group).count() == 1;
            let risen = results.row.is_some_and(|(pass, row)| pass && row >= check.rise);
            risen || (!alone && results.passes != Some(true))
        })
    }

    /// What the engine shows of the checks must be what they said.
    ///
    /// # Errors
    /// The first check of which it shows something else.
    pub(super) fn compare(&self, view: &ServiceView) -> Result<(), String> {
        let probes =
            view.checks.iter().filter(|check| !matches!(check.kind, CheckKind::Unit | CheckKind::Heartbeat));
        for (check, results) in probes.zip(&self.checks) {
            if check.state != results.state() {
                return Err(format!(
                    "{} shows {:?} for its check {}, and its results ({:?}) say {:?}",
                    view.id,
                    check.state,
                    check.name,
                    results.row,
                    results.state()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(results: &str, rise: u32, fall: u32) -> CheckState {
        let mut check = Results::default();
        results.chars().for_each(|result| check.take(result == '+', rise, fall));
        check.state()
    }

    #[test]
    fn a_check_turns_when_enough_equal_results_came_in_a_row() {
        assert_eq!(said("", 2, 3), CheckState::Pending);
        assert_eq!(said("+", 2, 3), CheckState::Pass);
        assert_eq!(said("--", 2, 3), CheckState::Pending);
        assert_eq!(said("+--+--", 2, 3), CheckState::Pass);
        assert_eq!(said("+---", 2, 3), CheckState::Fail);
        assert_eq!(said("---+-+", 2, 3), CheckState::Fail);
        assert_eq!(said("---++", 2, 3), CheckState::Pass);
    }
}
