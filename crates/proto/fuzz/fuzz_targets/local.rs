//! `cargo +nightly fuzz run local` in `crates/proto`: whatever a program on the host writes, no reader panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_core::model::ServiceId;
use lifesign_proto::Limits;
use lifesign_proto::local::{page, read_letter, read_note, read_notify};

fuzz_target!(|bytes: &[u8]| {
    let Ok(service) = ServiceId::new("orders") else { return };
    let limits = Limits::default();
    for beat in read_letter(bytes, &limits).into_iter().flatten() {
        assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
    }
    let _ = read_note(&service, bytes, &limits);
    let _ = read_notify(&service, bytes, &limits);
    let mut memory = page::fresh(1);
    for (to, from) in memory.iter_mut().skip(page::SEQUENCE).zip(bytes) {
        *to = *from;
    }
    if let Ok(beat) = page::read(&service, &memory, &limits) {
        assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
    }
});
