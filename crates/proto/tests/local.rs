//! What the fuzzer kept of the local ways is answered by every reader.

use std::path::Path;

use lifesign_core::model::ServiceId;
use lifesign_proto::Limits;
use lifesign_proto::local::{MAX_BEATS, page, read_letter, read_note, read_notify};

#[test]
fn everything_the_fuzzer_kept_is_answered() {
    let service = ServiceId::new("orders").unwrap();
    let limits = Limits::default();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/local");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(read_letter(&bytes, &limits).len() <= MAX_BEATS + 1);
        let _ = read_note(&service, &bytes, &limits);
        let _ = read_notify(&service, &bytes, &limits);
        let mut memory = page::fresh(1);
        memory.iter_mut().skip(page::SEQUENCE).zip(&bytes).for_each(|(to, from)| *to = *from);
        let _ = page::read(&service, &memory, &limits);
        replayed += 1;
    }
    assert!(replayed >= 10, "only {replayed} in {}", corpus.display());
}
