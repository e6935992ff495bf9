//! The bounded log of a supervised process.
//!
//! The process writes to the file by itself, so that it needs no lifesign to live; hence the file cannot be
//! renamed away from under it. When it has grown over its limit it is copied to `.1` and cut to nothing; the
//! process, which appends, goes on at the new end. What is written between the copy and the cut is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Most bytes of output handed on with the report of an end.
const TAIL: u64 = lifesign_core::evidence::MAX_OUTPUT as u64;

/// Opens the log for a new child to append to, bounding it first.
pub(super) fn open(path: &Path, limit: u64) -> io::Result<File> {
    bound(path, limit)?;
    OpenOptions::new().append(true).create(true).open(path)
}

/// How long the log is now; what a child writes comes after this.
pub(super) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Turns the log over if it is longer than `limit`, and says whether it did.
pub(super) fn bound(path: &Path, limit: u64) -> io::Result<bool> {
    let length = match std::fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if length <= limit {
        return Ok(false);
    }
    // Only the newest `limit` bytes are kept, however far a flood has overshot.
    let mut from = File::open(path)?;
    from.seek(SeekFrom::Start(length - limit))?;
    let mut to = File::create(older(path))?;
    // No further than it was long: who copies to the end never catches up with a flood.
    io::copy(&mut from.take(limit), &mut to)?;
    OpenOptions::new().write(true).open(path)?.set_len(0)?;
    Ok(true)
}

/// The last output after the first `from` bytes: at most [`TAIL`] bytes, whole lines where there are any.
/// `None`: silence.
pub(super) fn tail(path: &Path, from: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let start = length.saturating_sub(TAIL).max(from);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let mut bytes = bytes.as_slice();
    if start > from
        && let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
        && end + 1 < bytes.len()
    {
        bytes = &bytes[end + 1..];
    }
    let mut text = String::from_utf8_lossy(bytes).trim_end().to_owned();
    // Each byte that is no UTF-8 has become three, so the text may have outgrown the limit again.
    let limit = lifesign_core::evidence::MAX_OUTPUT;
    if text.len() > limit {
        let cut = text.ceil_char_boundary(text.len() - limit);
        text.drain(..cut);
    }
    (!text.is_empty()).then_some(text)
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_over_its_limit_is_turned_over_and_the_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut writer = open(&path, 10).unwrap();
        writer.write_all(b"0123456789").unwrap();
        bound(&path, 10).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789", "at the limit nothing happens");
        writer.write_all(b"ab").unwrap();
        bound(&path, 10).unwrap();
        writer.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(older(&path)).unwrap(), b"23456789ab");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn the_tail_is_whole_lines_within_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        assert_eq!(tail(&path, 0), None);
        std::fs::write(&path, "").unwrap();
        assert_eq!(tail(&path, 0), None);
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(tail(&path, 0).as_deref(), Some("one\ntwo"));
        assert_eq!(
            tail(&path, 4).as_deref(),
            Some("two"),
            "what an earlier run wrote is not this one's output"
        );
        std::fs::write(&path, "line of text\n".repeat(1000)).unwrap();
        let text = tail(&path, 0).unwrap();
        assert!(
            text.len() <= lifesign_core::evidence::MAX_OUTPUT
                && text.lines().all(|line| line == "line of text")
        );
        std::fs::write(&path, vec![0xff; 10_000]).unwrap();
        assert!(tail(&path, 0).unwrap().len() <= lifesign_core::evidence::MAX_OUTPUT);
    }
}
