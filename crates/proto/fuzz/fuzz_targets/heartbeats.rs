//! `cargo +nightly fuzz run heartbeats` in `crates/proto`: no body makes the reader panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_proto::{Limits, read};

fuzz_target!(|body: &[u8]| {
    if let Ok(heartbeats) = read(body, &Limits::default()) {
        for beat in heartbeats.beats.into_iter().flatten() {
            assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
        }
    }
});
