//! When the next heartbeat is due, and what the answers say about the link: a small state machine over
//! plain numbers. It reads no clock and draws no lots; both are handed in.
//!
//! Beats stand on a fixed grid (start, start + interval, …), so that slow answers do not add up to a drift,
//! and a place on the grid that was missed is left out, so that a program that was suspended does not send a
//! burst. An attempt that fails is repeated `send_retries` times inside its interval; then the link counts
//! as offline and is tried once every one to two intervals. The wait stays below the server's timeout of
//! three intervals, so that a server that comes back hears from everybody before it could miss anybody, and
//! its jitter keeps them from coming in one moment.
//!
//! In mode back-off the interval itself grows: from [`FIRST_INTERVAL`], doubled with each acknowledgement, up to the one
//! configured; any trouble on the way begins it anew. In the modes back-off and mutual the waits after failures
//! are exponential with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015):
//! anything from nothing to a limit that doubles.

use std::time::Duration;

/// Longest wait that a server can ask for (`Retry-After`).
pub const MAX_ASKED: Duration = Duration::from_secs(60);

/// The first interval of mode back-off.
pub const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest wait after a failure.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// How a heart spaces its beats. The same as `mode` in lifesign's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Always the interval.
    #[default]
    Fixed,
    /// From a second on, doubling with each acknowledged beat, up to the interval. An unacknowledged beat or a
    /// broken connection begins it anew. Each beat says when the next is due.
    Backoff,
    /// As fixed; and each beat says whether the previous one was answered in time. A missing answer drops the
    /// connection.
    Mutual,
}

/// Whether lifesign answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// No answer yet, and not enough attempts to say that there is none.
    Connecting,
    /// The last heartbeat was acknowledged, or its repeats are still under way.
    Online,
    /// A heartbeat and all its repeats were not acknowledged. It goes on trying.
    Offline,
}

/// The schedule of one heart. Times count from its start.
#[derive(Debug)]
pub(crate) struct Schedule {
    mode: Mode,
    interval: Duration,
    send_retries: u32,
    /// Back-off: the present interval.
    step: Duration,
    /// A place of the grid.
    origin: Duration,
    next: Duration,
    /// Failures since the last acknowledgement.
    failures: u32,
    link: Link,
}

impl Schedule {
    /// The first beat is due at once.
    pub(crate) fn new(mode: Mode, interval: Duration, send_retries: u32) -> Self {
        Self {
            mode,
            interval,
            send_retries,
            step: FIRST_INTERVAL.min(interval),
            origin: Duration::ZERO,
            next: Duration::ZERO,
            failures: 0,
            link: Link::Connecting,
        }
    }

    /// When the next attempt is due.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    /// What the next attempt says about the one after it.
    pub(crate) fn announced(&self) -> Option<Duration> {
        (self.mode == Mode::Backoff).then_some(self.step)
    }

    /// How the link stands.
    pub(crate) fn link(&self) -> Link {
        self.link
    }

    /// The attempt sent at `sent` was acknowledged at `now`.
    pub(crate) fn acknowledged(&mut self, sent: Duration, now: Duration) {
        if self.mode == Mode::Backoff {
            self.failures = 0;
            self.link = Link::Online;
            self.next = sent.saturating_add(self.step).max(now);
            self.step = self.step.saturating_mul(2).min(self.interval);
            return;
        }
        if self.failures > 0 {
            // After trouble the grid begins anew: the old one could ask for the next beat at once.
            self.origin = sent;
        }
        self.failures = 0;
        self.link = Link::Online;
        let past = now.saturating_sub(self.origin).as_nanos() / self.interval.as_nanos().max(1);
        let places = u32::try_from(past.saturating_add(1)).unwrap_or(u32::MAX);
        self.next = self.origin.saturating_add(self.interval.saturating_mul(places)).max(now);
    }

    /// An attempt failed at `now`. `asked` is the wait the server asked for, `random` any number. `answered`:
    /// the server said no, so the connection works.
    pub(crate) fn failed(&mut self, now: Duration, asked: Option<Duration>, answered: bool, random: u64) {
        self.failures = self.failures.saturating_add(1);
        let is_repeated = self.failures <= self.send_retries;
        if !is_repeated {
            self.link = Link::Offline;
        }
        let wait = match self.mode {
            Mode::Fixed if is_repeated => {
                // All repeats together fit into the interval when the failures come at once.
                let longest = self.interval / self.send_retries.saturating_add(2);
                between(longest / 2, longest, random)
            }
            Mode::Fixed => between(self.interval, self.interval.saturating_mul(2), random),
            Mode::Backoff => {
                if !is_repeated || !answered {
                    self.step = FIRST_INTERVAL.min(self.interval);
                }
                self.full_jitter(FIRST_INTERVAL.min(self.interval), self.interval, random)
            }
            Mode::Mutual => self.full_jitter(self.interval, self.interval.saturating_mul(2), random),
        };
        self.next = now.saturating_add(wait.max(asked.unwrap_or_default().min(MAX_ASKED)));
    }

    /// Anything up to a limit that doubles with each failure, `most` at the end. The first limits are such that
    /// all repeats fit into `first`.
    fn full_jitter(&self, first: Duration, most: Duration, random: u64) -> Duration {
        let halves = 1_u32.checked_shl(self.send_retries).unwrap_or(u32::MAX);
        let doubled = 1_u32.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = (first / halves).saturating_mul(doubled).min(most);
        between(Duration::ZERO, longest, random).max(SHORTEST_WAIT)
    }
}

/// The point between two times that `random` stands for.
fn between(from: Duration, to: Duration, random: u64) -> Duration {
    let room = to.saturating_sub(from).as_nanos().min(u128::from(u64::MAX));
    let drawn = u64::try_from((room * u128::from(random)) >> 64).unwrap_or(0);
    from.saturating_add(Duration::from_nanos(drawn))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn fixed(interval: Duration, send_retries: u32) -> Schedule {
        Schedule::new(Mode::Fixed, interval, send_retries)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_beat_is_due_at_once_and_the_others_on_a_grid_that_does_not_drift() {
        let mut schedule = fixed(5 * S, 2);
        assert_eq!((schedule.next(), schedule.link()), (Duration::ZERO, Link::Connecting));
        for beat in 1..=1000 {
            let sent = schedule.next() + ms(3);
            schedule.acknowledged(sent, sent + ms(40));
            assert_eq!(schedule.next(), beat * 5 * S);
        }
        assert_eq!(schedule.link(), Link::Online);
    }

    #[test]
    fn beats_missed_while_the_program_was_suspended_are_left_out() {
        let mut schedule = fixed(5 * S, 2);
        schedule.acknowledged(Duration::ZERO, ms(1));
        let woken = 3601 * S;
        schedule.acknowledged(woken, woken + ms(1));
        assert_eq!(schedule.next(), 3605 * S);
    }

    #[test]
    fn an_answer_slower_than_the_interval_leaves_its_place_out() {
        let mut schedule = fixed(S, 2);
        schedule.acknowledged(Duration::ZERO, ms(2300));
        assert_eq!(schedule.next(), 3 * S);
    }

    #[test]
    fn the_link_is_offline_after_the_beat_and_its_repeats_have_failed() {
        let mut schedule = fixed(4 * S, 2);
        for (now, random, next, link) in [
            (ms(0), 0, ms(500), Link::Connecting),
            (ms(500), u64::MAX, ms(1500), Link::Connecting),
            (ms(1500), 0, ms(5500), Link::Offline),
            (ms(5500), u64::MAX, ms(13_500), Link::Offline),
        ] {
            schedule.failed(now, None, false, random);
            assert_eq!(
                schedule.next().as_millis().abs_diff(next.as_millis()),
                u128::from(random == u64::MAX)
            );
            assert_eq!(schedule.link(), link);
        }
        schedule.acknowledged(ms(13_500), ms(13_510));
        assert_eq!((schedule.next(), schedule.link()), (ms(17_500), Link::Online));
        schedule.failed(ms(17_510), None, false, 0);
        assert_eq!(schedule.link(), Link::Online);
    }

    #[test]
    fn without_repeats_the_first_failure_is_offline() {
        let mut schedule = fixed(S, 0);
        schedule.failed(Duration::ZERO, None, false, 0);
        assert_eq!((schedule.next(), schedule.link()), (S, Link::Offline));
    }

    #[test]
    fn a_server_may_ask_for_a_longer_wait_up_to_a_minute() {
        let mut schedule = fixed(S, 2);
        schedule.failed(Duration::ZERO, Some(7 * S), true, 0);
        assert_eq!(schedule.next(), 7 * S);
        schedule.failed(7 * S, Some(3600 * S), true, 0);
        assert_eq!(schedule.next(), 67 * S);
    }

    #[test]
    fn back_off_doubles_from_a_second_to_the_interval_and_says_so_each_time() {
        let mut schedule = Schedule::new(Mode::Backoff, 10 * S, 2);
        let mut sent = Vec::new();
        for _ in 0..7 {
            let now = schedule.next();
            sent.push((now.as_secs(), schedule.announced().unwrap().as_secs()));
            schedule.acknowledged(now, now + ms(30));
        }
        assert_eq!(sent, [(0, 1), (1, 2), (3, 4), (7, 8), (15, 10), (25, 10), (35, 10)]);
        for (at, announced) in sent.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[0].1)) {
            assert_eq!(at, announced, "what is announced is kept");
        }
        assert_eq!(fixed(S, 2).announced(), None);
    }

    #[test]
    fn back_off_begins_anew_after_a_broken_connection_and_after_all_repeats() {
        let grown = || {
            let mut schedule = Schedule::new(Mode::Backoff, 60 * S, 2);
            for _ in 0..5 {
                let now = schedule.next();
                schedule.acknowledged(now, now);
            }
            assert_eq!(schedule.announced(), Some(32 * S));
            schedule
        };
        let mut broken = grown();
        broken.failed(31 * S, None, false, 0);
        assert_eq!((broken.announced(), broken.link()), (Some(S), Link::Online));
        let mut refused = grown();
        refused.failed(31 * S, None, true, 0);
        assert_eq!(refused.announced(), Some(32 * S), "a refusal is an answer");
        refused.failed(31 * S, None, true, 0);
        refused.failed(31 * S, None, true, 0);
        assert_eq!((refused.announced(), refused.link()), (Some(S), Link::Offline));
    }

    #[test]
    fn an_interval_shorter_than_a_second_is_its_own_back_off() {
        let mut schedule = Schedule::new(Mode::Backoff, ms(200), 2);
        assert_eq!(schedule.announced(), Some(ms(200)));
        schedule.acknowledged(ms(0), ms(1));
        assert_eq!((schedule.next(), schedule.announced()), (ms(200), Some(ms(200))));
    }

    #[test]
    fn reconnecting_waits_are_exponential_with_full_jitter() {
        let limits = |mode, interval| {
            let mut schedule = Schedule::new(mode, interval, 2);
            let mut limits = Vec::new();
            for _ in 0..8 {
                let mut unlucky = Schedule { ..schedule };
                unlucky.failed(Duration::ZERO, None, false, u64::MAX);
                schedule.failed(Duration::ZERO, None, false, 0);
                assert_eq!(schedule.next(), SHORTEST_WAIT, "full jitter begins at nothing");
                limits.push((unlucky.next() + ms(1)).as_millis() / 10 * 10);
            }
            limits
        };
        assert_eq!(limits(Mode::Mutual, 4 * S), [1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000]);
        assert_eq!(limits(Mode::Backoff, 10 * S), [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    }

    proptest! {
        #[test]
        fn no_two_attempts_come_in_a_burst_and_none_is_further_away_than_two_intervals(
            mode in prop_oneof![Just(Mode::Fixed), Just(Mode::Backoff), Just(Mode::Mutual)],
            interval in 10_u64..100_000,
            retries in 0_u32..6,
            steps in prop::collection::vec((0..3, any::<u64>(), 0_u64..300_000, 0_u64..50), 1..60),
        ) {
            let interval = ms(interval);
            let mut schedule = Schedule::new(mode, interval, retries);
            for (what, random, late, took) in steps {
                let sent = schedule.next() + ms(late);
                let now = sent + ms(took);
                let announced = schedule.announced();
                match what {
                    0 => schedule.failed(now, None, false, random),
                    1 => schedule.failed(now, None, true, random),
                    _ => schedule.acknowledged(sent, now),
                }
                prop_assert!(schedule.next() >= now);
                prop_assert!(schedule.next() <= now + 2 * interval);
                prop_assert!(announced.is_none_or(|step| step <= interval && step >= FIRST_INTERVAL.min(interval)));
                if what > 1 {
                    prop_assert_eq!(schedule.link(), Link::Online);
                    if let Some(step) = announced {
                        prop_assert_eq!(schedule.next(), (sent + step).max(now), "what was announced is kept");
                    }
                } else if mode == Mode::Fixed {
                    prop_assert!(schedule.next() >= now + interval / (2 * (retries + 2)));
                } else {
                    prop_assert!(schedule.next() >= now + SHORTEST_WAIT);
                }
            }
        }

        #[test]
        fn no_number_makes_it_panic(interval: u64, retries: u32, sent: u64, now: u64, asked: u64, random: u64) {
            for mode in [Mode::Fixed, Mode::Backoff, Mode::Mutual] {
                let mut schedule = Schedule::new(mode, Duration::from_nanos(interval), retries);
                let asked = Some(Duration::from_secs(asked));
                schedule.failed(Duration::from_secs(now), asked, false, random);
                schedule.acknowledged(Duration::from_secs(sent), Duration::from_secs(now));
                schedule.failed(Duration::MAX, None, true, random);
                schedule.acknowledged(Duration::MAX, Duration::MAX);
            }
        }
    }
}
