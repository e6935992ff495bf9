//! Files as heartbeats: a program touches its file, or writes a note into it.
//!
//! A file is looked at when the system tells of its writing ([`Changes`](super::Changes)), and in turns, since that
//! works on every file system. Nothing is missed, since only the last note counts anyway.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lifesign_core::model::ServiceId;

use super::{Letter, MAX_LETTER, Sender, Way, imp};

/// The file of one service.
#[derive(Debug)]
pub struct Note {
    service: ServiceId,
    path: PathBuf,
    is_read: bool,
    last: Option<Seen>,
}

/// What of a file tells that it was written.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    modified: Option<SystemTime>,
    length: u64,
    /// One that was renamed into its place is another file, though it may be as long and of the same instant.
    file: u64,
}

/// Why a note was not read.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// It is larger than [`MAX_LETTER`].
    #[error("more than {MAX_LETTER} bytes in a note")]
    TooLarge,
    /// The system's words.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Note {
    /// The file `path`, which need not exist yet, with what is written in it. What lies there already is no
    /// sign of life: it is only remembered.
    pub fn new(service: ServiceId, path: PathBuf) -> Self {
        let last = see(&path).ok().map(|(seen, _)| seen);
        Self { service, path, is_read: true, last }
    }

    /// The file `path`, of which only the touch counts: a log, a database.
    pub fn touched(service: ServiceId, path: PathBuf) -> Self {
        Self { is_read: false, ..Self::new(service, path) }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks once. A letter when the file was written or touched since the last look. A file that is missing is
    /// silence, no fault.
    ///
    /// # Errors
    /// When it is there and cannot be read; once for each time it was written.
    pub fn look(&mut self) -> Result<Option<Letter>, NoteError> {
        let (seen, metadata) = match see(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if self.last.as_ref() == Some(&seen) {
            return Ok(None);
        }
        self.last = Some(seen);
        if !metadata.is_file() {
            // Opening a pipe would wait for its writer.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no ordinary file").into());
        }
        let mut bytes = Vec::new();
        if self.is_read {
            File::open(&self.path)?.take(MAX_LETTER as u64 + 1).read_to_end(&mut bytes)?;
        }
        if bytes.len() > MAX_LETTER {
            return Err(NoteError::TooLarge);
        }
        let sender = Sender { pid: None, user: imp::owner(&metadata) };
        Ok(Some(Letter { way: Way::File, sender, service: Some(self.service.clone()), bytes }))
    }
}

fn see(path: &Path) -> io::Result<(Seen, Metadata)> {
    let metadata = std::fs::metadata(path)?;
    let file = imp::file_number(&metadata);
    Ok((Seen { modified: metadata.modified().ok(), length: metadata.len(), file }, metadata))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_touch_and_a_note_are_letters_and_an_old_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders");
        std::fs::write(&path, "left from yesterday").unwrap();
        let mut note = Note::new(ServiceId::new("orders").unwrap(), path.clone());
        assert!(note.look().unwrap().is_none());

        let later = SystemTime::now() + Duration::from_secs(5);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(note.look().unwrap().unwrap().bytes, b"left from yesterday");
        assert!(note.look().unwrap().is_none());

        std::fs::write(&path, "alive queue=3").unwrap();
        let letter = note.look().unwrap().unwrap();
        assert_eq!(
            (letter.bytes.as_slice(), letter.service.unwrap().as_str()),
            (&b"alive queue=3"[..], "orders")
        );
        std::fs::remove_file(&path).unwrap();
        assert!(note.look().unwrap().is_none());
        std::fs::write(&path, "").unwrap();
        assert!(note.look().unwrap().is_some());
    }

    #[test]
    fn a_note_that_is_none_is_refused_and_the_next_one_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders");
        let mut note = Note::new(ServiceId::new("orders").unwrap(), path.clone());
        std::fs::write(&path, vec![b'x'; MAX_LETTER + 1]).unwrap();
        assert!(matches!(note.look(), Err(NoteError::TooLarge)));
        assert!(note.look().unwrap().is_none());
        std::fs::write(&path, "alive").unwrap();
        assert!(note.look().unwrap().is_some());
        let mut log = Note::touched(ServiceId::new("orders").unwrap(), path.clone());
        std::fs::write(&path, vec![b'x'; MAX_LETTER + 1]).unwrap();
        assert_eq!(log.look().unwrap().unwrap().bytes, b"");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(note.look(), Err(NoteError::Io(_))));
    }
}
