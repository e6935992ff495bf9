//! Which directories and files are taken, and what is said about the others.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::Path;

use common::*;
use lifesign_core::effect::Effect;
use lifesign_store::{OpenError, Options, Store};
use rusqlite::Connection;

fn refusal(dir: &Path) -> OpenError {
    Store::open(dir, Options::default()).map(|_| ()).unwrap_err()
}

#[test]
fn a_second_lifesign_is_refused_and_told_the_process_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let error = refusal(dir.path());
    assert!(
        matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()),
        "{error:?}"
    );
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(store);
    open(dir.path());
}

#[test]
fn a_damaged_file_is_named_with_the_way_out_and_left_as_it_is() {
    let whole = tempfile::tempdir().unwrap();
    let (store, _) = open(whole.path());
    for id in 1..200 {
        write(&store, vec![Effect::Incident(incident(id, "web", None)), line(id, "opened")]).unwrap();
    }
    drop(store);
    let good = std::fs::read(whole.path().join("lifesign.db")).unwrap();

    let mut holed = good.clone();
    holed[4096..12_288].fill(0x5a);
    let cases: [(&str, Vec<u8>); 4] = [
        ("emptied", Vec::new()),
        ("not a database", b"hello, this is no database at all".repeat(200)),
        ("cut short", good[..good.len() / 2].to_vec()),
        ("holed", holed),
    ];
    for (case, bytes) in cases {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lifesign.db");
        std::fs::write(&file, &bytes).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{case}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(&file.display().to_string()) && text.contains("backup"), "{case}: {text}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "{case}");
    }
}

#[test]
fn a_row_that_does_not_read_back_is_damage_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, vec![Effect::Remember(memory("web", None))]).unwrap();
    drop(store);
    let db = Connection::open(dir.path().join("lifesign.db")).unwrap();
    db.execute("UPDATE memories SET state = 'sideways'", []).unwrap();
    drop(db);
    let text = refusal(dir.path()).to_string();
    assert!(text.contains("sideways") && text.contains("damaged"), "{text}");
}

#[test]
fn a_write_ahead_log_without_its_database_is_not_taken_for_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lifesign.db-wal"), b"history").unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Corrupt { .. }));
    assert_eq!(std::fs::read(dir.path().join("lifesign.db-wal")).unwrap(), b"history");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = Connection::open(dir.path().join("lifesign.db")).unwrap();
    db.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(db);
    assert!(matches!(refusal(dir.path()), OpenError::Foreign { .. }));
}

#[test]
fn a_store_of_a_newer_version_is_refused_naming_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = Connection::open(dir.path().join("lifesign.db")).unwrap();
    db.execute_batch("PRAGMA user_version = 9; UPDATE meta SET value = '9.8.7' WHERE key = 'written_by'")
        .unwrap();
    drop(db);
    let text = refusal(dir.path()).to_string();
    assert!(text.contains("9.8.7") && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
}

#[test]
fn a_path_through_a_file_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let text = refusal(&file.join("data")).to_string();
    assert!(text.contains(&file.join("data").display().to_string()), "{text}");
}

#[cfg(unix)]
#[test]
fn a_new_directory_and_its_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (store, _) = open(&data);
    write(&store, vec![transition("web", 1)]).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

/// A released schema never changes: a change is a new migration and a new golden file.
#[test]
fn the_schema_of_version_1_is_the_golden_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = Connection::open(dir.path().join("lifesign.db")).unwrap();
    let mut dump = String::new();
    for pragma in ["application_id", "user_version", "journal_mode"] {
        let value = db
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
            .unwrap();
        dump += &format!("-- {pragma}: {value:?}\n");
    }
    let mut statement =
        db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name").unwrap();
    for sql in statement.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        dump += &format!("{};\n", sql.unwrap());
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schema-v1.sql");
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if dump != expected.replace("\r\n", "\n") {
        let fresh = golden.with_extension("sql.new");
        std::fs::write(&fresh, &dump).unwrap();
        panic!("the schema differs from {}; what it is now stands in {}", golden.display(), fresh.display());
    }
}
