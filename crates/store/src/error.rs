//! What can go wrong, in words that name the file and the way out.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why a store could not be opened. Nothing on the disk was changed, except that a missing data directory
/// may have been made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data directory may not be written to.
    #[error(
        "the data directory {} cannot be written to; give lifesign's user the right to write there, or set server.data_dir to another directory",
        dir.display()
    )]
    ReadOnly {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another lifesign works on it.
    #[error(
        "the data directory {} is in use by another lifesign ({}); stop that one first, or set server.data_dir to another directory",
        dir.display(),
        match pid { Some(pid) => format!("process {pid}"), None => "its process is not known".to_owned() }
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The other's process, when its note could be read.
        pid: Option<u32>,
    },
    /// It was written by a later version.
    #[error(
        "{} was written by lifesign {written_by} (store version {found}); this is lifesign {} (store version {known}), which must not change it: install {written_by} or later, or set server.data_dir to another directory",
        file.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its store version.
        found: u32,
        /// The lifesign that wrote it.
        written_by: String,
        /// The latest store version known here.
        known: u32,
    },
    /// It is a database of another program.
    #[error(
        "{} is a database of another program; move it away, or set server.data_dir to another directory",
        file.display()
    )]
    Foreign {
        /// The database.
        file: PathBuf,
    },
    /// It is damaged. Nothing is ever repaired or replaced silently.
    #[error(
        "{} is damaged ({what}); put a backup in its place (lifesign.db.v*.bak is one made by an upgrade), or move it away together with lifesign.db-wal to begin with an empty history",
        file.display()
    )]
    Corrupt {
        /// The database.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// The copy that an upgrade makes first could not be written.
    #[error("failed to copy the database to {} before upgrading it; the upgrade was not begun", to.display())]
    Backup {
        /// The copy.
        to: PathBuf,
        /// What was wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database cannot be used now.
    #[error("failed to open {}: {}", file.display(), explain(source))]
    Database {
        /// The database.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A file operation failed.
    #[error("failed to {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The disk did not take a batch. It waits in memory and is written when the disk takes it; its effects
/// are to be carried out all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not yet on the disk: {why}")]
pub struct Deferred {
    /// What is wrong with the disk.
    pub why: Arc<str>,
}

/// Why a query got no answer. Trying again later may help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The database refused.
    #[error("failed to read the store: {}", explain(.0))]
    Database(#[source] rusqlite::Error),
    /// The runtime is shutting down.
    #[error("failed to read the store: lifesign is stopping")]
    Stopping,
}

/// What a person should know about `error`.
pub(crate) fn explain(error: &rusqlite::Error) -> String {
    let words = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds a lock on the database"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk reports an error",
        Some(ErrorCode::ReadOnly) => "the database may not be written to",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "the database is damaged",
        Some(ErrorCode::CannotOpen) => "the database file cannot be opened",
        Some(ErrorCode::PermissionDenied) => "access to the database is denied",
        Some(ErrorCode::OutOfMemory) => "there is no memory left",
        _ => return error.to_string(),
    };
    format!("{words} ({error})")
}

/// Whether `error` is the disk's (or the system's) doing, so that the same statement may work later.
/// Anything else is a fault of the statement itself and will never work.
pub(crate) fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => !matches!(
            code,
            ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
        ),
        None => false,
    }
}

/// Whether a connection that saw `error` is of no use any more.
pub(crate) fn breaks_connection(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
        )
    )
}
