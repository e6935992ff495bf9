//! Suspect early, ask at once, then judge.
//!
//! Passive time-outs are near their limit: heartbeats get lost whole, so every detector's curve has steps at
//! 2 and 3 intervals. Asking beats them all (SWIM's ping-req, Das et al. 2002; Falcon, SOSP 2011): at suspicion
//! the other evidence is asked a few times, and one good answer is worth more than any quantile.
//!
//! An inquiry has a begin (the freshness point), an end, and tries between them. It ends the service only when
//! enough sources spoke against it and too few for it; whoever gives no answer at all says nothing.

use std::time::Duration;

use crate::mutation::{Rule, on};
use crate::spec::{Confirm, Profile};
use crate::time::Mono;

/// Between two tries: this part of the interval …
pub const TRIES_APART: f64 = 0.04;
/// … and never less than this.
pub const TRY_AT_LEAST: Duration = Duration::from_millis(250);
/// Fewer tries than this are no inquiry: the end moves towards the cap to make room.
const FEWEST: u32 = 5;

/// When an inquiry ends.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// After the last sign of life, in intervals. The default waits until the heartbeat after the missing one
    /// was due and has had a moment to arrive.
    alive: f64,
    /// After its begin, in intervals, however late that was: whoever is late has a slow network, on which
    /// answers take their time too.
    begin: f64,
}

const fn patience(profile: Profile) -> Patience {
    match profile {
        Profile::Fast => Patience { alive: 1.5, begin: 0.4 },
        Profile::Default => Patience { alive: 2.1, begin: 0.8 },
        Profile::Strict => Patience { alive: 2.85, begin: 0.8 },
    }
}

/// One suspicion being looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    next_try: Mono,
    end: Mono,
    gap: Duration,
    tries: u32,
    /// Sources that last spoke against, and for, the service; one bit each.
    against: u64,
    favour: u64,
    need: Option<Confirm>,
}

impl Inquiry {
    /// Opens an inquiry at `begin` about a sender that last gave a sign of life at `alive` and is given up at
    /// `cap` in any case; without a `profile` not before. `None` when there is no time for even one try before
    /// the cap.
    pub fn open(
        begin: Mono,
        alive: Mono,
        interval: Duration,
        cap: Mono,
        profile: Option<Profile>,
        need: Option<Confirm>,
    ) -> Option<Self> {
        let gap = interval.mul_f64(TRIES_APART).max(TRY_AT_LEAST);
        if begin + gap > cap {
            return None;
        }
        let end = profile.map_or(cap, |profile| {
            let patience = patience(profile);
            let least = interval.mul_f64(patience.begin).max(gap * FEWEST);
            (alive + interval.mul_f64(patience.alive)).max(begin + least).min(cap)
        });
        Some(Self { next_try: begin, end, gap, tries: 0, against: 0, favour: 0, need })
    }

    /// Whether another try is due; if so it is taken as made.
    pub(super) fn take_try(&mut self, now: Mono) -> bool {
        if now < self.next_try {
            return false;
        }
        if now + self.gap > self.end {
            // A try begun less than its own time before the end could not be answered any more; one that
            // was due earlier, and is looked at late, must not be due for ever.
            self.next_try = self.end;
            return false;
        }
        // After a stall the tries that were missed are not made up for.
        let next = self.next_try + self.gap;
        self.next_try = if next > now { next } else { now + self.gap };
        self.tries += 1;
        true
    }

    /// A source answered: for the service, or against it.
    pub(super) fn answer(&mut self, source: u32, favourable: bool) {
        let bit = 1_u64 << source.min(63);
        let (to, from) = if favourable {
            (&mut self.favour, &mut self.against)
        } else {
            (&mut self.against, &mut self.favour)
        };
        *to |= bit;
        *from &= !bit;
    }

    /// Whether enough speaks for the service.
    pub(super) fn is_cleared(&self) -> bool {
        match self.need {
            None => self.favour != 0 && on(Rule::GoodAnswer),
            Some(Confirm { need, of }) => self.favour.count_ones() > of.saturating_sub(need),
        }
    }

    /// Whether the inquiry may end with a verdict against the service.
    pub(super) fn is_refuted(&self) -> bool {
        match self.need {
            None => self.against != 0 && self.favour == 0,
            Some(Confirm { need, .. }) => self.against.count_ones() >= need,
        }
    }

    /// When it ends.
    pub fn end(&self) -> Mono {
        self.end
    }

    /// How long one try may take.
    pub fn gap(&self) -> Duration {
        self.gap
    }

    /// Tries made so far.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    pub(super) fn next_deadline(&self) -> Mono {
        if self.next_try + self.gap > self.end { self.end } else { self.next_try }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Mono {
        Mono::from_millis(millis)
    }

    fn open(interval: Duration, begin: Mono, cap: Mono) -> Option<Inquiry> {
        Inquiry::open(begin, at(0), interval, cap, Some(Profile::Default), None)
    }

    #[test]
    fn it_tries_every_25th_of_the_interval_until_its_end() {
        let mut inquiry = open(10 * SECOND, at(10_200), at(30_000)).unwrap();
        assert_eq!(inquiry.end(), at(21_000));
        let mut now = at(10_200);
        while now < inquiry.end() {
            inquiry.take_try(now);
            now = inquiry.next_deadline();
        }
        assert_eq!(inquiry.tries(), 27);
    }

    #[test]
    fn a_try_that_is_looked_at_too_late_is_not_due_for_ever() {
        let mut inquiry = open(10 * SECOND, at(10_200), at(30_000)).unwrap();
        let late = at(20_700);
        while inquiry.next_deadline() <= late {
            let due = inquiry.next_deadline();
            inquiry.take_try(late);
            assert!(inquiry.next_deadline() > due);
        }
        assert_eq!(inquiry.next_deadline(), inquiry.end());
    }

    #[test]
    fn after_a_stall_of_just_one_gap_the_next_try_is_a_gap_away() {
        let mut inquiry = open(10 * SECOND, at(10_200), at(30_000)).unwrap();
        assert!(inquiry.take_try(at(10_600)));
        assert_eq!(inquiry.next_deadline(), at(11_000));
    }

    #[test]
    fn a_late_begin_still_has_its_time_and_never_passes_the_cap() {
        assert_eq!(open(10 * SECOND, at(20_000), at(30_000)).unwrap().end(), at(28_000));
        assert_eq!(open(SECOND, at(1500), at(3000)).unwrap().end(), at(2750), "room for five tries");
        assert_eq!(open(10 * SECOND, at(28_000), at(30_000)).unwrap().end(), at(30_000));
        assert_eq!(open(SECOND / 10, at(110), at(300)), None, "no try fits before the cap");
    }

    #[test]
    fn without_credit_it_goes_on_until_the_cap() {
        let open =
            |profile| Inquiry::open(at(10_200), at(0), 10 * SECOND, at(30_000), profile, None).unwrap();
        assert_eq!(open(None).end(), at(30_000));
        assert_eq!(open(Some(Profile::Fast)).end(), at(15_000));
        assert_eq!(open(Some(Profile::Strict)).end(), at(28_500));
    }

    #[test]
    fn one_good_answer_clears_unless_a_number_is_asked_for() {
        let mut any = open(10 * SECOND, at(10_200), at(30_000)).unwrap();
        any.answer(0, false);
        assert!(any.is_refuted() && !any.is_cleared());
        any.answer(1, true);
        assert!(!any.is_refuted() && any.is_cleared());

        let need = Some(Confirm { need: 2, of: 3 });
        let mut two = Inquiry::open(at(1000), at(0), SECOND, at(3000), Some(Profile::Default), need).unwrap();
        two.answer(0, true);
        two.answer(1, false);
        assert!(!two.is_refuted() && !two.is_cleared());
        two.answer(2, false);
        assert!(two.is_refuted() && !two.is_cleared());
        two.answer(2, true);
        assert!(!two.is_refuted() && two.is_cleared(), "a source's last word counts");
    }

    #[test]
    fn silence_of_every_source_refutes_nothing() {
        let inquiry = open(10 * SECOND, at(10_200), at(30_000)).unwrap();
        assert!(!inquiry.is_refuted() && !inquiry.is_cleared());
    }
}
