//! Heads of requests, whatever bytes they are.

use std::path::Path;

use lifesign_proto::request::{Begun, begun};
use proptest::prelude::*;

const MOST: usize = 16 * 1024;

/// What holds for all bytes.
fn promises(bytes: &[u8]) {
    if let Begun::Ordinary(found) = begun(bytes, MOST) {
        let head = &bytes[..found.head];
        assert!(head.ends_with(b"\n") && head.len() <= MOST);
        assert!(!found.token.contains(['\r', '\n']));
        // What follows the head does not change it, and without its last byte it is no head.
        assert_eq!(begun(&head[..head.len() - 1], MOST), Begun::Unknown);
        assert_eq!(begun(head, MOST), Begun::Ordinary(found));
    }
}

proptest! {
    #[test]
    fn any_bytes_behind_the_line_are_judged(rest in prop::collection::vec(any::<u8>(), 0..200)) {
        promises(&[b"POST /api/v1/heartbeats HTTP/1.1\r\n", rest.as_slice()].concat());
    }

    #[test]
    fn any_headers_are_judged(
        headers in prop::collection::vec(
            (
                prop_oneof!["host", "accept", "Content-Length", "AUTHORIZATION", "connection", "content-type", "[a-z-]{1,12}"],
                prop_oneof!["Bearer [a-z0-9]{1,8}", "[0-9]{1,3}", "keep-alive", "\\PC{0,12}"],
                prop_oneof![Just("\r\n"), Just("\n")],
            ),
            0..8,
        ),
    ) {
        let headers: String = headers.iter().map(|(name, value, end)| format!("{name}: {value}{end}")).collect();
        promises(format!("POST /api/v1/heartbeats HTTP/1.1\r\n{headers}\r\n{{}}").as_bytes());
    }
}

#[test]
fn everything_the_fuzzer_kept_is_judged() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/request");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        promises(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 10, "only {replayed} heads in {}", corpus.display());
}
