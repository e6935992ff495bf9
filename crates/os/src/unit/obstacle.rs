//! What stands in the way of a restart that nobody has asked for: a package manager at work.
//!
//! It stops and starts services itself, and what it replaces cannot run meanwhile. Each holds a lock on a file of
//! its own; `/proc/locks` shows that to everybody, without opening the file.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The files that package managers lock while they work.
const LOCKED: [(&str, &str); 4] = [
    ("dpkg", "/var/lib/dpkg/lock-frontend"),
    ("dpkg", "/var/lib/dpkg/lock"),
    ("rpm", "/var/lib/rpm/.rpm.lock"),
    ("rpm", "/usr/lib/sysimage/rpm/.rpm.lock"),
];
/// The files that are there only while they work.
const PRESENT: [(&str, &str); 1] = [("pacman", "/var/lib/pacman/db.lck")];

/// The package manager that is at work, in words.
pub(super) fn update() -> Option<String> {
    let words = |(tool, path): &(&str, &str)| format!("an update is under way ({tool} holds {path})");
    if let Some(present) = PRESENT.iter().find(|(_, path)| Path::new(path).exists()) {
        return Some(words(present));
    }
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    LOCKED.iter().find(|(_, path)| is_locked(Path::new(path), &locks)).map(words)
}

/// Whether `locks`, of the form of `/proc/locks`, has a lock on this file. Those that only wait for one are marked
/// with an arrow.
fn is_locked(path: &Path, locks: &str) -> bool {
    let Ok(meta) = path.metadata() else { return false };
    let (major, minor) = (libc::major(meta.dev()), libc::minor(meta.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    locks.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next() != Some("->") && fields.any(|field| field == file)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_lock_that_somebody_holds_is_seen_and_goes_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = std::fs::File::create(&path).unwrap();
        let is_locked = || super::is_locked(&path, &std::fs::read_to_string("/proc/locks").unwrap());
        assert!(!is_locked());
        file.lock().unwrap();
        assert!(is_locked());
        drop(file);
        assert!(!is_locked());
        assert!(!super::is_locked(&dir.path().join("none"), "1: POSIX  ADVISORY  WRITE 1 00:1e:1 0 EOF"));
    }
}
