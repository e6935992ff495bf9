//! A page of shared memory as a file that its sender maps.
//!
//! lifesign itself does not map it: whoever may write a file may also cut it short, and a mapped byte that is
//! gone kills the process that reads it. `pread(2)` sees the same memory and answers a short read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use lifesign_core::model::ServiceId;

use super::super::{PAGE, Place};
use super::admit;

/// The page of one service.
#[derive(Debug)]
pub struct Page {
    file: File,
    path: PathBuf,
}

impl Page {
    /// Opens the page of `service`, made from `fresh` unless `is_valid` says that a page of an earlier lifesign
    /// is there: a sender that has it mapped goes on unaware.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(
        place: &Place,
        service: &ServiceId,
        fresh: &[u8; PAGE],
        is_valid: impl Fn(&[u8; PAGE]) -> bool,
    ) -> io::Result<Self> {
        let dir = place.dir.join("memory");
        std::fs::create_dir_all(&dir)?;
        super::open_folder(&dir, &place.access)?;
        let path = dir.join(service.as_str());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no ordinary file", path.display()),
            ));
        }
        admit(&path, &place.access, [0o600, 0o660, 0o666])?;
        let page = Self { file, path };
        if metadata.len() != PAGE as u64 || !page.whole().is_ok_and(|there| is_valid(&there)) {
            page.file.set_len(PAGE as u64)?;
            page.file.write_all_at(fresh, 0)?;
        }
        Ok(page)
    }

    /// Reads the word at `at`.
    ///
    /// # Errors
    /// When the file was cut short.
    pub fn word(&self, at: usize) -> io::Result<u64> {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, at as u64)?;
        Ok(u64::from_le_bytes(word))
    }

    /// Writes the word at `at`.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn set_word(&self, at: usize, value: u64) -> io::Result<()> {
        self.file.write_all_at(&value.to_le_bytes(), at as u64)
    }

    /// Copies all of it. Senders may be writing meanwhile.
    ///
    /// # Errors
    /// When the file was cut short.
    pub fn whole(&self) -> io::Result<[u8; PAGE]> {
        let mut page = [0; PAGE];
        self.file.read_exact_at(&mut page, 0)?;
        Ok(page)
    }

    /// Takes the page away: the service is not watched any more.
    pub fn remove(self) {
        // One that is gone already is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}
