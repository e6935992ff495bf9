//! Unix sockets and mapped files.

mod page;
mod socket;

use std::ffi::CString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use lifesign_core::evidence::Process;

use super::{Access, Listening, Place, Post};
use crate::proc_stat::Stat;

pub use page::Page;
pub(super) use socket::{datagram, notify, stream};

/// How many generations up a sender's main process is looked for.
const GENERATIONS: usize = 16;

pub(super) fn address(place: &Place) -> String {
    place.dir.to_string_lossy().into_owned()
}

/// Lets in whoever may write: a folder needs the right to be entered.
pub(super) fn open_folder(dir: &Path, access: &Access) -> io::Result<()> {
    admit(dir, access, [0o700, 0o710, 0o711])
}

/// Gives `path` the mode for the owner alone, the group, or everybody.
fn admit(path: &Path, access: &Access, [owner, group, everyone]: [u32; 3]) -> io::Result<()> {
    let mode = match access {
        Access::Owner => owner,
        Access::Group(name) => {
            chown(path, None, Some(group_number(name)?))?;
            group
        }
        Access::Everyone => everyone,
    };
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The number of a group by its name, or the number itself.
pub(crate) fn group_number(name: &str) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let unknown =
        || io::Error::new(io::ErrorKind::NotFound, format!("there is no group {name:?} on this host"));
    let wanted = CString::new(name).map_err(|_| unknown())?;
    // SAFETY: all fields of group are pointers and numbers, for which zero is a value.
    let mut group: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let mut strings = vec![0; 16 * 1024];
    // SAFETY: getgrnam_r(3) reads a string that ends in zero, and writes into `group`, `found` and `strings`,
    // whose length is passed along.
    let failed = unsafe {
        libc::getgrnam_r(wanted.as_ptr(), &raw mut group, strings.as_mut_ptr(), strings.len(), &raw mut found)
    };
    match failed {
        0 if found.is_null() => Err(unknown()),
        0 => Ok(group.gr_gid),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

pub(super) fn pipe(_place: &Place, _post: Post) -> io::Result<Listening> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn registry(_key: &str, _access: &Access, _post: Post) -> io::Result<Listening> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Here a datagram is cut short to the room for it, without a word.
pub(super) fn is_cut_short(_error: &io::Error) -> bool {
    false
}

pub(super) fn belongs(pid: u32, main: Process) -> Option<bool> {
    let stat = Stat::read(main.pid).ok().filter(|stat| stat.started == main.started)?;
    let sender = Stat::read(pid).ok()?;
    // A supervised process leads a session of its own.
    let is_of_session = stat.session == main.pid && sender.session == main.pid;
    let is_of_unit = || control_group(pid).is_some_and(|group| control_group(main.pid) == Some(group));
    Some(is_of_session || is_of_unit() || descends(pid, main.pid))
}

fn descends(pid: u32, from: u32) -> bool {
    let mut ancestor = pid;
    for _ in 0..GENERATIONS {
        match parent(ancestor) {
            Some(next) if next == from => return true,
            Some(next) if next > 1 => ancestor = next,
            Some(_) | None => return false,
        }
    }
    false
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The control group of the unit that `pid` is in; `None` for one that holds many units or none.
fn control_group(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    // Version 2 has one line, `0::/system.slice/orders.service`; version 1 has systemd's own tree.
    let line =
        text.lines().find(|line| line.starts_with("0::/") && line.ends_with(".service")).or_else(|| {
            text.lines().find(|line| line.contains(":name=systemd:") && line.ends_with(".service"))
        })?;
    line.splitn(3, ':').nth(2).map(str::to_owned)
}

/// The user of `path`.
pub(super) fn owner(metadata: &std::fs::Metadata) -> Option<std::sync::Arc<str>> {
    use std::os::unix::fs::MetadataExt;
    Some(metadata.uid().to_string().into())
}

/// The number of a file on its file system.
pub(super) fn file_number(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.ino()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_known_by_name_and_by_number() {
        assert_eq!(group_number("root").unwrap(), 0);
        assert_eq!(group_number("4711").unwrap(), 4711);
        assert!(group_number("no such group").unwrap_err().to_string().contains("no such group"));
    }

    #[test]
    fn a_child_belongs_to_its_parent_and_a_stranger_does_not() {
        let me = Stat::read(std::process::id()).unwrap();
        let main = Process { pid: me.pid, started: me.started };
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        assert_eq!(super::super::belongs(child.id(), main), Some(true));
        assert_eq!(super::super::belongs(me.pid, main), Some(true));
        assert_eq!(belongs(1, main), Some(false));
        let earlier = Process { started: me.started - 1, ..main };
        assert_eq!(belongs(child.id(), earlier), None, "another process had this number once");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(belongs(child.id(), main), None, "it is gone");
    }
}
