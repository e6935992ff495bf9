//! `cargo +nightly fuzz run heartbeats` in `crates/proto`: no body makes the reader panic, and none is
//! read differently by the shorter way of ordinary ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_proto::{Limits, read, read_with_care};

fuzz_target!(|body: &[u8]| {
    let read = read(body, &Limits::default());
    assert_eq!(read, read_with_care(body, &Limits::default()));
    if let Ok(heartbeats) = read {
        for beat in heartbeats.beats.into_iter().flatten() {
            assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
        }
    }
});
