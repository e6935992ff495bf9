//! Suspect early, ask at once, then judge.
//!
//! Passive time-outs are near their limit: heartbeats get lost whole, so every detector's curve has steps at
//! 2 and 3 intervals. Asking beats them all (SWIM's ping-req, Das et al. 2002; Falcon, SOSP 2011): at suspicion
//! the other evidence is asked a few times, and one good answer is worth more than any quantile.
//!
//! An inquiry has a begin (the freshness point), an end, and tries between them. It ends the service only when
//! enough sources spoke against it and too few for it; whoever gives no answer at all says nothing.

use std::time::Duration;

use crate::spec::{Confirm, Profile};
use crate::time::Mono;

/// Between two tries: this part of the interval …
pub const TRIES_APART: f64 = 0.1;
/// … and never less than this.
pub const TRY_AT_LEAST: Duration = Duration::from_millis(250);
/// Fewer tries than this are no inquiry: the end moves towards the cap to make room.
const FEWEST: u32 = 5;

/// How long after the last sign of life an inquiry ends, in intervals.
const fn patience(profile: Profile) -> f64 {
    match profile {
        Profile::Fast => 1.5,
        Profile::Default => 2.15,
        Profile::Strict => 2.85,
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
    /// `cap` in any case. `None` when there is no time for even one try before the cap.
    pub fn open(
        begin: Mono,
        alive: Mono,
        interval: Duration,
        cap: Mono,
        profile: Profile,
        need: Option<Confirm>,
    ) -> Option<Self> {
        let gap = interval.mul_f64(TRIES_APART).max(TRY_AT_LEAST);
        if begin + gap > cap {
            return None;
        }
        let end = (alive + interval.mul_f64(patience(profile))).max(begin + gap * FEWEST).min(cap);
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
        self.next_try = self.next_try.max(now.back(self.gap)) + self.gap;
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
            None => self.favour != 0,
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
        Inquiry::open(begin, at(0), interval, cap, Profile::Default, None)
    }

    #[test]
    fn it_tries_every_tenth_of_the_interval_until_its_end() {
        let mut inquiry = open(10 * SECOND, at(10_200), at(30_000)).unwrap();
        assert_eq!(inquiry.end(), at(21_500));
        let mut now = at(10_200);
        while now < inquiry.end() {
            inquiry.take_try(now);
            now = inquiry.next_deadline();
        }
        assert_eq!(inquiry.tries(), 11);
    }

    #[test]
    fn a_try_that_is_looked_at_too_late_is_not_due_for_ever() {
        let mut inquiry = open(10 * SECOND, at(10_200), at(30_000)).unwrap();
        let late = at(20_600);
        while inquiry.next_deadline() <= late {
            let due = inquiry.next_deadline();
            inquiry.take_try(late);
            assert!(inquiry.next_deadline() > due);
        }
        assert_eq!(inquiry.next_deadline(), inquiry.end());
    }

    #[test]
    fn a_late_begin_still_has_room_for_five_tries_and_never_passes_the_cap() {
        assert_eq!(open(10 * SECOND, at(20_000), at(30_000)).unwrap().end(), at(25_000));
        assert_eq!(open(10 * SECOND, at(28_000), at(30_000)).unwrap().end(), at(30_000));
        assert_eq!(open(SECOND / 10, at(110), at(300)), None, "no try fits before the cap");
    }

    #[test]
    fn one_good_answer_clears_unless_a_number_is_asked_for() {
        let mut any = open(10 * SECOND, at(10_200), at(30_000)).unwrap();
        any.answer(0, false);
        assert!(any.is_refuted() && !any.is_cleared());
        any.answer(1, true);
        assert!(!any.is_refuted() && any.is_cleared());

        let need = Some(Confirm { need: 2, of: 3 });
        let mut two = Inquiry::open(at(1000), at(0), SECOND, at(3000), Profile::Default, need).unwrap();
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
