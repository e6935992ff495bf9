//! Access lists and replacing files.

use std::fs::File;
use std::io;
use std::path::Path;

/// A new empty file for the owner, SYSTEM and Administrators, from its first moment.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    File::create(path)
}

/// Puts `draft` in the place of `path`.
pub(super) fn replace(draft: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(draft, path)
}

/// The process that holds a lock file.
pub(super) fn holder(file: &mut File) -> Option<u32> {
    super::read_pid(file)
}
