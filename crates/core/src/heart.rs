//! The heartbeat of one service: the fixed detector.
//!
//! `suspect` when `timeout` has passed since the last beat, given up after `retries` further intervals.
//! Times are the receiver's own; what the sender's clock says never decides. A beat that changes nothing
//! only moves [`Heart::last`]: the deadline behind it is looked at again when it falls due, not when the
//! beat arrives.

use std::time::Duration;

use crate::spec::HeartbeatSpec;
use crate::time::Mono;
use crate::verdict::HeartEvidence;

/// Where the detector stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No heartbeat is expected.
    Off,
    /// None heard since the start (of the service, or of lifesign).
    Waiting,
    /// Beating.
    Beating,
    /// Overdue.
    Late,
    /// Given up; `u32` beats in a row have come since.
    Silent(u32),
}

/// The detector of one service. Small and flat: one entry of a dense array each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heart {
    last: Mono,
    phase: Phase,
    late_after: Duration,
    silent_after: Duration,
    rise: u32,
    /// While waiting: when the fair chance ends; [`Mono::NEVER`] when nothing says that it must beat.
    grace_until: Mono,
    /// Beats since the service's process last changed.
    beats: u32,
}

impl Heart {
    /// A detector for `spec`, waiting for its first beat until `grace_until`.
    pub(crate) fn new(spec: Option<&HeartbeatSpec>, grace_until: Mono) -> Self {
        let mut heart = Self {
            last: Mono::ZERO,
            phase: Phase::Off,
            late_after: Duration::MAX,
            silent_after: Duration::MAX,
            rise: 1,
            grace_until,
            beats: 0,
        };
        heart.configure(spec, grace_until);
        heart
    }

    /// Takes another specification; what is known of the sender stays.
    pub(crate) fn configure(&mut self, spec: Option<&HeartbeatSpec>, grace_until: Mono) {
        match spec {
            None => self.phase = Phase::Off,
            Some(spec) => {
                self.late_after = spec.timeout;
                self.silent_after = spec.timeout.saturating_add(spec.interval.saturating_mul(spec.retries));
                self.rise = spec.rise.max(1);
                if self.phase == Phase::Off {
                    self.phase = Phase::Waiting;
                    self.grace_until = grace_until;
                }
            }
        }
    }

    /// A beat arrived. Returns whether the evidence changed.
    pub(crate) fn beat(&mut self, now: Mono) -> bool {
        let gap = now.since(self.last);
        self.last = now;
        self.beats = self.beats.saturating_add(1);
        match self.phase {
            Phase::Off | Phase::Beating => false,
            Phase::Waiting | Phase::Late => {
                self.phase = Phase::Beating;
                true
            }
            Phase::Silent(good) => {
                // A beat that comes late after another one starts the count anew.
                let good = if good > 0 && gap > self.late_after { 1 } else { good + 1 };
                self.phase = if good >= self.rise { Phase::Beating } else { Phase::Silent(good) };
                self.phase == Phase::Beating
            }
        }
    }

    /// Waits anew for a first beat: another process has been started, or nothing has been heard yet.
    pub(crate) fn wait(&mut self, grace_until: Mono) {
        if self.phase != Phase::Off {
            self.phase = Phase::Waiting;
        }
        self.grace_until = grace_until;
        self.beats = 0;
    }

    /// Applies the passing of time. Returns whether the evidence changed.
    pub(crate) fn advance(&mut self, now: Mono) -> bool {
        let before = self.phase;
        match self.phase {
            Phase::Off | Phase::Silent(_) => {}
            Phase::Waiting => {
                if now >= self.grace_until {
                    self.phase = Phase::Silent(0);
                }
            }
            Phase::Beating | Phase::Late => {
                if now >= self.last + self.silent_after {
                    self.phase = Phase::Silent(0);
                } else if now >= self.last + self.late_after {
                    self.phase = Phase::Late;
                }
            }
        }
        before != self.phase
    }

    /// When [`Heart::advance`] next has something to do.
    pub(crate) fn next_deadline(&self) -> Mono {
        match self.phase {
            Phase::Off | Phase::Silent(_) => Mono::NEVER,
            Phase::Waiting => self.grace_until,
            Phase::Beating => self.last + self.late_after,
            Phase::Late => self.last + self.silent_after,
        }
    }

    /// What it says.
    pub(crate) fn evidence(&self) -> HeartEvidence {
        match self.phase {
            Phase::Off => HeartEvidence::None,
            Phase::Waiting => HeartEvidence::Waiting,
            Phase::Beating => HeartEvidence::Beating,
            Phase::Late => HeartEvidence::Late,
            Phase::Silent(_) => HeartEvidence::Silent,
        }
    }

    /// When the last beat arrived; meaningless before the first.
    pub(crate) fn last(&self) -> Mono {
        self.last
    }

    /// Beats since the process last changed.
    pub(crate) fn beats(&self) -> u32 {
        self.beats
    }

    /// Beats in a row that bring it back.
    pub(crate) fn rise(&self) -> u32 {
        self.rise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> HeartbeatSpec {
        HeartbeatSpec {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            retries: 2,
            rise: 2,
        }
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    #[test]
    fn silence_makes_late_after_the_timeout_and_silent_after_the_retries() {
        let mut heart = Heart::new(Some(&spec()), Mono::NEVER);
        heart.beat(at(100));
        assert_eq!(heart.evidence(), HeartEvidence::Beating);
        assert_eq!(heart.next_deadline(), at(115));
        assert!(!heart.advance(Mono::from_millis(114_999)));
        assert!(heart.advance(at(115)));
        assert_eq!(heart.evidence(), HeartEvidence::Late);
        assert_eq!(heart.next_deadline(), at(125));
        assert!(heart.advance(at(125)));
        assert_eq!(heart.evidence(), HeartEvidence::Silent);
        assert_eq!(heart.next_deadline(), Mono::NEVER);
    }

    #[test]
    fn a_late_heart_needs_one_beat_and_a_silent_one_needs_rise() {
        let mut heart = Heart::new(Some(&spec()), Mono::NEVER);
        heart.beat(at(0));
        heart.advance(at(16));
        assert!(heart.beat(at(17)));
        assert_eq!(heart.evidence(), HeartEvidence::Beating);

        heart.advance(at(60));
        assert_eq!(heart.evidence(), HeartEvidence::Silent);
        assert!(!heart.beat(at(61)));
        assert!(!heart.beat(at(100)), "too late after the first to count as the second");
        assert!(heart.beat(at(105)));
        assert_eq!(heart.evidence(), HeartEvidence::Beating);
    }

    #[test]
    fn a_heart_never_heard_has_its_fair_chance_and_no_longer() {
        let mut heart = Heart::new(Some(&spec()), at(30));
        assert!(!heart.advance(at(29)));
        assert_eq!(heart.evidence(), HeartEvidence::Waiting);
        assert!(heart.advance(at(30)));
        assert_eq!(heart.evidence(), HeartEvidence::Silent);
    }

    #[test]
    fn without_a_specification_nothing_is_expected() {
        let mut heart = Heart::new(None, at(1));
        assert!(!heart.beat(at(0)));
        assert!(!heart.advance(at(1000)));
        assert_eq!(heart.evidence(), HeartEvidence::None);
    }
}
