//! `cargo +nightly fuzz run trace` in `crates/proto`: no bytes make the reader of traces panic, and what it
//! takes is sorted and free of contradictions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_proto::trace::read;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(trace) = read(bytes) {
        assert!(trace.outages.windows(2).all(|pair| pair[0].until < pair[1].from));
        for service in &trace.services {
            assert!(service.beats.windows(2).all(|pair| pair[0].sent < pair[1].sent));
            assert!(service.beats.iter().all(|beat| beat.received().is_none_or(|at| at >= beat.sent)));
            assert!(
                service.crashes.windows(2).all(|pair| pair[0].until.is_some_and(|until| until <= pair[1].at))
            );
        }
    }
});
