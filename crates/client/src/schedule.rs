//! When the next heartbeat is due, and what the answers say about the link: a small state machine over
//! plain numbers. It reads no clock and draws no lots; both are handed in.
//!
//! Beats stand on a fixed grid (start, start + interval, …), so that slow answers do not add up to a drift,
//! and a place on the grid that was missed is left out, so that a program that was suspended does not send a
//! burst. An attempt that fails is repeated `send_retries` times inside its interval; then the link counts
//! as offline and is tried once every one to two intervals. The wait stays below the server's timeout of
//! three intervals, so that a server that comes back hears from everybody before it could miss anybody, and
//! its jitter keeps them from coming in one moment.

use std::time::Duration;

/// Longest wait that a server can ask for (`Retry-After`).
pub const MAX_ASKED: Duration = Duration::from_secs(60);

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
    interval: Duration,
    send_retries: u32,
    /// A place of the grid.
    origin: Duration,
    next: Duration,
    /// Failures since the last acknowledgement.
    failures: u32,
    link: Link,
}

impl Schedule {
    /// The first beat is due at once.
    pub(crate) fn new(interval: Duration, send_retries: u32) -> Self {
        Self {
            interval,
            send_retries,
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

    /// How the link stands.
    pub(crate) fn link(&self) -> Link {
        self.link
    }

    /// The attempt sent at `sent` was acknowledged at `now`.
    pub(crate) fn acknowledged(&mut self, sent: Duration, now: Duration) {
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

    /// An attempt failed at `now`. `asked` is the wait the server asked for, `random` any number.
    pub(crate) fn failed(&mut self, now: Duration, asked: Option<Duration>, random: u64) {
        self.failures = self.failures.saturating_add(1);
        let wait = if self.failures <= self.send_retries {
            // All repeats together fit into the interval when the failures come at once.
            let longest = self.interval / self.send_retries.saturating_add(2);
            between(longest / 2, longest, random)
        } else {
            self.link = Link::Offline;
            between(self.interval, self.interval.saturating_mul(2), random)
        };
        self.next = now.saturating_add(wait.max(asked.unwrap_or_default().min(MAX_ASKED)));
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

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_beat_is_due_at_once_and_the_others_on_a_grid_that_does_not_drift() {
        let mut schedule = Schedule::new(5 * S, 2);
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
        let mut schedule = Schedule::new(5 * S, 2);
        schedule.acknowledged(Duration::ZERO, ms(1));
        let woken = 3601 * S;
        schedule.acknowledged(woken, woken + ms(1));
        assert_eq!(schedule.next(), 3605 * S);
    }

    #[test]
    fn an_answer_slower_than_the_interval_leaves_its_place_out() {
        let mut schedule = Schedule::new(S, 2);
        schedule.acknowledged(Duration::ZERO, ms(2300));
        assert_eq!(schedule.next(), 3 * S);
    }

    #[test]
    fn the_link_is_offline_after_the_beat_and_its_repeats_have_failed() {
        let mut schedule = Schedule::new(4 * S, 2);
        for (now, random, next, link) in [
            (ms(0), 0, ms(500), Link::Connecting),
            (ms(500), u64::MAX, ms(1500), Link::Connecting),
            (ms(1500), 0, ms(5500), Link::Offline),
            (ms(5500), u64::MAX, ms(13_500), Link::Offline),
        ] {
            schedule.failed(now, None, random);
            assert_eq!(
                schedule.next().as_millis().abs_diff(next.as_millis()),
                u128::from(random == u64::MAX)
            );
            assert_eq!(schedule.link(), link);
        }
        schedule.acknowledged(ms(13_500), ms(13_510));
        assert_eq!((schedule.next(), schedule.link()), (ms(17_500), Link::Online));
        schedule.failed(ms(17_510), None, 0);
        assert_eq!(schedule.link(), Link::Online);
    }

    #[test]
    fn without_repeats_the_first_failure_is_offline() {
        let mut schedule = Schedule::new(S, 0);
        schedule.failed(Duration::ZERO, None, 0);
        assert_eq!((schedule.next(), schedule.link()), (S, Link::Offline));
    }

    #[test]
    fn a_server_may_ask_for_a_longer_wait_up_to_a_minute() {
        let mut schedule = Schedule::new(S, 2);
        schedule.failed(Duration::ZERO, Some(7 * S), 0);
        assert_eq!(schedule.next(), 7 * S);
        schedule.failed(7 * S, Some(3600 * S), 0);
        assert_eq!(schedule.next(), 67 * S);
    }

    proptest! {
        #[test]
        fn no_two_attempts_come_in_a_burst_and_none_is_further_away_than_two_intervals(
            interval in 10_u64..100_000,
            retries in 0_u32..6,
            steps in prop::collection::vec((any::<bool>(), any::<u64>(), 0_u64..300_000, 0_u64..50), 1..60),
        ) {
            let interval = ms(interval);
            let mut schedule = Schedule::new(interval, retries);
            for (good, random, late, took) in steps {
                let sent = schedule.next() + ms(late);
                let now = sent + ms(took);
                if good { schedule.acknowledged(sent, now) } else { schedule.failed(now, None, random) }
                prop_assert!(schedule.next() >= now);
                prop_assert!(schedule.next() <= now + 2 * interval);
                if good {
                    prop_assert_eq!(schedule.link(), Link::Online);
                } else {
                    prop_assert!(schedule.next() >= now + interval / (2 * (retries + 2)));
                }
            }
        }

        #[test]
        fn no_number_makes_it_panic(interval: u64, retries: u32, sent: u64, now: u64, asked: u64, random: u64) {
            let mut schedule = Schedule::new(Duration::from_nanos(interval), retries);
            schedule.failed(Duration::from_secs(now), Some(Duration::from_secs(asked)), random);
            schedule.acknowledged(Duration::from_secs(sent), Duration::from_secs(now));
            schedule.failed(Duration::MAX, None, random);
            schedule.acknowledged(Duration::MAX, Duration::MAX);
        }
    }
}
