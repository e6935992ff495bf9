//! `CLOCK_BOOTTIME`: monotonic, and goes on while the system is suspended (`clock_gettime(2)`). And
//! `CLOCK_MONOTONIC`, which does not, for what is compared with systemd's times.

pub(super) fn nanos_since_boot() -> u64 {
    nanos(libc::CLOCK_BOOTTIME)
}

/// systemd's clock, in its microseconds.
pub(crate) fn monotonic_micros() -> u64 {
    nanos(libc::CLOCK_MONOTONIC) / 1000
}

fn nanos(clock: libc::clockid_t) -> u64 {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes one timespec through a pointer that is valid for the call.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut at) };
    debug_assert_eq!(failed, 0, "both clocks exist since Linux 2.6.39");
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(at.tv_nsec).unwrap_or(0))
}
