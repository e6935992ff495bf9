//! The performance counter: "the total number of ticks since the system was started, including the time when
//! the machine was in a sleep state".
//! <https://learn.microsoft.com/windows/win32/sysinfo/acquiring-high-resolution-time-stamps>
//!
//! The interrupt time would promise the same, but its precise reading lives in a DLL that older systems (and
//! Wine) lack, and a missing import keeps the whole program from starting; its plain reading moves in steps of
//! up to 16 ms.

use std::sync::OnceLock;

use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

pub(super) fn nanos_since_boot() -> u64 {
    let mut ticks = 0;
    // SAFETY: writes one i64 through a pointer valid for the call; cannot fail since Windows XP.
    unsafe { QueryPerformanceCounter(&raw mut ticks) };
    let ticks = u128::from(ticks.unsigned_abs());
    u64::try_from(ticks * NANOS_PER_SECOND / ticks_per_second()).unwrap_or(u64::MAX)
}

/// Fixed at boot.
fn ticks_per_second() -> u128 {
    static FREQUENCY: OnceLock<u128> = OnceLock::new();
    *FREQUENCY.get_or_init(|| {
        let mut frequency = 0;
        // SAFETY: writes one i64 through a pointer valid for the call; cannot fail since Windows XP.
        unsafe { QueryPerformanceFrequency(&raw mut frequency) };
        u128::from(frequency.unsigned_abs()).max(1)
    })
}
