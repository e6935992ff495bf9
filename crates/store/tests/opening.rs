//! Which directories and files are taken, and what is said about the others.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::*;
use lifesign_core::effect::{Effect, Memory};
use lifesign_core::evidence::Process;
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

/// The schema of a database, in words.
fn schema_of(file: &Path) -> String {
    let db = Connection::open(file).unwrap();
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
    dump
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A released schema never changes: a change is a new migration and a new golden file.
fn assert_is_golden(dump: &str, name: &str) {
    let golden = golden(name);
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if dump != expected.replace("\r\n", "\n") {
        let fresh = golden.with_extension("sql.new");
        std::fs::write(&fresh, dump).unwrap();
        panic!("the schema differs from {}; what it is now stands in {}", golden.display(), fresh.display());
    }
}

/// What the lifesign of version 1 left behind, for a store to be opened on. The file was written by it and is
/// never made anew.
fn version_1(dir: &Path) -> PathBuf {
    let file = dir.join("lifesign.db");
    std::fs::write(&file, std::fs::read(golden("store-v1.db")).unwrap()).unwrap();
    file
}

#[test]
fn the_schema_of_version_5_is_the_golden_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    assert_is_golden(&schema_of(&dir.path().join("lifesign.db")), "schema-v6.sql");
}

#[test]
fn a_store_of_version_1_is_upgraded_with_everything_in_it_and_a_copy_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = version_1(dir.path());
    assert_is_golden(&schema_of(&file), "schema-v1.sql");

    let (store, past) = open(dir.path());
    assert_eq!(past.memories, [memory("web", Some(1))], "with a silence of zero");
    assert_eq!(past.incidents, [(incident(1, "web", None), past.incidents[0].1.clone())]);
    assert_eq!(past.incidents[0].1.len(), 2);
    let changes = block_on(store.transitions(service("web"), at(0), 10)).unwrap();
    assert_eq!(changes.iter().map(|change| millis(change.at)).collect::<Vec<_>>(), [1001, 1]);
    assert!(changes.iter().all(|change| change.facts.is_empty()));
    assert_eq!(due_ids(&store, "hook"), ["n1"]);

    // What is new is kept from now on.
    let remembered = Memory {
        silence: Duration::from_millis(12_345),
        process: Some(Process { pid: 4711, started: u64::MAX }),
        created: true,
        ..memory("web", Some(1))
    };
    write(&store, vec![Effect::Remember(remembered.clone()), judged("web", 2000, 1)]).unwrap();
    drop(store);
    let (store, past) = open(dir.path());
    assert_eq!(past.memories, [remembered]);
    assert_eq!(block_on(store.transitions(service("web"), at(1500), 10)).unwrap()[0].facts.len(), 1);
    drop(store);

    assert_is_golden(&schema_of(&file), "schema-v6.sql");
    let copy = schema_of(&dir.path().join("lifesign.db.v1.bak"));
    assert!(copy.contains("user_version: Integer(1)") && !copy.contains("silence"), "{copy}");
}

/// The log is cut at every page of the upgrade and in the middle of each.
#[test]
fn an_upgrade_that_was_killed_anywhere_is_done_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = version_1(dir.path());
    let (store, whole) = open(dir.path());
    let database = std::fs::read(&file).unwrap();
    let log = std::fs::read(dir.path().join("lifesign.db-wal")).unwrap();
    assert!(log.len() > 4096, "the upgrade is in the log: {}", log.len());
    for cut in (0..=log.len()).step_by(2048) {
        let torn = tempfile::tempdir().unwrap();
        std::fs::write(torn.path().join("lifesign.db"), &database).unwrap();
        std::fs::write(torn.path().join("lifesign.db-wal"), &log[..cut]).unwrap();
        let (store, past) = open(torn.path());
        assert_eq!(past, whole, "cut at {cut}");
        write(&store, vec![judged("web", 3000, 2)]).unwrap();
    }
    drop(store);
}
