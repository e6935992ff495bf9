//! Restarting within limits: back-off, budget, proof.
//!
//! The *n*-th restart of one incident waits `backoff_min · 2ⁿ⁻¹`, at most `backoff_max`. No more than
//! `budget` restarts start within `window`; a further one waits until the oldest leaves the window.
//! A restart is only over when it is *proven*: another process, every check passing `rise` times, and
//! alive for `prove_for`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::mutation::{Rule, on};
use crate::spec::RestartSpec;
use crate::time::Mono;

/// How long an action may stay without an answer before it counts as failed.
pub(crate) const ACTION_TIMEOUT: Duration = Duration::from_secs(240);

/// How long after a restart that was refused the next try comes at the earliest: what stands in its way, an update or
/// a shutdown, takes its time.
pub(crate) const REFUSED_WAIT: Duration = Duration::from_secs(10);

/// How long a restart ordered by an earlier life of lifesign has to show its end.
pub(crate) const RESUMED_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the remedy of one service stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Step {
    /// Nothing to do.
    #[default]
    Idle,
    /// A restart will start at this time.
    Scheduled(Mono),
    /// Held back: the budget is used up until this time.
    Withheld(Mono),
    /// Ordered, no answer yet.
    Running {
        /// The action's id.
        id: Arc<str>,
        /// When it counts as failed.
        until: Mono,
    },
    /// Done; the new process must prove itself.
    Proving,
}

/// The remedy of one service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remedy {
    /// Where it stands.
    pub(crate) step: Step,
    /// Restarts of the present incident so far.
    pub(crate) attempts: u32,
    /// Restarts inside the window, oldest first.
    restarts: VecDeque<Mono>,
    /// Who ordered the restart that is scheduled or runs.
    pub(crate) by: Option<Arc<str>>,
    /// Whether a rule wants the scheduled restart although the service is not down.
    pub(crate) forced: bool,
    /// What the restart under way is, for the day it is refused.
    running: Charge,
    /// Why the last try was refused, and how many in a row were.
    refusal: Option<(String, u32)>,
}

/// What a restart under way has been charged with.
#[derive(Debug, Clone, Copy, Default)]
struct Charge {
    /// It counts against the budget.
    counts: bool,
    /// A rule wanted it.
    forced: bool,
}

impl Remedy {
    /// Schedules the next restart. Returns when it starts, and whether the budget holds it back.
    pub(crate) fn schedule(&mut self, now: Mono, spec: &RestartSpec, by: &Arc<str>) -> (Mono, bool) {
        let wait = backoff(spec, self.attempts);
        let at = now + wait;
        // Those that have left the window by now; a shorter wait may yet need those that will have left it by then.
        while self.restarts.front().is_some_and(|oldest| *oldest + spec.window <= now) {
            self.restarts.pop_front();
        }
        let used = self.used(at, spec.window);
        self.by = Some(Arc::clone(by));
        if used < spec.budget || !on(Rule::Budget) {
            self.step = Step::Scheduled(at);
            return (at, false);
        }
        // The restart that must leave the window so that one more fits; a budget of nothing never frees.
        let index = (spec.budget > 0).then(|| self.restarts.len().saturating_sub(spec.budget as usize));
        let free = index
            .and_then(|index| self.restarts.get(index))
            .map_or(Mono::NEVER, |oldest| *oldest + spec.window);
        self.step = Step::Withheld(free.max(at));
        (free.max(at), true)
    }

    /// The restart begins. `counts`: it is charged to the budget.
    pub(crate) fn begin(&mut self, now: Mono, id: Arc<str>, counts: bool) {
        self.attempts = self.attempts.saturating_add(1);
        if counts {
            self.restarts.push_back(now);
        }
        self.running = Charge { counts, forced: self.forced };
        self.forced = false;
        self.step = Step::Running { id, until: now + ACTION_TIMEOUT };
    }

    /// Somebody else restarted it: that is charged as well.
    pub(crate) fn charge(&mut self, now: Mono) {
        self.restarts.push_back(now);
    }

    /// The restart under way was refused, and nothing was touched: as if it had never begun. Returns when it is tried
    /// again; one that a person ordered is not, that person has been told.
    pub(crate) fn refuse(&mut self, now: Mono, spec: Option<&RestartSpec>, why: &str) -> Option<Mono> {
        let Charge { counts, forced } = std::mem::take(&mut self.running);
        let in_a_row = self.refusal.as_ref().map_or(0, |(_, count)| *count);
        self.refusal = Some((why.to_owned(), in_a_row.saturating_add(1)));
        self.attempts = self.attempts.saturating_sub(1);
        self.step = Step::Idle;
        if !counts {
            return None;
        }
        self.restarts.pop_back();
        let at = now + backoff(spec?, in_a_row).max(REFUSED_WAIT);
        self.forced = forced;
        self.step = Step::Scheduled(at);
        Some(at)
    }

    /// The restart under way was carried out or has failed: what was refused before is over.
    pub(crate) fn answered(&mut self) {
        self.refusal = None;
    }

    /// Why the last try was refused, as long as no other has been made.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_ref().map(|(why, _)| why.as_str())
    }

    /// A restart that an earlier life of lifesign ordered may still be under way; nobody will answer for it.
    pub(crate) fn resume(&mut self, now: Mono) {
        self.step = Step::Running { id: "".into(), until: now + RESUMED_TIMEOUT };
    }

    /// Whether the restart under way is one of an earlier life: it explains an ordered stop, and no other.
    pub(crate) fn is_resumed(&self) -> bool {
        matches!(&self.step, Step::Running { id, .. } if id.is_empty())
    }

    /// The incident is over, or nothing is wanted any more. A restart that has been ordered goes on all the
    /// same: until it is answered, a stop is its doing and nobody's wish.
    pub(crate) fn rest(&mut self) {
        self.attempts = 0;
        self.forced = false;
        self.refusal = None;
        if !self.is_running() || !on(Rule::RestartOutlives) {
            self.step = Step::Idle;
            self.by = None;
        }
    }

    /// Whether a restart has been ordered and not answered.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.step, Step::Running { .. })
    }

    /// When the engine must look again.
    pub(crate) fn next_deadline(&self) -> Mono {
        match self.step {
            Step::Idle | Step::Proving => Mono::NEVER,
            Step::Scheduled(at) | Step::Withheld(at) => at,
            Step::Running { .. } if !on(Rule::ActionTimeout) => Mono::NEVER,
            Step::Running { until, .. } => until,
        }
    }

    /// How many restarts lie inside the window at `now`.
    pub(crate) fn used(&self, now: Mono, window: Duration) -> u32 {
        let inside = self.restarts.iter().filter(|at| **at + window > now).count();
        u32::try_from(inside).unwrap_or(u32::MAX)
    }

    /// The restarts inside the window, oldest first.
    pub(crate) fn restarts(&self) -> impl Iterator<Item = Mono> + '_ {
        self.restarts.iter().copied()
    }

    /// Takes over restarts of an earlier life.
    pub(crate) fn restore(&mut self, restarts: impl Iterator<Item = Mono>) {
        self.restarts = restarts.collect();
    }
}

/// The wait before restart number `attempts + 1`.
pub(crate) fn backoff(spec: &RestartSpec, attempts: u32) -> Duration {
    let factor = 1u32.checked_shl(attempts).unwrap_or(u32::MAX);
    spec.backoff_min.saturating_mul(factor.max(1)).min(spec.backoff_max.max(spec.backoff_min))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(budget: u32) -> RestartSpec {
        RestartSpec {
            budget,
            window: Duration::from_secs(600),
            backoff_min: Duration::from_secs(10),
            backoff_max: Duration::from_secs(300),
            prove_for: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_wait_doubles_up_to_the_maximum() {
        let waits: Vec<u64> = (0..8).map(|attempt| backoff(&spec(3), attempt).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(backoff(&spec(3), 500).as_secs(), 300);
    }

    #[test]
    fn a_budget_of_nothing_never_restarts() {
        let mut remedy = Remedy::default();
        assert_eq!(remedy.schedule(Mono::ZERO, &spec(0), &"remediation".into()), (Mono::NEVER, true));
    }

    #[test]
    fn a_plan_that_came_to_nothing_frees_no_budget() {
        let by: Arc<str> = "remediation".into();
        let mut remedy = Remedy::default();
        for _ in 0..5 {
            remedy.begin(Mono::ZERO, "a".into(), true);
        }
        // Five minutes of back-off reach beyond the window, and the service recovers before they are over.
        let now = Mono::ZERO + Duration::from_secs(400);
        assert_eq!(remedy.schedule(now, &spec(1), &by), (now + Duration::from_secs(300), false));
        remedy.step = Step::Idle;
        remedy.attempts = 0;
        let (at, held) = remedy.schedule(now, &spec(1), &by);
        assert_eq!((at, held), (Mono::ZERO + Duration::from_secs(600), true));
    }

    proptest! {
        /// However often it is asked, no window ever holds more restarts than the budget.
        #[test]
        fn the_budget_holds_in_every_window(budget in 1u32..5, waits in prop::collection::vec(0u64..200, 1..60)) {
            let spec = spec(budget);
            let by: Arc<str> = "remediation".into();
            let mut remedy = Remedy::default();
            let mut now = Mono::ZERO;
            let mut begun = Vec::new();
            for wait in waits {
                now = now + Duration::from_secs(wait);
                let (at, held) = remedy.schedule(now, &spec, &by);
                if held {
                    now = at;
                    remedy.schedule(now, &spec, &by);
                }
                if let Step::Scheduled(at) = remedy.step {
                    now = at;
                    remedy.begin(now, "a".into(), true);
                    begun.push(now);
                }
            }
            for (index, at) in begun.iter().enumerate() {
                let inside = begun[..=index].iter().filter(|other| **other + spec.window > *at).count();
                prop_assert!(inside <= budget as usize, "{inside} within the window");
            }
        }
    }
}
