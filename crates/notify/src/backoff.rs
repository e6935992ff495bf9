//! How long to wait between attempts.
//!
//! Exponential with full jitter: the wait is drawn evenly between the floor and a ceiling that doubles, so
//! that many receivers behind one outage do not come back in the same second.

use std::time::Duration;

/// Shortest wait.
pub const MIN_WAIT: Duration = Duration::from_secs(1);
/// Longest wait that is chosen here: an alert is told at most this long after its receiver came back.
pub const MAX_WAIT: Duration = Duration::from_secs(300);
/// Longest wait that a receiver can ask for; whoever asks for more is asked again after this.
pub const MAX_ASKED: Duration = Duration::from_secs(3600);

/// The wait after the `attempt`-th failed attempt (counted from 1), given an even random number and what
/// the receiver asked for, if it did.
pub fn wait(attempt: u32, random: u64, asked: Option<Duration>) -> Duration {
    let doubled = MIN_WAIT.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
    let ceiling = doubled.min(MAX_WAIT);
    let room = u64::try_from((ceiling - MIN_WAIT.min(ceiling)).as_nanos()).unwrap_or(u64::MAX);
    // The high half of the product of two u64 is `random` scaled to the room, without modulo bias.
    let drawn = u64::try_from((u128::from(random) * u128::from(room)) >> 64).unwrap_or(room);
    let chosen = MIN_WAIT + Duration::from_nanos(drawn);
    chosen.max(asked.unwrap_or_default().min(MAX_ASKED))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_five_minutes() {
        let longest = |attempt| wait(attempt, u64::MAX, None).as_secs_f64().round();
        let seen: Vec<f64> = (0..=12).map(longest).collect();
        let wanted = [1., 2., 4., 8., 16., 32., 64., 128., 256., 300., 300., 300., 300.];
        assert_eq!(seen, wanted);
        assert_eq!(wait(7, 0, None), MIN_WAIT);
        assert_eq!(wait(1, u64::MAX / 2, None).as_millis(), 1499);
    }

    #[test]
    fn a_receiver_may_ask_for_more_but_not_for_ever() {
        assert_eq!(wait(1, 0, Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(wait(9, u64::MAX, Some(Duration::ZERO)).as_secs(), 299);
        assert_eq!(wait(1, 0, Some(Duration::from_secs(1 << 40))), MAX_ASKED);
    }

    proptest! {
        #[test]
        fn every_wait_lies_between_floor_and_ceiling(attempt: u32, random: u64) {
            let wait = wait(attempt, random, None);
            prop_assert!((MIN_WAIT..=MAX_WAIT).contains(&wait));
        }
    }
}
