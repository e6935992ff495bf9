//! When a check has its turns. Pure: instants in, instants out.
//!
//! Turns lie on a grid that never moves, `first + n × interval`, so neither slow probes nor a busy machine
//! make it drift. Each turn is put off by a small jitter of its own. Offset and jitter come from a hash of
//! the check's identity: the same after every start, and different for every check.

use std::time::Duration;

use lifesign_core::model::ServiceId;
use tokio::time::Instant;

/// The first turns of all checks are spread over at least this …
const MIN_SPREAD: Duration = Duration::from_secs(1);

/// … and over this much for each check there is: no more than 500 start in a second.
const SPREAD_PER_CHECK: Duration = Duration::from_millis(2);

/// At most one part in this many of the interval is jitter.
const MAX_JITTER_PART: u32 = 10;

/// The turns of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    first: Instant,
    interval: Duration,
    jitter: Duration,
    seed: u64,
}

impl Schedule {
    /// The turns of the check at place `index` of `service`, one of `total` checks that begin at `now`.
    pub(crate) fn new(
        now: Instant,
        (service, index): (&ServiceId, usize),
        interval: Duration,
        jitter: Duration,
        total: usize,
    ) -> Self {
        // A grid needs a step; the configuration holds intervals to 100 ms and more.
        let interval = interval.max(Duration::from_millis(1));
        let seed = mix(fnv(service.as_str().as_bytes()).wrapping_add(index as u64));
        let spread = SPREAD_PER_CHECK.saturating_mul(u32::try_from(total).unwrap_or(u32::MAX));
        let offset = part(seed, spread.max(MIN_SPREAD).min(interval));
        Self { first: now + offset, interval, jitter: jitter.min(interval / MAX_JITTER_PART), seed }
    }

    /// When turn `turn` is, counted from 0. The first has no jitter: it is to come soon.
    pub(crate) fn due(&self, turn: u64) -> Instant {
        let jitter = if turn == 0 { Duration::ZERO } else { self.jitter };
        self.grid(turn) + part(mix(self.seed ^ turn), jitter)
    }

    /// The first turn after `now`.
    pub(crate) fn next(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.first).as_nanos() / self.interval.as_nanos();
        let turn = u64::try_from(passed).unwrap_or(u64::MAX - 1);
        if self.due(turn) > now { turn } else { turn + 1 }
    }

    fn grid(&self, turn: u64) -> Instant {
        let step = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        // Out of range means centuries; then there is no such turn in practice.
        self.first.checked_add(Duration::from_nanos(step.saturating_mul(turn))).unwrap_or(self.first)
    }
}

/// Some time from nothing up to `whole`, chosen by `hash`.
fn part(hash: u64, whole: Duration) -> Duration {
    let whole = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(hash.checked_rem(whole).unwrap_or(0))
}

/// FNV-1a, 64 bit: stable over versions, which std's hasher does not promise.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64: spreads close numbers over the whole range.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(now: Instant, index: usize, interval: Duration, total: usize) -> Schedule {
        Schedule::new(now, (&ServiceId::new("orders").unwrap(), index), interval, interval, total)
    }

    #[test]
    fn first_turns_are_soon_and_spread() {
        let now = Instant::now();
        let offsets: Vec<_> =
            (0..100).map(|index| schedule(now, index, 3600 * SECOND, 100).due(0) - now).collect();
        assert!(offsets.iter().all(|offset| *offset < SECOND));
        // Every quarter of the second gets its share.
        for quarter in 0..4 {
            let range = SECOND / 4 * quarter..SECOND / 4 * (quarter + 1);
            assert!(offsets.iter().filter(|offset| range.contains(*offset)).count() > 10);
        }
        // Many checks take longer, but never more than their interval.
        assert!((0..5000).any(|index| schedule(now, index, 3600 * SECOND, 5000).due(0) - now > 9 * SECOND));
        assert!((0..5000).all(|index| schedule(now, index, 2 * SECOND, 5000).due(0) - now < 2 * SECOND));
    }

    proptest! {
        #[test]
        fn turns_stay_within_a_tenth_after_their_grid_for_ever(
            index in 0usize..1000, millis in 100u64..100_000, turn in 0u64..10_000_000,
        ) {
            let interval = Duration::from_millis(millis);
            let schedule = schedule(Instant::now(), index, interval, 10);
            let late = schedule.due(turn) - schedule.grid(turn);
            prop_assert!(late <= interval / 10);
            prop_assert_eq!(schedule.grid(turn + 1) - schedule.grid(turn), interval);
        }

        #[test]
        fn the_next_turn_is_the_first_after_now(index in 0usize..1000, millis in 0u64..1_000_000) {
            let start = Instant::now();
            let schedule = schedule(start, index, SECOND, 10);
            let now = start + Duration::from_millis(millis);
            let next = schedule.next(now);
            prop_assert!(schedule.due(next) > now);
            prop_assert!(next == 0 || schedule.due(next - 1) <= now);
        }
    }
}
