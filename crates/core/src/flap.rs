//! Flapping: a service that goes down again and again is one trouble, not many.
//!
//! Each incident that opens adds a penalty, and the penalty halves with time: the rule of BGP route flap
//! damping (RFC 2439) with its usual figures. Above one limit the service *flaps*, and does until the penalty
//! has fallen below the other. People are told once when it begins, and the truth when it ends.

use std::time::Duration;

use crate::time::Mono;

/// Penalty of one incident.
pub(crate) const PENALTY: f64 = 1000.0;
/// The penalty halves in this time.
pub(crate) const HALF_LIFE: Duration = Duration::from_secs(15 * 60);
/// Flapping begins above this: the fourth incident in quick succession.
pub(crate) const BEGIN: f64 = 3000.0;
/// Flapping ends below this: about half an hour after the last of them.
pub(crate) const END: f64 = 750.0;
/// The penalty never grows beyond this, so that the worst service is trusted again after an hour.
const MOST: f64 = 12_000.0;

/// The penalty of one service.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flaps {
    penalty: f64,
    at: Mono,
    flapping: bool,
}

impl Flaps {
    /// The penalty now.
    pub(crate) fn penalty(&self, now: Mono) -> f64 {
        self.penalty * (-now.since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
    }

    /// An incident opens. Returns whether flapping begins with it.
    pub(crate) fn add(&mut self, now: Mono) -> bool {
        self.penalty = (self.penalty(now) + PENALTY).min(MOST);
        self.at = now;
        let begins = !self.flapping && self.penalty > BEGIN;
        self.flapping |= begins;
        begins
    }

    /// Whether it flaps.
    pub(crate) fn is_flapping(&self) -> bool {
        self.flapping
    }

    /// Applies the passing of time. Returns whether flapping ends with it.
    pub(crate) fn settle(&mut self, now: Mono) -> bool {
        let ends = self.flapping && now >= self.next_deadline();
        self.flapping &= !ends;
        ends
    }

    /// When flapping ends if nothing more happens.
    pub(crate) fn next_deadline(&self) -> Mono {
        if !self.flapping {
            return Mono::NEVER;
        }
        self.at + HALF_LIFE.mul_f64((self.penalty / END).log2().max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_fourth_incident_in_a_row_is_flapping_and_half_an_hour_of_peace_ends_it() {
        let mut flaps = Flaps::default();
        let mut now = Mono::from_millis(1);
        for _ in 0..3 {
            assert!(!flaps.add(now));
            now = now + Duration::from_secs(1);
        }
        assert!(flaps.add(now));
        assert!(!flaps.add(now), "it begins once");
        assert!(!flaps.settle(now + 30 * MINUTE));
        let end = flaps.next_deadline();
        assert!(end > now + 35 * MINUTE && end < now + 45 * MINUTE);
        assert!(flaps.settle(end));
        assert!(!flaps.is_flapping());
        assert!(!flaps.settle(end), "it ends once");
    }

    #[test]
    fn four_incidents_a_day_are_no_flapping() {
        let mut flaps = Flaps::default();
        for n in 0..100 {
            assert!(!flaps.add(Mono::from_millis(0) + 6 * 60 * MINUTE * n));
        }
    }

    #[test]
    fn a_storm_is_forgiven_within_about_an_hour() {
        let mut flaps = Flaps::default();
        let now = Mono::from_millis(1);
        for _ in 0..10_000 {
            flaps.add(now);
        }
        assert!(flaps.next_deadline() <= now + 61 * MINUTE);
    }
}
