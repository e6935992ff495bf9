//! Mapping a page of shared memory.
#![allow(unsafe_code, reason = "std maps no memory")]

use std::sync::atomic::AtomicU64;

/// Words in a page.
pub(super) const WORDS: usize = 512;

#[cfg(unix)]
pub(super) use unix::Map;
#[cfg(windows)]
pub(super) use windows::Map;

#[cfg(unix)]
mod unix {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::path::Path;
    use std::ptr::null_mut;

    use super::{AtomicU64, WORDS};

    /// A mapped page.
    pub(in super::super) struct Map {
        at: *mut libc::c_void,
        identity: (u64, u64),
    }

    // SAFETY: the memory is shared and reached by atomic operations only; it is unmapped by the last owner.
    unsafe impl Send for Map {}
    // SAFETY: as above.
    unsafe impl Sync for Map {}

    impl Map {
        pub(in super::super) fn open(place: &Path, service: &str) -> io::Result<Self> {
            let path = place.join("memory").join(service);
            let file: File =
                OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() || metadata.len() != 8 * WORDS as u64 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no page of shared memory"));
            }
            // SAFETY: a fresh mapping of a file as long as the mapping touches no other memory.
            let at = unsafe {
                libc::mmap(
                    null_mut(),
                    8 * WORDS,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED,
                    file.as_raw_fd(),
                    0,
                )
            };
            if at == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { at, identity: (metadata.dev(), metadata.ino()) })
        }

        pub(in super::super) fn is_same(&self, other: &Self) -> bool {
            self.identity == other.identity
        }

        pub(in super::super) fn words(&self) -> &[AtomicU64; WORDS] {
            // SAFETY: the mapping is as long as this array, aligned to a page, and lives as long as `self`. Only
            // whoever may write the file could cut it short: lifesign, or this service's own user.
            unsafe { &*self.at.cast() }
        }
    }

    impl Drop for Map {
        fn drop(&mut self) {
            // SAFETY: mapped in `open`, used by nobody any more.
            unsafe { libc::munmap(self.at, 8 * WORDS) };
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::io;
    use std::os::windows::ffi::OsStrExt;
    use std::os::windows::io::{FromRawHandle, OwnedHandle};
    use std::path::Path;

    use windows_sys::Win32::System::Memory::{
        FILE_MAP_READ, FILE_MAP_WRITE, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, OpenFileMappingW,
        UnmapViewOfFile,
    };

    use super::{AtomicU64, WORDS};

    /// A mapped page.
    pub(in super::super) struct Map {
        at: MEMORY_MAPPED_VIEW_ADDRESS,
        _section: OwnedHandle,
    }

    // SAFETY: the memory is shared and reached by atomic operations only; it is unmapped by the last owner.
    unsafe impl Send for Map {}
    // SAFETY: as above.
    unsafe impl Sync for Map {}

    impl Map {
        pub(in super::super) fn open(place: &Path, service: &str) -> io::Result<Self> {
            let of = |space: &str| Self::named(&format!("{space}\\{}.{service}", place.display()));
            of("Global").or_else(|_| of("Local"))
        }

        fn named(name: &str) -> io::Result<Self> {
            let name: Vec<u16> = std::ffi::OsStr::new(name).encode_wide().chain([0]).collect();
            let access = FILE_MAP_READ | FILE_MAP_WRITE;
            // SAFETY: the name is NUL-terminated and outlives the call.
            let section = unsafe { OpenFileMappingW(access, 0, name.as_ptr()) };
            if section.is_null() {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the handle is valid, just made, and nobody else's.
            let handle = unsafe { OwnedHandle::from_raw_handle(section) };
            // SAFETY: the section is open; a smaller one makes the call fail.
            let at = unsafe { MapViewOfFile(section, access, 0, 0, 8 * WORDS) };
            if at.Value.is_null() {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { at, _section: handle })
        }

        /// The section lives as long as this handle, and its name with it: there is no other.
        pub(in super::super) fn is_same(&self, _other: &Self) -> bool {
            true
        }

        pub(in super::super) fn words(&self) -> &[AtomicU64; WORDS] {
            // SAFETY: the view is as long as this array, aligned to a page, lives as long as `self`, and a section
            // cannot shrink.
            unsafe { &*self.at.Value.cast() }
        }
    }

    impl Drop for Map {
        fn drop(&mut self) {
            // SAFETY: mapped in `named`, used by nobody any more.
            unsafe { UnmapViewOfFile(self.at) };
        }
    }
}
