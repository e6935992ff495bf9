//! Modes and renames.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// A new empty file with mode 0600 from its first moment; one left behind by a crash is taken over.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// A file to append to: a new one with mode 0600 from its first moment; one that is there keeps its mode.
pub(super) fn append_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Puts `draft` in the place of `path`, and makes the directory remember it.
pub(super) fn replace(draft: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(draft, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// The process that holds a lock file. Locks are advisory here, so its content can be read.
pub(super) fn holder(file: &mut File) -> Option<u32> {
    super::read_pid(file)
}

#[cfg(test)]
mod tests {
    use super::super::{LockError, lock, write_private};
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_for_its_owner_alone_even_where_an_open_one_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "open").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"secret").unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_file_of_lines_is_for_its_owner_alone_unless_somebody_had_opened_it() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("new.log"), dir.path().join("old.log"));
        append_private(&new).unwrap();
        assert_eq!(mode(&new), 0o600);
        std::fs::write(&old, "").unwrap();
        std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o640)).unwrap();
        append_private(&old).unwrap();
        assert_eq!(mode(&old), 0o640);
    }

    #[test]
    fn a_directory_that_may_not_be_written_says_so() {
        // Not even root may make files in /sys.
        let refused = lock(Path::new("/sys")).unwrap_err();
        assert!(matches!(refused, LockError::ReadOnly { .. }), "{refused:?}");
        assert!(refused.to_string().contains("may not be written"), "{refused}");
    }
}
