//! Heartbeat bodies from files, each with what lifesign makes of it beside it.
//!
//! `tests/golden/accepted` and `tests/golden/refused` hold a `NAME.json` with the bytes as sent and a
//! `NAME.txt` with the outcome. After a wanted change `UPDATE_GOLDEN=1 cargo test -p lifesign-proto` writes
//! the outcomes anew; the diff is then read by a person.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use lifesign_proto::{BodyError, Heartbeats, Limits, read};

/// Small limits, so that the files can exceed them and stay readable.
const LIMITS: Limits =
    Limits { body_bytes: 64 * 1024, beats: 4, metrics: 3, metric_name_bytes: 20, message_bytes: 30 };

#[test]
fn every_accepted_body_is_read_as_written_beside_it() {
    for file in bodies("accepted") {
        let body = std::fs::read(&file).unwrap();
        let outcome = read(&body, &LIMITS);
        let good = matches!(&outcome, Ok(heartbeats) if heartbeats.beats.iter().all(Result::is_ok));
        assert!(good, "{}: {outcome:?}", file.display());
        compare(&file, &render(&outcome));
    }
}

#[test]
fn every_refused_body_names_its_faults_as_written_beside_it() {
    for file in bodies("refused") {
        let body = std::fs::read(&file).unwrap();
        let outcome = read(&body, &LIMITS);
        let bad = !matches!(&outcome, Ok(heartbeats) if heartbeats.beats.iter().all(Result::is_ok));
        assert!(bad, "{}: {outcome:?}", file.display());
        compare(&file, &render(&outcome));
    }
}

fn bodies(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no bodies in {}", folder.display());
    files
}

fn render(outcome: &Result<Heartbeats, BodyError>) -> String {
    let mut out = String::new();
    match outcome {
        Err(error) => writeln!(out, "{} {error}", error.status()).unwrap(),
        Ok(heartbeats) => {
            writeln!(out, "{}", if heartbeats.array { "array" } else { "one" }).unwrap();
            for beat in &heartbeats.beats {
                match beat {
                    Ok(beat) => writeln!(out, "{}", serde_json::to_string(beat).unwrap()).unwrap(),
                    Err(error) => {
                        writeln!(out, "422 {:?}", error.service_id).unwrap();
                        error.faults.iter().for_each(|fault| writeln!(out, "  {fault}").unwrap());
                    }
                }
            }
        }
    }
    out
}

fn compare(body: &Path, found: &str) {
    let file = body.with_extension("txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    let expected = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run with UPDATE_GOLDEN=1", file.display()));
    assert_eq!(found, expected.replace("\r\n", "\n"), "{}", body.display());
}
