//! A page of shared memory as a named section.
//!
//! `Global\NAME.ID` where lifesign may make such a one (a service may), so that programs of every session find
//! it; `Local\NAME.ID` otherwise. A section lives as long as anybody holds it: one that a sender kept is found
//! again by the next lifesign.

use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::sync::atomic::{AtomicU64, Ordering};

use lifesign_core::model::ServiceId;
use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile,
    PAGE_READWRITE, UnmapViewOfFile,
};

use super::super::{PAGE, Place};
use super::access::{Attributes, SECTION_WRITER};
use crate::wide::wide;

/// Words in a page.
const WORDS: usize = PAGE / 8;

/// The page of one service.
#[derive(Debug)]
pub struct Page {
    view: *const [AtomicU64; WORDS],
    _section: OwnedHandle,
}

// SAFETY: the view is shared memory, reached by atomic operations only, and unmapped by the last owner.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// Opens the page of `service`, made from `fresh` unless `is_valid` says that a page of an earlier lifesign
    /// is there: a sender that has it mapped goes on unaware.
    ///
    /// # Errors
    /// When the section cannot be made, or somebody else's of this name may not be opened.
    pub fn open(
        place: &Place,
        service: &ServiceId,
        fresh: &[u8; PAGE],
        is_valid: impl Fn(&[u8; PAGE]) -> bool,
    ) -> io::Result<Self> {
        let attributes = Attributes::new(&place.access, SECTION_WRITER)?;
        let make = |space: &str| Self::make(&format!("{space}\\{}.{service}", place.name), &attributes);
        let page = make("Global").or_else(|_| make("Local"))?;
        if !is_valid(&page.whole()?) {
            for (at, word) in fresh.chunks_exact(8).enumerate() {
                let word = word.try_into().map(u64::from_le_bytes).unwrap_or_default();
                page.set_word(at * 8, word)?;
            }
        }
        Ok(page)
    }

    fn make(name: &str, attributes: &Attributes) -> io::Result<Self> {
        let name = wide(name)?;
        // SAFETY: attributes and NUL-terminated name outlive the call; the paging file backs the section.
        let section = unsafe {
            CreateFileMappingW(
                INVALID_HANDLE_VALUE,
                attributes.as_ptr(),
                PAGE_READWRITE,
                0,
                PAGE as u32,
                name.as_ptr(),
            )
        };
        if section.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is valid, just made, and nobody else's.
        let handle = unsafe { OwnedHandle::from_raw_handle(section) };
        // SAFETY: `section` is open; a null address is an error.
        let view = unsafe { MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, PAGE) };
        if view.Value.is_null() {
            return Err(io::Error::last_os_error());
        }
        // A view begins at a page, so the words are aligned.
        Ok(Self { view: view.Value.cast_const().cast(), _section: handle })
    }

    fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: the view is mapped as long as `self` lives, is PAGE bytes long, and a section cannot shrink.
        unsafe { &*self.view }
    }

    /// Reads the word at `at`.
    ///
    /// # Errors
    /// When there is none.
    pub fn word(&self, at: usize) -> io::Result<u64> {
        let word = self.words().get(at / 8).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(u64::from_le(word.load(Ordering::Acquire)))
    }

    /// Writes the word at `at`.
    ///
    /// # Errors
    /// When there is none.
    pub fn set_word(&self, at: usize, value: u64) -> io::Result<()> {
        let word = self.words().get(at / 8).ok_or(io::ErrorKind::InvalidInput)?;
        word.store(value.to_le(), Ordering::Release);
        Ok(())
    }

    /// Copies all of it. Senders may be writing meanwhile.
    ///
    /// # Errors
    /// Never; on Linux it may fail.
    pub fn whole(&self) -> io::Result<[u8; PAGE]> {
        let mut page = [0; PAGE];
        for (to, from) in page.chunks_exact_mut(8).zip(self.words()) {
            to.copy_from_slice(&from.load(Ordering::Acquire).to_ne_bytes());
        }
        Ok(page)
    }

    /// Takes the page away: the service is not watched any more. It is gone when its senders let go too.
    pub fn remove(self) {}
}

impl Drop for Page {
    fn drop(&mut self) {
        let view = MEMORY_MAPPED_VIEW_ADDRESS { Value: self.view.cast_mut().cast() };
        // SAFETY: the view was mapped in `make` and is not used any more.
        unsafe { UnmapViewOfFile(view) };
    }
}
