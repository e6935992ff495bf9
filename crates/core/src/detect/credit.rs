//! Early verdicts are earned.
//!
//! Whoever judges before the cap can be wrong where a plain timeout would have been right: the sender is heard
//! again before its cap (a *regret*). And it can be right where the timeout would have been wrong: the sender is
//! heard again after a silence longer than the cap, and answers kept it alive meanwhile (a *rescue*). Both are
//! known as soon as the sender is heard again, so books can be kept: a regret costs one credit, a rescue earns a
//! part of one, and without a credit the cap alone judges.
//!
//! So over any time and on any network a heart makes at most as many mistakes as a timeout at its cap, less the
//! rescues, plus the regrets; and regrets ≤ [`START`] + rescues × [`share`] + heartbeats / [`BEATS`]. Where asking
//! helps, early verdicts pay for themselves; where it does not, few are tried, and the cap is what remains.

use crate::spec::Profile;

/// So many heartbeats earn one credit: a day of one every 10 s. A network that has become better is found out.
const BEATS: u32 = 8640;
/// Credits at the beginning.
const START: u32 = 2;
/// More are not kept: a good past does not excuse a network that has become worse.
const MOST: u32 = 5;

/// What a rescue earns. The fast profile judges early whatever it costs.
const fn share(profile: Profile) -> u32 {
    match profile {
        Profile::Fast => BEATS,
        Profile::Default => BEATS / 4,
        Profile::Strict => BEATS / 16,
    }
}

/// What a heart has earned, in parts of a credit: a heartbeat earns one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Credit(u32);

impl Credit {
    pub(super) const fn new() -> Self {
        Self(START * BEATS)
    }

    /// A heartbeat arrived.
    pub(super) fn beat(&mut self) {
        self.earn(1);
    }

    /// The sender was given up early and is heard again before its cap.
    pub(super) fn regret(&mut self) {
        self.0 = self.0.saturating_sub(BEATS);
    }

    /// The sender is heard again after its cap, and was not given up.
    pub(super) fn rescue(&mut self, profile: Profile) {
        self.earn(share(profile));
    }

    /// Whether another early verdict may be risked.
    pub(super) fn allows(self, profile: Profile) -> bool {
        profile == Profile::Fast || self.0 >= BEATS
    }

    fn earn(&mut self, parts: u32) {
        self.0 = (self.0 + parts).min(MOST * BEATS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regrets_use_it_up_and_a_day_of_heartbeats_or_four_rescues_earn_one_back() {
        let mut credit = Credit::new();
        credit.regret();
        assert!(credit.allows(Profile::Default));
        credit.regret();
        assert!(!credit.allows(Profile::Default) && credit.allows(Profile::Fast));
        let mut rescued = credit;
        (0..4).for_each(|_| rescued.rescue(Profile::Default));
        assert!(rescued.allows(Profile::Default));
        (0..BEATS).for_each(|_| credit.beat());
        assert!(credit.allows(Profile::Default));
    }

    #[test]
    fn a_long_good_past_is_worth_no_more_than_a_few() {
        let mut credit = Credit::new();
        (0..1000).for_each(|_| credit.rescue(Profile::Strict));
        (0..MOST).for_each(|_| credit.regret());
        assert!(!credit.allows(Profile::Strict));
    }
}
