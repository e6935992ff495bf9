//! The named pipe, named sections and a registry key.

mod access;
mod page;
mod pipe;
mod registry;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifesign_core::evidence::Process;
use lifesign_core::model::ServiceId;
use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Networking::WinSock::WSAEMSGSIZE;
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};

use super::{Access, Listening, Place, Post};
use crate::process_handle::{ProcessHandle, Rights};

pub use page::Page;
pub(super) use pipe::pipe;
pub(super) use registry::registry;

/// How many generations up a sender's main process is looked for.
const GENERATIONS: usize = 16;

pub(super) fn address(place: &Place) -> String {
    place.name.clone()
}

/// The folder of notes keeps the access list that it inherits: whoever may write there may beat.
pub(super) fn open_folder(_dir: &Path, _access: &Access) -> io::Result<()> {
    Ok(())
}

pub(super) fn datagram(_place: &Place, _post: Post) -> io::Result<Listening> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn stream(_place: &Place, _post: Post) -> io::Result<Listening> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn notify(_place: &Place, _service: &ServiceId, _post: Post) -> io::Result<(PathBuf, Listening)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The owner of a file says little here: whatever an administrator makes belongs to all administrators.
pub(super) fn owner(_metadata: &std::fs::Metadata) -> Option<Arc<str>> {
    None
}

/// A file's number takes opening it here; its times are fine enough to tell two apart.
pub(super) fn file_number(_metadata: &std::fs::Metadata) -> u64 {
    0
}

/// Whether a datagram had more bytes than there was room for.
pub(super) fn is_cut_short(error: &io::Error) -> bool {
    error.raw_os_error() == Some(WSAEMSGSIZE)
}

pub(super) fn belongs(pid: u32, main: Process) -> Option<bool> {
    // The handle keeps the number from being given away while the table is read.
    let handle = ProcessHandle::open(main.pid, Rights::Watch).ok()?;
    if handle.process().started != main.started || handle.exit_code().is_some() {
        return None;
    }
    let parents = parents();
    let parent = |pid: u32| parents.iter().find(|(child, _)| *child == pid).map(|(_, parent)| *parent);
    let mut ancestor = parent(pid)?;
    for _ in 0..GENERATIONS {
        if ancestor == main.pid {
            return Some(true);
        }
        match parent(ancestor) {
            Some(next) if next != 0 => ancestor = next,
            Some(_) | None => break,
        }
    }
    Some(false)
}

/// Each process with its parent.
fn parents() -> Vec<(u32, u32)> {
    // SAFETY: takes plain numbers.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Vec::new();
    }
    // SAFETY: the handle is valid, just made, and nobody else's.
    let _closes = unsafe {
        <std::os::windows::io::OwnedHandle as std::os::windows::io::FromRawHandle>::from_raw_handle(snapshot)
    };
    // SAFETY: all fields are numbers and arrays of numbers, for which zero is a value.
    let mut entry: PROCESSENTRY32W = unsafe { std::mem::zeroed() };
    entry.dwSize = size_of::<PROCESSENTRY32W>() as u32;
    let mut parents = Vec::new();
    // SAFETY: writes one entry, whose size it holds, through a pointer valid for the call.
    let mut is_one = unsafe { Process32FirstW(snapshot, &raw mut entry) };
    while is_one != 0 {
        parents.push((entry.th32ProcessID, entry.th32ParentProcessID));
        // SAFETY: as above.
        is_one = unsafe { Process32NextW(snapshot, &raw mut entry) };
    }
    parents
}
