//! Files with rights: secrets for the owner's eyes, and the lock on the data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;
pub mod rolling;

/// Name of the lock file inside the directory it locks.
pub const LOCK_FILE: &str = "lifesign.lock";

/// Writes `bytes` to `path`, readable by the owner alone (Linux: mode 0600; Windows: owner, SYSTEM and
/// Administrators), replacing what was there in one step: a reader sees the old content or the new one,
/// also after a power cut.
///
/// # Errors
/// When the directory is missing or may not be written; the old content is then untouched.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, |_| Ok(()))
}

/// The same, readable by all (mode 0644) from the moment it stands at `path`: whoever watches the folder, as polkit
/// does, reads it at once and never again.
#[cfg(target_os = "linux")]
pub(crate) fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    replace(path, bytes, |file| file.set_permissions(std::fs::Permissions::from_mode(0o644)))
}

fn replace(path: &Path, bytes: &[u8], open_up: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = imp::create_private(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        open_up(&file)?;
        file.sync_all()?;
        drop(file);
        imp::replace(&draft, path)
    });
    if written.is_err() {
        // The first error is the one to tell; a draft left behind is overwritten by the next attempt.
        let _ = std::fs::remove_file(&draft);
    }
    written
}

/// The exclusive right to use a directory, held until this is dropped or the process ends in any way.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{dir:?} is in use by another lifesign{}; stop that one, or use another data directory", of_process(*.pid))]
    Held {
        /// The directory.
        dir: PathBuf,
        /// The process that holds it, where it could be read.
        pid: Option<u32>,
    },
    /// The directory may be read and not written.
    #[error(
        "{dir:?} may not be written by this user; give lifesign the right, or use another data directory"
    )]
    ReadOnly {
        /// The directory.
        dir: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Anything else.
    #[error("failed to lock {path:?}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

fn of_process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Locks `dir` for this process. The system frees the lock when the process ends, however it ends, so there
/// is nothing stale to clean up.
///
/// # Errors
/// [`LockError::Held`] names the other process, [`LockError::ReadOnly`] a directory that may not be written.
pub fn lock(dir: &Path) -> Result<DirLock, LockError> {
    let path = dir.join(LOCK_FILE);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(
            |source| match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    LockError::ReadOnly { dir: dir.to_owned(), source }
                }
                _ => LockError::Io { path: path.clone(), source },
            },
        )?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(LockError::Held { dir: dir.to_owned(), pid: imp::holder(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(LockError::Io { path, source }),
    }
    write_pid(&mut file).map_err(|source| LockError::Io { path, source })?;
    Ok(DirLock { _file: file })
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    file.sync_all()
}

/// The number in a lock file; `None` while the holder is just writing it.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        let refused = lock(dir.path()).unwrap_err();
        assert!(
            matches!(refused, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()),
            "{refused}"
        );
        assert!(refused.to_string().contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(first);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn a_missing_directory_is_no_matter_of_rights() {
        let dir = tempfile::tempdir().unwrap();
        let refused = lock(&dir.path().join("none")).unwrap_err();
        assert!(matches!(refused, LockError::Io { .. }), "{refused}");
    }

    #[test]
    fn a_private_file_is_replaced_as_a_whole_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write_private(&path, b"first, and longer").unwrap();
        write_private(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_private(&dir.path().join("none/token"), b"x").is_err());
    }
}
