//! `cargo +nightly fuzz run request` in `crates/proto`: no head makes the reader panic, and what it calls the head of an
//! ordinary request is whole, has the length it says, and was not ordinary before it was whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_proto::request::{Begun, begun};

const MOST: usize = 16 * 1024;

fuzz_target!(|bytes: &[u8]| {
    if let Begun::Ordinary(found) = begun(bytes, MOST) {
        assert!(bytes[..found.head].ends_with(b"\n") && found.head <= MOST);
        assert!(!found.token.contains(['\r', '\n']));
        assert_eq!(begun(&bytes[..found.head], MOST), Begun::Ordinary(found));
    }
});
