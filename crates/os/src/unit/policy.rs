//! The operating system's own recovery policy, and the holes in it. Pure: nothing here asks the system.
//!
//! systemd (`Restart=`, `RestartSec=`, `StartLimit…=`) and the service control manager (failure actions, reset
//! period, failure-actions flag) say the same in different words: which ends they answer, with what, and when they
//! give up. lifesign reads it before it acts: as long as the system is going to restart a unit by itself, lifesign
//! waits, and it steps in when the system has given up.

use std::fmt;
use std::time::{Duration, Instant};

/// Which ends of a unit the system answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covers {
    /// Its process was killed or crashed (a signal; gone without a word to the service control manager).
    pub crash: bool,
    /// It ended with an error code of its own.
    pub error: bool,
    /// It ended with success, although nobody had ordered it.
    pub success: bool,
    /// The system's own watchdog ended it, or a start or stop took too long.
    pub watchdog: bool,
}

impl Covers {
    /// No end at all.
    pub const NOTHING: Self = Self { crash: false, error: false, success: false, watchdog: false };
    /// Every end.
    pub const ALL: Self = Self { crash: true, error: true, success: true, watchdog: true };
}

/// What the system does about one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it leaves the unit as it is.
    Nothing,
    /// Starts it again after this long.
    Restart(Duration),
    /// Runs a command, and leaves the unit to it.
    Command(Duration),
    /// Restarts the machine.
    Reboot(Duration),
}

/// The policy of one unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Which ends count as failures.
    pub covers: Covers,
    /// The answer to the first, second, … failure; the last one repeats. Empty: nothing is ever done.
    pub answers: Vec<Answer>,
    /// After this long without a failure they are counted from one again; `None`: never. (systemd, which has one
    /// answer only, counts starts within a window instead; see [`limit`](Self::limit).)
    pub reset: Option<Duration>,
    /// So many starts within this time, and the system gives up until somebody starts it by hand; `None`: no such
    /// limit.
    pub limit: Option<(u32, Duration)>,
    /// The policy in the system's own words: `Restart=on-failure RestartSec=100ms …`.
    pub words: String,
}

impl Policy {
    /// What is done about the failure with this number, counted from 1.
    pub fn answer(&self, failure: u32) -> Answer {
        let index = usize::try_from(failure.max(1) - 1).unwrap_or(usize::MAX);
        self.answers.get(index).or(self.answers.last()).copied().unwrap_or(Answer::Nothing)
    }

    /// Whether it restarts anything at all.
    pub fn restarts(&self) -> bool {
        self.covers != Covers::NOTHING
            && self.answers.iter().any(|answer| matches!(answer, Answer::Restart(_)))
    }

    /// Whether a unit that fails at every start is started for ever.
    fn is_endless(&self) -> bool {
        let reached = match self.reset {
            // Counted from one again at each failure: no answer but the first is ever given.
            Some(Duration::ZERO) => self.answers.first(),
            _ => self.answers.last(),
        };
        let Some(Answer::Restart(pause)) = reached.copied() else { return false };
        match self.limit {
            None => true,
            // One more start than the limit allows must fit into its time.
            Some((starts, window)) => pause.saturating_mul(starts) >= window,
        }
    }
}

/// Which of the [`Covers`] an end falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Killed or crashed.
    Crash,
    /// Ended with an error code.
    Error,
}

/// Counts the failures of one unit as the service control manager does, which tells nobody its count.
///
/// What failed before lifesign watched is not in it, so its answer may be an earlier one than the system's; the
/// look at the unit after the wait tells.
#[derive(Debug, Clone, Default)]
pub struct Failures {
    count: u32,
    last: Option<Instant>,
}

impl Failures {
    /// Another failure. Gives how long until the system itself restarts the unit; `None`: it will not.
    pub fn restart_after(&mut self, failure: Failure, policy: &Policy, now: Instant) -> Option<Duration> {
        let covered = match failure {
            Failure::Crash => policy.covers.crash,
            Failure::Error => policy.covers.error,
        };
        if !covered {
            return None;
        }
        let quiet = self.last.map(|last| now.saturating_duration_since(last));
        if policy.reset.is_some_and(|reset| quiet.is_some_and(|quiet| quiet >= reset)) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.last = Some(now);
        match policy.answer(self.count) {
            Answer::Restart(pause) => Some(pause),
            Answer::Nothing | Answer::Command(_) | Answer::Reboot(_) => None,
        }
    }
}

/// Something a policy does not do that its owner probably thinks it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hole {
    /// The system restarts it never.
    Unprotected,
    /// A crash is left unanswered, while other ends are answered.
    Crash,
    /// An end with an error code is left unanswered.
    Error,
    /// An end with success that nobody ordered is left unanswered.
    Success,
    /// A unit that fails at every start is started again for ever, this far apart.
    Endless(Duration),
    /// Failures are counted since boot, so that after some bad days the last answer is all there is.
    NoReset,
    /// The counter starts anew at every failure, so that only the first answer is ever given.
    ResetAtOnce,
    /// The machine is restarted for it.
    Reboot,
}

impl Hole {
    /// Whether people should be told unasked. That the system does nothing at all is what lifesign is for.
    pub fn is_worth_a_warning(&self) -> bool {
        *self != Self::Unprotected
    }

    /// A word for it that does not change: `clean_exit`, `endless_loop`, …
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unprotected => "unprotected",
            Self::Crash => "crash",
            Self::Error => "error_exit",
            Self::Success => "clean_exit",
            Self::Endless(_) => "endless_loop",
            Self::NoReset => "no_reset_period",
            Self::ResetAtOnce => "reset_at_once",
            Self::Reboot => "reboot",
        }
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unprotected => "the system does not restart it",
            Self::Crash => "the system does not restart it when its process is killed or crashes",
            Self::Error => {
                "the system does not restart it when it ends with an error code (Windows: set the failure-actions \
                 flag with `sc failureflag NAME 1`; systemd: `Restart=on-failure`)"
            }
            Self::Success => {
                "the system does not restart it when it ends by itself with success (systemd: `Restart=always`)"
            }
            Self::Endless(pause) => {
                return write!(
                    f,
                    "the system starts it again for ever, every {pause:?}, also when it cannot run (systemd: raise \
                     `StartLimitIntervalSec=` above `StartLimitBurst=` times `RestartSec=`; Windows: make the last \
                     failure action \"none\")"
                );
            }
            Self::NoReset => {
                "the system counts failures since boot and never from one again (`sc failure NAME reset= 86400`)"
            }
            Self::ResetAtOnce => {
                "the system counts every failure as the first, so its later failure actions are never taken \
                 (`sc failure NAME reset= 86400`)"
            }
            Self::Reboot => "the system restarts the whole machine when it fails often enough",
        })
    }
}

/// The holes in a policy, the worst first.
pub fn holes(policy: &Policy) -> Vec<Hole> {
    let mut holes = Vec::new();
    if policy.answers.iter().any(|answer| matches!(answer, Answer::Reboot(_))) {
        holes.push(Hole::Reboot);
    }
    if !policy.restarts() {
        holes.push(Hole::Unprotected);
        return holes;
    }
    let several = policy.answers.iter().any(|answer| Some(answer) != policy.answers.first());
    if !policy.covers.crash {
        holes.push(Hole::Crash);
    }
    if !policy.covers.error {
        holes.push(Hole::Error);
    }
    if !policy.covers.success {
        holes.push(Hole::Success);
    }
    if policy.is_endless() {
        let pause = match policy.answers.last() {
            Some(Answer::Restart(pause)) if policy.reset != Some(Duration::ZERO) => *pause,
            _ => match policy.answers.first() {
                Some(Answer::Restart(pause)) => *pause,
                _ => Duration::ZERO,
            },
        };
        holes.push(Hole::Endless(pause));
    }
    match policy.reset {
        None if several => holes.push(Hole::NoReset),
        Some(Duration::ZERO) if several => holes.push(Hole::ResetAtOnce),
        _ => {}
    }
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(86_400);

    fn systemd(covers: Covers, pause: Duration, limit: Option<(u32, Duration)>) -> Policy {
        let answers = if covers == Covers::NOTHING { Vec::new() } else { vec![Answer::Restart(pause)] };
        Policy { covers, answers, reset: None, limit, words: String::new() }
    }

    #[test]
    fn the_default_of_systemd_with_restart_always_has_no_hole() {
        let ten = Some((5, 10 * SECOND));
        assert_eq!(holes(&systemd(Covers::ALL, SECOND / 10, ten)), []);
        // One start more than five within ten seconds never happens.
        assert_eq!(holes(&systemd(Covers::ALL, 2 * SECOND, ten)), [Hole::Endless(2 * SECOND)]);
        assert_eq!(holes(&systemd(Covers::ALL, SECOND / 10, None)), [Hole::Endless(SECOND / 10)]);
        assert_eq!(holes(&systemd(Covers::NOTHING, SECOND, ten)), [Hole::Unprotected]);
        let on_failure = Covers { success: false, ..Covers::ALL };
        assert_eq!(holes(&systemd(on_failure, SECOND / 10, ten)), [Hole::Success]);
    }

    #[test]
    fn what_most_windows_services_have_is_full_of_holes() {
        let answers = vec![Answer::Restart(SECOND), Answer::Restart(2 * SECOND), Answer::Nothing];
        let covers = Covers { crash: true, ..Covers::NOTHING };
        let policy = Policy { covers, answers, reset: None, limit: None, words: String::new() };
        assert_eq!(holes(&policy), [Hole::Error, Hole::Success, Hole::NoReset]);
        assert_eq!(
            [1, 2, 3, 4].map(|failure| policy.answer(failure)),
            [Answer::Restart(SECOND), Answer::Restart(2 * SECOND), Answer::Nothing, Answer::Nothing]
        );
        let at_once = Policy { reset: Some(Duration::ZERO), ..policy.clone() };
        let found = holes(&at_once);
        assert!(found.contains(&Hole::Endless(SECOND)) && found.contains(&Hole::ResetAtOnce), "{found:?}");
        let daily = Policy { reset: Some(DAY), covers: Covers::ALL, ..policy };
        assert_eq!(holes(&daily), []);
    }

    #[test]
    fn failures_are_counted_from_one_again_after_the_reset_period() {
        let answers = vec![Answer::Restart(SECOND), Answer::Restart(2 * SECOND), Answer::Nothing];
        let covers = Covers { crash: true, ..Covers::NOTHING };
        let policy = Policy { covers, answers, reset: Some(DAY), limit: None, words: String::new() };
        let mut failures = Failures::default();
        let now = Instant::now();
        assert_eq!(failures.restart_after(Failure::Error, &policy, now), None, "the flag is not set");
        assert_eq!(failures.restart_after(Failure::Crash, &policy, now), Some(SECOND));
        assert_eq!(failures.restart_after(Failure::Crash, &policy, now + SECOND), Some(2 * SECOND));
        assert_eq!(failures.restart_after(Failure::Crash, &policy, now + 2 * SECOND), None, "given up");
        assert_eq!(failures.restart_after(Failure::Crash, &policy, now + 3 * DAY), Some(SECOND));
    }

    #[test]
    fn every_hole_has_a_sentence_and_a_word_of_its_own() {
        let all = [
            Hole::Unprotected,
            Hole::Crash,
            Hole::Error,
            Hole::Success,
            Hole::Endless(SECOND),
            Hole::NoReset,
            Hole::ResetAtOnce,
            Hole::Reboot,
        ];
        for (index, hole) in all.iter().enumerate() {
            assert!(hole.to_string().starts_with("the system "), "{hole}");
            assert!(all[..index].iter().all(|other| other.word() != hole.word()), "{hole:?}");
        }
    }
}
