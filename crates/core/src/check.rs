//! One probe over time: `rise` and `fall`.
//!
//! The rule is HAProxy's counter (`src/check.c`): one contrary result cancels the progress, so `rise` and
//! `fall` count results *in a row*. The first verdict follows Envoy: the first pass is enough, the first
//! failure needs the full `fall`. A result that is *unknown* changes nothing.

use crate::evidence::{CheckOutcome, CheckReport, FailKind};
use crate::model::CheckState;
use crate::mutation::{Rule, on};
use crate::time::Wall;

/// How one probe stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct CheckRun {
    verdict: Option<bool>,
    /// Results in a row that contradict the verdict.
    contrary: u32,
    /// Passes in a row since the service's process last changed.
    passes: u32,
    kind: Option<FailKind>,
    bad_since: Option<Wall>,
    last: Option<(Wall, CheckReport)>,
}

impl CheckRun {
    /// Takes a result. `counts` is false while a failure is not held against the service (start grace).
    pub(crate) fn take(&mut self, at: Wall, report: CheckReport, rise: u32, fall: u32, counts: bool) {
        match report.outcome {
            CheckOutcome::Pass => {
                self.passes = self.passes.saturating_add(1);
                match self.verdict {
                    Some(true) if on(Rule::PassCancels) => self.contrary = 0,
                    Some(true) => {}
                    None => self.settle(true),
                    Some(false) => {
                        self.contrary += 1;
                        if self.contrary >= rise {
                            self.settle(true);
                        }
                    }
                }
                if self.verdict == Some(true) {
                    self.bad_since = None;
                }
            }
            CheckOutcome::Fail(kind) => {
                self.passes = 0;
                if counts {
                    self.bad_since.get_or_insert(at);
                    self.kind = Some(kind);
                    if self.verdict == Some(false) {
                        self.contrary = 0;
                    } else {
                        self.contrary += 1;
                        if self.contrary >= fall || !on(Rule::Fall) {
                            self.settle(false);
                        }
                    }
                }
            }
            CheckOutcome::Unknown => {}
        }
        self.last = Some((at, report));
    }

    fn settle(&mut self, verdict: bool) {
        self.verdict = Some(verdict);
        self.contrary = 0;
    }

    /// Starts from nothing: another process answers from now on.
    pub(crate) fn forget(&mut self) {
        let last = self.last.take();
        *self = Self { last, ..Self::default() };
    }

    /// The verdict: passing, failing, or none yet.
    pub(crate) fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// Passes in a row since the process last changed.
    pub(crate) fn passes(&self) -> u32 {
        self.passes
    }

    /// Results in a row that contradict the verdict, as far as they go.
    pub(crate) fn contrary(&self) -> u32 {
        self.contrary
    }

    /// How the last counted failure failed.
    pub(crate) fn fail_kind(&self) -> Option<FailKind> {
        self.kind
    }

    /// First failure of the present bad stretch.
    pub(crate) fn bad_since(&self) -> Option<Wall> {
        self.bad_since
    }

    /// The last result and when it came.
    pub(crate) fn last(&self) -> Option<&(Wall, CheckReport)> {
        self.last.as_ref()
    }

    /// Whether the probe never could look so far.
    pub(crate) fn is_blind(&self) -> bool {
        self.verdict.is_none()
            && self.last.as_ref().is_some_and(|(_, report)| report.outcome == CheckOutcome::Unknown)
    }

    /// The state as people see it.
    pub(crate) fn state(&self) -> CheckState {
        match (self.verdict, &self.last) {
            (_, Some((_, report))) if report.outcome == CheckOutcome::Unknown => CheckState::Unknown,
            (Some(true), _) => CheckState::Pass,
            (Some(false), _) => CheckState::Fail,
            (None, _) => CheckState::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::Phases;

    fn report(outcome: CheckOutcome) -> CheckReport {
        CheckReport { outcome, output: String::new(), phases: Phases::default(), components: Vec::new() }
    }

    fn run(outcomes: &str, rise: u32, fall: u32) -> Option<bool> {
        let mut check = CheckRun::default();
        for (at, outcome) in outcomes.chars().enumerate() {
            let outcome = match outcome {
                '+' => CheckOutcome::Pass,
                '-' => CheckOutcome::Fail(FailKind::Refused),
                _ => CheckOutcome::Unknown,
            };
            check.take(Wall::from_millis(at as i64), report(outcome), rise, fall, true);
        }
        check.verdict()
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        assert_eq!(run("", 2, 3), None);
        assert_eq!(run("+", 2, 3), Some(true));
        assert_eq!(run("--", 2, 3), None);
        assert_eq!(run("---", 2, 3), Some(false));
        assert_eq!(run("+--", 2, 3), Some(true));
        assert_eq!(run("+--+--", 2, 3), Some(true));
        assert_eq!(run("+---", 2, 3), Some(false));
        assert_eq!(run("---+", 2, 3), Some(false));
        assert_eq!(run("---+-+", 2, 3), Some(false));
        assert_eq!(run("---++", 2, 3), Some(true));
        assert_eq!(run("--?-", 2, 3), Some(false), "an unknown result changes nothing");
    }

    /// HAProxy's counter, written as in its source, as the reference.
    fn haproxy(outcomes: &[bool], rise: u32, fall: u32) -> bool {
        let mut health = rise + fall - 1;
        for pass in outcomes {
            if *pass {
                health += 1;
                if health >= rise {
                    health = rise + fall - 1;
                }
            } else if health > 0 {
                health -= 1;
                if health < rise {
                    health = 0;
                }
            }
        }
        health >= rise
    }

    proptest! {
        #[test]
        fn after_a_first_pass_it_is_haproxys_counter(
            outcomes in prop::collection::vec(any::<bool>(), 0..60), rise in 1u32..6, fall in 1u32..6,
        ) {
            let mut check = CheckRun::default();
            check.take(Wall::default(), report(CheckOutcome::Pass), rise, fall, true);
            for pass in &outcomes {
                let outcome = if *pass { CheckOutcome::Pass } else { CheckOutcome::Fail(FailKind::Wrong) };
                check.take(Wall::default(), report(outcome), rise, fall, true);
            }
            prop_assert_eq!(check.verdict(), Some(haproxy(&outcomes, rise, fall)));
        }
    }
}
