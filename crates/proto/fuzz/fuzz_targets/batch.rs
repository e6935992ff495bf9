//! `cargo +nightly fuzz run batch` in `crates/proto`: no bytes make the reader of batches panic, and what was read is
//! written so that it is read alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_proto::Limits;
use lifesign_proto::batch::{Writer, read, read_answer};

fuzz_target!(|body: &[u8]| {
    let _ = read_answer(body);
    let limits = Limits::default();
    let Ok(heard) = read(body, &limits) else { return };
    let mut writer = Writer::default();
    let beats: Vec<_> = heard.beats.into_iter().flatten().collect();
    for beat in &beats {
        writer.push(beat).expect("what was read can be written");
    }
    let again = read(writer.as_bytes(), &limits).expect("it was written by us");
    assert!(again.beats.into_iter().flatten().eq(beats));
});
