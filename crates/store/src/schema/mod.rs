//! The shape of the database and its versions.
//!
//! `PRAGMA user_version` holds the number of the schema; [`MIGRATIONS`] the way from each number to the
//! next. A released migration never changes. A later lifesign may add one; an earlier one then refuses
//! the file. Before the first step of an upgrade the whole database is copied beside itself.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::directory::private_file;
use crate::error::OpenError;
use crate::limits::MAX_CHECKED_FILE;

/// Entry `n` leads from version `n` to version `n + 1`.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("v1.sql"),
    include_str!("v2.sql"),
    include_str!("v3.sql"),
    include_str!("v4.sql"),
    include_str!("v5.sql"),
    include_str!("v6.sql"),
];

/// `PRAGMA application_id` of our files: "lfsg". `file(1)` and we tell them from other databases by it.
const APPLICATION_ID: u32 = 0x6c66_7367;
/// How long the writer waits for another program's lock before it says so. Below the time for which the
/// engine's shell waits for a commit.
const WRITER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a query waits for another program's lock.
const READER_PATIENCE: Duration = Duration::from_secs(2);
/// The write-ahead log is cut back to this size after it has been larger.
const LARGEST_IDLE_WAL: u32 = 16 * 1024 * 1024;

/// Opens the writer's connection to a database that exists.
pub(crate) fn connect_writer(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(WRITER_PATIENCE)?;
    // Cut-off power must not lose what was answered for, so each commit reaches the platter.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "journal_size_limit", LARGEST_IDLE_WAL)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Opens a connection for queries.
pub(crate) fn connect_reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(READER_PATIENCE)?;
    Ok(db)
}

/// Opens the database for writing: makes it when it is missing, checks it, and brings it to the version
/// that `migrations` lead to.
pub(crate) fn open(file: &Path, migrations: &[&str]) -> Result<Connection, OpenError> {
    if !file.try_exists().map_err(|source| io("look for", file, source))? {
        create(file, migrations)?;
    }
    let failed = |source| database(file, source);
    let size = std::fs::metadata(file).map_err(|source| io("look at", file, source))?.len();
    if size == 0 {
        return Err(corrupt(file, "it is empty"));
    }
    let mut db = connect_writer(file).map_err(failed)?;
    let application: u32 = pragma(&db, "application_id").map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign { file: file.to_owned() });
    }
    if db.is_readonly("main").map_err(failed)? {
        return Err(OpenError::ReadOnly {
            dir: file.parent().unwrap_or(file).to_owned(),
            source: std::io::ErrorKind::PermissionDenied.into(),
        });
    }
    let found: u32 = pragma(&db, "user_version").map_err(failed)?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        let written_by = written_by(&db).unwrap_or_else(|| "of a later version".to_owned());
        return Err(OpenError::Newer { file: file.to_owned(), found, written_by, known });
    }
    if size <= MAX_CHECKED_FILE {
        let verdict: String = pragma(&db, "quick_check(1)").map_err(failed)?;
        if verdict != "ok" {
            return Err(corrupt(file, verdict.trim()));
        }
    }
    if found < known {
        back_up(&db, file, found)?;
    }
    upgrade(&mut db, migrations).map_err(failed)?;
    Ok(db)
}

/// Makes a new database under another name and renames it when it is whole, so that a file under the
/// real name is never half a database.
fn create(file: &Path, migrations: &[&str]) -> Result<(), OpenError> {
    let log = with_ending(file, "-wal");
    if log.exists() {
        return Err(corrupt(file, "it is gone, but its write-ahead log is there"));
    }
    let fresh = with_ending(file, ".new");
    // SQLite gives its further files the rights of this one.
    private_file(&fresh, OpenOptions::new().create(true).truncate(true))
        .map_err(|source| io("make", &fresh, source))?;
    let make = || {
        let mut db = connect_writer(&fresh)?;
        db.pragma_update(None, "application_id", APPLICATION_ID)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        upgrade(&mut db, migrations)?;
        db.close().map_err(|(_, error)| error)
    };
    make().map_err(|source| database(&fresh, source))?;
    std::fs::rename(&fresh, file).map_err(|source| io("rename", &fresh, source))
}

/// Takes every step that is missing, each with its number in one transaction.
fn upgrade(db: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    // Says WAL again where a tool has changed the mode.
    db.pragma_update(None, "journal_mode", "WAL")?;
    let found: usize = usize::try_from(pragma::<u32>(db, "user_version")?).unwrap_or(usize::MAX);
    for (step, sql) in migrations.iter().enumerate().skip(found) {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(sql)?;
        change.pragma_update(None, "user_version", u32::try_from(step + 1).unwrap_or(u32::MAX))?;
        change.commit()?;
    }
    let version = env!("CARGO_PKG_VERSION");
    if written_by(db).as_deref() != Some(version) {
        db.execute("INSERT OR REPLACE INTO meta VALUES ('written_by', ?1)", [version])?;
    }
    Ok(())
}

/// Copies the database to `lifesign.db.v<found>.bak`, replacing a copy of the same version: that one is
/// left from an upgrade that did not come to its end.
fn back_up(db: &Connection, file: &Path, found: u32) -> Result<(), OpenError> {
    let to = with_ending(file, &format!(".v{found}.bak"));
    let fresh = with_ending(file, ".bak.new");
    let copy = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // An empty file is a database to VACUUM INTO, and brings the rights we want.
        private_file(&fresh, OpenOptions::new().create(true).truncate(true))?;
        let path = fresh.to_str().ok_or("the path is not UTF-8")?;
        db.execute("VACUUM INTO ?1", [path])?;
        // Windows flushes only what is open for writing.
        OpenOptions::new().write(true).open(&fresh)?.sync_all()?;
        std::fs::rename(&fresh, &to)?;
        Ok(())
    };
    copy().map_err(|source| OpenError::Backup { to: to.clone(), source })
}

fn pragma<T: rusqlite::types::FromSql>(db: &Connection, name: &str) -> rusqlite::Result<T> {
    db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

fn written_by(db: &Connection) -> Option<String> {
    db.query_row("SELECT value FROM meta WHERE key = 'written_by'", [], |row| row.get(0))
        .optional()
        .ok()
        .flatten()
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io { doing, path: path.to_owned(), source }
}

fn corrupt(file: &Path, what: &str) -> OpenError {
    OpenError::Corrupt { file: file.to_owned(), what: what.to_owned() }
}

/// Tells damage from other trouble. A row that does not read back as what was written is damage too.
pub(crate) fn database(file: &Path, source: rusqlite::Error) -> OpenError {
    let damaged = match &source {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => true,
        _ => matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)),
    };
    if damaged {
        corrupt(file, &source.to_string())
    } else {
        OpenError::Database { file: file.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leads to version 1 and no further, so that [`NEXT`] has something to upgrade.
    const FIRST: &[&str] = &[MIGRATIONS[0]];
    const NEXT: &str = "CREATE TABLE extra (word TEXT NOT NULL) STRICT;";

    #[test]
    fn an_upgrade_leaves_a_copy_of_what_was_there_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lifesign.db");
        let db = open(&file, FIRST).unwrap();
        db.execute("INSERT INTO audit VALUES (1, 2, 'ci', 'pause', 'web', 'done')", []).unwrap();
        drop(db);

        let db = open(&file, &[MIGRATIONS[0], NEXT]).unwrap();
        assert_eq!(pragma::<u32>(&db, "user_version").unwrap(), 2);
        db.execute("INSERT INTO extra VALUES ('new')", []).unwrap();
        drop(db);

        let copy = dir.path().join("lifesign.db.v1.bak");
        let db = Connection::open(copy).unwrap();
        assert_eq!(pragma::<u32>(&db, "user_version").unwrap(), 1);
        let who: String = db.query_row("SELECT who FROM audit", [], |row| row.get(0)).unwrap();
        assert_eq!(who, "ci");
        assert!(db.prepare("SELECT * FROM extra").is_err());
    }

    #[test]
    fn opening_the_same_version_again_makes_no_copy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lifesign.db");
        drop(open(&file, FIRST).unwrap());
        drop(open(&file, FIRST).unwrap());
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["lifesign.db"]);
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_version_and_its_copy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lifesign.db");
        drop(open(&file, FIRST).unwrap());
        let broken = "CREATE TABLE extra (word TEXT) STRICT; CREATE TABLE audit (x TEXT);";
        assert!(matches!(open(&file, &[MIGRATIONS[0], broken]), Err(OpenError::Database { .. })));

        let db = open(&file, FIRST).unwrap();
        assert_eq!(pragma::<u32>(&db, "user_version").unwrap(), 1);
        assert!(dir.path().join("lifesign.db.v1.bak").exists());
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused_naming_both() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lifesign.db");
        let db = open(&file, &[MIGRATIONS[0], NEXT]).unwrap();
        db.execute("UPDATE meta SET value = '7.1.0' WHERE key = 'written_by'", []).unwrap();
        drop(db);
        let before = std::fs::read(&file).unwrap();
        let error = open(&file, FIRST).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("7.1.0") && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }
}
