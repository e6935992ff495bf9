//! The two clocks of the engine, read together.
//!
//! [`Mono`] must know about suspend: a laptop that slept an hour has not heard
//! a heartbeat for an hour. `std::time::Instant` stands still meanwhile on Linux, hence the systems' own calls.

use std::time::{SystemTime, UNIX_EPOCH};

use lifesign_core::time::{Mono, Now, Wall};

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

#[cfg(target_os = "linux")]
pub(crate) use imp::monotonic_micros;

/// Both clocks, now.
///
/// The monotonic reading counts from the boot of the system and includes time spent suspended
/// (Linux: `CLOCK_BOOTTIME`; Windows: the performance counter).
pub fn now() -> Now {
    Now { mono: Mono::from_nanos(imp::nanos_since_boot()), wall: wall(SystemTime::now()) }
}

fn wall(at: SystemTime) -> Wall {
    let millis = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Wall::from_millis(match at.duration_since(UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_monotonic_clock_never_goes_back_and_moves_at_the_pace_of_instants() {
        // Each bound encloses the readings, so that losing the processor between two lines proves nothing.
        let outer = std::time::Instant::now();
        let from = now().mono;
        let inner = std::time::Instant::now();
        let mut last = from;
        while inner.elapsed() < Duration::from_millis(20) {
            let next = now().mono;
            assert!(next >= last, "{next:?} after {last:?}");
            last = next;
        }
        let least = inner.elapsed();
        let spent = now().mono.since(from);
        let most = outer.elapsed();
        let coarse = Duration::from_millis(1);
        assert!(spent + coarse >= least && spent <= most + coarse, "{least:?} {spent:?} {most:?}");
    }

    #[test]
    fn a_wall_clock_set_before_the_epoch_reads_negative() {
        assert_eq!(wall(UNIX_EPOCH + Duration::from_millis(1500)).as_millis(), 1500);
        assert_eq!(wall(UNIX_EPOCH - Duration::from_millis(2)).as_millis(), -2);
    }
}
