//! The data directory: made for its owner alone, used by one lifesign at a time.
//!
//! The lock is on `lifesign.lock`; the number of the process that holds it stands beside it in
//! `lifesign.pid`, because on Windows nobody else can read a locked file.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// The database.
pub(crate) const DATABASE: &str = "lifesign.db";
const LOCK: &str = "lifesign.lock";
const PID: &str = "lifesign.pid";

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    dir: PathBuf,
    /// Locked; the system lets go when it is closed, also when we are killed.
    _lock: File,
}

impl DataDir {
    /// Makes `dir` when it is missing, locks it and leaves our process number there.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let mut builder = DirBuilder::new();
        private::directory(&mut builder);
        builder
            .recursive(true)
            .create(dir)
            .map_err(|source| failure(dir, "make the data directory", dir, source))?;
        let path = dir.join(LOCK);
        let lock = private_file(&path, OpenOptions::new().create(true).truncate(false))
            .map_err(|source| failure(dir, "open", &path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { dir: dir.to_owned(), pid: read_pid(dir) });
            }
            Err(TryLockError::Error(source)) => return Err(failure(dir, "lock", &path, source)),
        }
        write_pid(dir).map_err(|source| failure(dir, "write", &dir.join(PID), source))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join(DATABASE)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Before the lock goes, so that no later holder's note is removed. A note left behind is harmless.
        let _ = std::fs::remove_file(self.dir.join(PID));
    }
}

/// A file that only its owner may read and write.
pub(crate) fn private_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    private::file(options);
    options.read(true).write(true).open(path)
}

fn read_pid(dir: &Path) -> Option<u32> {
    std::fs::read_to_string(dir.join(PID)).ok()?.trim().parse().ok()
}

/// Written beside and renamed, so that nobody reads half a number; also the proof that files can be
/// made here.
fn write_pid(dir: &Path) -> io::Result<()> {
    let fresh = dir.join("lifesign.pid.new");
    let mut file = private_file(&fresh, OpenOptions::new().create(true).truncate(true))?;
    writeln!(file, "{}", std::process::id())?;
    drop(file);
    std::fs::rename(fresh, dir.join(PID))
}

fn failure(dir: &Path, doing: &'static str, path: &Path, source: io::Error) -> OpenError {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::ReadOnly { dir: dir.to_owned(), source }
        }
        _ => OpenError::Io { doing, path: path.to_owned(), source },
    }
}

/// Rights of files and directories that are made here.
#[cfg(unix)]
mod private {
    use std::fs::{DirBuilder, OpenOptions};
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

    pub(super) fn directory(builder: &mut DirBuilder) {
        builder.mode(0o700);
    }

    pub(super) fn file(options: &mut OpenOptions) {
        options.mode(0o600);
    }
}

/// On Windows, files inherit the access list of the directory they are made in.
#[cfg(not(unix))]
mod private {
    use std::fs::{DirBuilder, OpenOptions};

    pub(super) fn directory(_: &mut DirBuilder) {}

    pub(super) fn file(_: &mut OpenOptions) {}
}
