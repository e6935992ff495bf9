//! From evidence to verdict: the table.
//!
//! Three kinds of evidence speak about a service: what the OS says of its unit, its heartbeat, and the
//! probes. Where they contradict each other, the contradiction has a name: a unit that runs while its
//! heart is silent is *hung*; a heart that beats while the port refuses is *degraded*. [`judge`] is the
//! whole rule, one arm per row, and the table in the tests is the contract's.

use crate::model::{Reason, State};
use crate::mutation::{Rule, on};

/// What the unit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitEvidence {
    /// The service has no unit.
    None,
    /// Nobody has looked yet.
    Waiting,
    /// The observer could not look.
    Blind,
    /// It runs.
    Running,
    /// It is between two states: wait for what comes of it.
    Changing,
    /// It does not run, for this reason ([`Reason::StoppedByOperator`] when that was ordered).
    Stopped(Reason),
}

/// What the heartbeat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartEvidence {
    /// None is expected.
    None,
    /// None heard yet, and it still has its fair chance.
    Waiting,
    /// It beats.
    Beating,
    /// Overdue.
    Late,
    /// It beats, and the work it counts stands still.
    Stuck,
    /// Given up.
    Silent,
    /// The service itself says that it fails.
    Failing,
    /// The service itself says that it is about to stop.
    Stopping,
}

/// What the reports of a job's runs say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEvidence {
    /// No run has ended yet, and none is overdue.
    Waiting,
    /// The last run that ended succeeded.
    Ok,
    /// The last run that ended failed, for this reason.
    Failed(Reason),
    /// No run was heard of in time.
    Overdue,
    /// A run takes longer than it may.
    TooLong,
}

/// What the probes say, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeEvidence {
    /// There are none.
    None,
    /// No verdict yet.
    Waiting,
    /// None of them could look.
    Blind,
    /// All pass.
    Pass,
    /// All pass, and an answer names a component that is down.
    ComponentDown,
    /// Some addresses fail, and enough of them still pass.
    Partly,
    /// Not enough pass: those that fail give no answer in time.
    TimedOut,
    /// Not enough pass: refused, or answered wrongly.
    Failing,
}

impl ProbeEvidence {
    /// Whether something answers as it should.
    pub const fn is_favourable(self) -> bool {
        matches!(self, Self::Pass | Self::ComponentDown | Self::Partly)
    }
}

/// State and reason; `state` is `None` when the evidence does not (yet) carry a judgement, so that what was
/// true stays true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The state, if the evidence is enough for one.
    pub state: Option<State>,
    /// Its reason.
    pub reason: Option<Reason>,
}

impl Verdict {
    const UP: Self = Self { state: Some(State::Up), reason: None };
    const OPEN: Self = Self { state: None, reason: None };
    const BLIND: Self = Self { state: Some(State::Unknown), reason: Some(Reason::ObserverStalled) };

    const fn down(reason: Reason) -> Self {
        Self { state: Some(State::Down), reason: Some(reason) }
    }

    const fn degraded(reason: Reason) -> Self {
        Self { state: Some(State::Degraded), reason: Some(reason) }
    }
}

/// The verdict table of the contract.
pub fn judge(unit: UnitEvidence, heart: HeartEvidence, probes: ProbeEvidence) -> Verdict {
    match unit {
        UnitEvidence::Stopped(reason) if on(Rule::UnitStopped) => return Verdict::down(reason),
        UnitEvidence::Stopped(_) => {}
        UnitEvidence::Changing if !on(Rule::ChangingIsOpen) => return Verdict::down(Reason::Exited),
        UnitEvidence::Changing | UnitEvidence::Waiting => return Verdict::OPEN,
        UnitEvidence::None | UnitEvidence::Blind | UnitEvidence::Running => {}
    }
    let running = unit == UnitEvidence::Running;
    match heart {
        HeartEvidence::Failing if !on(Rule::FailIsDown) => Verdict::UP,
        HeartEvidence::Failing => Verdict::down(Reason::CheckFailed),
        // Alive by every other sign, and doing nothing: that is what hung means.
        HeartEvidence::Stuck if !on(Rule::StuckIsDown) => Verdict::UP,
        HeartEvidence::Stuck => Verdict::down(Reason::Hung),
        // A running unit that announced its stop is on its way; without a unit the word is all there is.
        HeartEvidence::Stopping if running => Verdict::OPEN,
        HeartEvidence::Stopping if !on(Rule::StoppingIsNoDeath) => Verdict::down(Reason::Exited),
        HeartEvidence::Stopping => Verdict::down(Reason::StoppedByOperator),
        HeartEvidence::Silent if !on(Rule::SilentIsDown) => Verdict::OPEN,
        HeartEvidence::Silent => match probes {
            _ if running => Verdict::down(Reason::Hung),
            // Something answers, so something runs: it only has no heartbeat any more.
            ProbeEvidence::Pass | ProbeEvidence::ComponentDown | ProbeEvidence::Partly => {
                Verdict::down(Reason::Hung)
            }
            ProbeEvidence::None
            | ProbeEvidence::Waiting
            | ProbeEvidence::Blind
            | ProbeEvidence::TimedOut
            | ProbeEvidence::Failing => Verdict::down(Reason::MissedHeartbeat),
        },
        HeartEvidence::Late if !on(Rule::LateIsSuspect) => Verdict::down(Reason::MissedHeartbeat),
        HeartEvidence::Late => Verdict { state: Some(State::Suspect), reason: Some(Reason::MissedHeartbeat) },
        HeartEvidence::Beating => match probes {
            ProbeEvidence::Waiting => Verdict::OPEN,
            // The heart is proof enough while the probes cannot look.
            ProbeEvidence::None | ProbeEvidence::Pass | ProbeEvidence::Blind => Verdict::UP,
            ProbeEvidence::ComponentDown => Verdict::degraded(Reason::ComponentDown),
            ProbeEvidence::TimedOut | ProbeEvidence::Failing if !on(Rule::HeartBesideProbes) => {
                Verdict::down(Reason::CheckFailed)
            }
            ProbeEvidence::Partly | ProbeEvidence::TimedOut | ProbeEvidence::Failing => {
                Verdict::degraded(Reason::CheckFailed)
            }
        },
        HeartEvidence::Waiting => match probes {
            ProbeEvidence::TimedOut | ProbeEvidence::Failing => without_heart(unit, probes),
            ProbeEvidence::None
            | ProbeEvidence::Waiting
            | ProbeEvidence::Blind
            | ProbeEvidence::Pass
            | ProbeEvidence::ComponentDown
            | ProbeEvidence::Partly => Verdict::OPEN,
        },
        HeartEvidence::None => without_heart(unit, probes),
    }
}

/// The verdict on a job. That its unit does not run is how a job mostly is; that its unit failed is not.
pub fn judge_job(unit: UnitEvidence, job: JobEvidence, probes: ProbeEvidence) -> Verdict {
    let heart = match (job, unit) {
        (JobEvidence::TooLong, _) => return Verdict::down(Reason::Hung),
        (JobEvidence::Overdue, _) => return Verdict::down(Reason::MissedHeartbeat),
        (JobEvidence::Failed(reason), _) => return Verdict::down(reason),
        (
            JobEvidence::Waiting | JobEvidence::Ok,
            UnitEvidence::Stopped(reason @ (Reason::Crashed | Reason::Killed | Reason::StartFailed)),
        ) => return Verdict::down(reason),
        (JobEvidence::Waiting, _) => HeartEvidence::Waiting,
        (JobEvidence::Ok, _) => HeartEvidence::Beating,
    };
    judge(UnitEvidence::None, heart, probes)
}

fn without_heart(unit: UnitEvidence, probes: ProbeEvidence) -> Verdict {
    let running = unit == UnitEvidence::Running;
    match probes {
        ProbeEvidence::TimedOut | ProbeEvidence::Failing if !on(Rule::ProbesAreDown) => Verdict::UP,
        ProbeEvidence::TimedOut if running => Verdict::down(Reason::Hung),
        ProbeEvidence::TimedOut | ProbeEvidence::Failing => Verdict::down(Reason::CheckFailed),
        ProbeEvidence::Partly => Verdict::degraded(Reason::CheckFailed),
        ProbeEvidence::ComponentDown => Verdict::degraded(Reason::ComponentDown),
        ProbeEvidence::Pass => Verdict::UP,
        ProbeEvidence::Waiting => Verdict::OPEN,
        ProbeEvidence::None | ProbeEvidence::Blind if running => Verdict::UP,
        ProbeEvidence::Blind => Verdict::BLIND,
        ProbeEvidence::None if unit == UnitEvidence::Blind => Verdict::BLIND,
        ProbeEvidence::None => Verdict::OPEN,
    }
}

#[cfg(test)]
mod tests {
    use super::HeartEvidence as H;
    use super::ProbeEvidence as P;
    use super::UnitEvidence as U;
    use super::*;

    /// The rows of the contract's table, and the rows between them.
    #[test]
    fn the_verdict_table_of_the_contract() {
        let down = |reason| Verdict::down(reason);
        let degraded = |reason| Verdict::degraded(reason);
        let suspect = Verdict { state: Some(State::Suspect), reason: Some(Reason::MissedHeartbeat) };
        let rows: &[(U, H, P, Verdict)] = &[
            // Contract: running, silent, pass or none -> hung.
            (U::Running, H::Silent, P::Pass, down(Reason::Hung)),
            (U::Running, H::Silent, P::None, down(Reason::Hung)),
            (U::Running, H::Silent, P::TimedOut, down(Reason::Hung)),
            // Contract: running, no heartbeat, probes time out -> hung.
            (U::Running, H::None, P::TimedOut, down(Reason::Hung)),
            (U::None, H::None, P::TimedOut, down(Reason::CheckFailed)),
            // A counter that stands still outweighs everything that looks well.
            (U::Running, H::Stuck, P::Pass, down(Reason::Hung)),
            (U::None, H::Stuck, P::None, down(Reason::Hung)),
            (U::Stopped(Reason::Killed), H::Stuck, P::None, down(Reason::Killed)),
            // Contract: beating, but refused or wrong -> degraded.
            (U::Running, H::Beating, P::Failing, degraded(Reason::CheckFailed)),
            (U::None, H::Beating, P::Failing, degraded(Reason::CheckFailed)),
            (U::None, H::Beating, P::TimedOut, degraded(Reason::CheckFailed)),
            // Contract: no heartbeat, refused or wrong -> down.
            (U::Running, H::None, P::Failing, down(Reason::CheckFailed)),
            (U::None, H::None, P::Failing, down(Reason::CheckFailed)),
            // Contract: nothing but silence.
            (U::None, H::Silent, P::None, down(Reason::MissedHeartbeat)),
            (U::None, H::Silent, P::Failing, down(Reason::MissedHeartbeat)),
            (U::None, H::Silent, P::Pass, down(Reason::Hung)),
            // Contract: a component is down.
            (U::Running, H::Beating, P::ComponentDown, degraded(Reason::ComponentDown)),
            (U::None, H::None, P::ComponentDown, degraded(Reason::ComponentDown)),
            // Some addresses of several.
            (U::Running, H::None, P::Partly, degraded(Reason::CheckFailed)),
            // All is well.
            (U::Running, H::Beating, P::Pass, Verdict::UP),
            (U::Running, H::None, P::None, Verdict::UP),
            (U::None, H::Beating, P::None, Verdict::UP),
            (U::None, H::None, P::Pass, Verdict::UP),
            // Overdue, whatever else is said.
            (U::Running, H::Late, P::Pass, suspect),
            (U::None, H::Late, P::Failing, suspect),
            // The service speaks for itself.
            (U::Running, H::Failing, P::Pass, down(Reason::CheckFailed)),
            (U::None, H::Stopping, P::None, down(Reason::StoppedByOperator)),
            (U::Running, H::Stopping, P::Pass, Verdict::OPEN),
            // Not enough known yet.
            (U::None, H::Waiting, P::None, Verdict::OPEN),
            (U::Running, H::Waiting, P::Pass, Verdict::OPEN),
            (U::Running, H::None, P::Waiting, Verdict::OPEN),
            (U::Changing, H::Beating, P::Pass, Verdict::OPEN),
            (U::None, H::None, P::None, Verdict::OPEN),
            // Blind.
            (U::Blind, H::None, P::None, Verdict::BLIND),
            (U::None, H::None, P::Blind, Verdict::BLIND),
            (U::Blind, H::Beating, P::None, Verdict::UP),
            (U::Blind, H::None, P::Pass, Verdict::UP),
        ];
        for (unit, heart, probes, expected) in rows {
            assert_eq!(judge(*unit, *heart, *probes), *expected, "{unit:?} | {heart:?} | {probes:?}");
        }
    }

    #[test]
    fn a_unit_that_does_not_run_is_down_whatever_else_is_said() {
        for reason in
            [Reason::Exited, Reason::Crashed, Reason::Killed, Reason::StartFailed, Reason::StoppedByOperator]
        {
            for heart in [H::None, H::Waiting, H::Beating, H::Late, H::Silent, H::Failing, H::Stopping] {
                for probes in [
                    P::None,
                    P::Waiting,
                    P::Blind,
                    P::Pass,
                    P::ComponentDown,
                    P::Partly,
                    P::TimedOut,
                    P::Failing,
                ] {
                    assert_eq!(judge(U::Stopped(reason), heart, probes), Verdict::down(reason));
                }
            }
        }
    }
}
