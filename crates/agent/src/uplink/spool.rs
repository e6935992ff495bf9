//! What could not be sent, on disk: a queue of bounded size whose oldest part gives way to the newest.
//!
//! ```text
//! DIR/0000000000000007.spool    {"at":"2026-…Z","seen":{…}}\n  one line each, the oldest file first
//! ```
//!
//! What was handed out is taken off the disk only when it was acknowledged: an agent that dies in between hands it
//! out again.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use lifesign_core::input::Input;
use lifesign_core::time::Wall;
use serde::{Deserialize, Serialize};

/// Files the limit is divided into: that much is dropped at a time.
const PARTS: u64 = 16;
const ENDING: &str = "spool";

/// One piece of evidence and when it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) at: Wall,
    pub(super) seen: Input,
}

#[derive(Debug)]
struct Part {
    number: u64,
    bytes: u64,
    lines: u64,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    limit: u64,
    parts: VecDeque<Part>,
    writing: Option<File>,
    /// The part that is read, how many of its bytes were handed out, and how many lines.
    reading: (u64, u64, u64),
    dropped: u64,
}

impl Spool {
    /// Opens the queue in `dir`, which is made if it is missing. It takes at most `limit` bytes.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub(super) fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?, 16).ok());
            if let Some(number) = number
                && path.extension().is_some_and(|ending| ending == ENDING)
            {
                let (mut bytes, mut lines) = (0, 0);
                let mut file = BufReader::new(File::open(&path)?);
                let mut line = Vec::new();
                while file.read_until(b'\n', &mut line)? > 0 {
                    bytes += line.len() as u64;
                    lines += 1;
                    line.clear();
                }
                parts.push(Part { number, bytes, lines });
            }
        }
        parts.sort_unstable_by_key(|part| part.number);
        let first = parts.first().map_or(0, |part| part.number);
        Ok(Self {
            dir: dir.to_owned(),
            limit,
            parts: parts.into(),
            // What an earlier agent wrote may end in the middle of a line: it is never added to.
            writing: None,
            reading: (first, 0, 0),
            dropped: 0,
        })
    }

    /// How many pieces wait to be handed out.
    pub(super) fn waiting(&self) -> u64 {
        let (number, _, read) = self.reading;
        let later: u64 = self.parts.iter().filter(|part| part.number > number).map(|part| part.lines).sum();
        later
            + self
                .parts
                .iter()
                .find(|part| part.number == number)
                .map_or(0, |part| part.lines.saturating_sub(read))
    }

    /// How many pieces gave way to newer ones, or could not be written or read.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds to the end.
    ///
    /// # Errors
    /// When the disk does not take it. It is counted as dropped.
    pub(super) fn push(&mut self, kept: &[Kept]) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut count = 0;
        for kept in kept {
            let begin = lines.len();
            if serde_json::to_writer(&mut lines, kept).is_ok() {
                lines.push(b'\n');
                count += 1;
            } else {
                lines.truncate(begin);
                self.dropped += 1;
            }
        }
        let written = self.append(&lines, count);
        if written.is_err() {
            self.dropped += count;
            // Half a line may stand there now.
            self.writing = None;
        }
        written
    }

    fn append(&mut self, lines: &[u8], count: u64) -> io::Result<()> {
        let full = self.parts.back().is_some_and(|part| part.bytes >= self.limit / PARTS);
        if full || self.writing.is_none() {
            let number = self.parts.back().map_or(0, |part| part.number + 1);
            let options = OpenOptions::new().create_new(true).append(true).open(self.path(number))?;
            self.writing = Some(options);
            if self.parts.is_empty() {
                self.reading = (number, 0, 0);
            }
            self.parts.push_back(Part { number, bytes: 0, lines: 0 });
        }
        if let (Some(file), Some(part)) = (&mut self.writing, self.parts.back_mut()) {
            file.write_all(lines)?;
            part.bytes += lines.len() as u64;
            part.lines += count;
        }
        while self.parts.len() > 1 && self.parts.iter().map(|part| part.bytes).sum::<u64>() > self.limit {
            self.drop_oldest();
        }
        Ok(())
    }

    fn drop_oldest(&mut self) {
        let Some(part) = self.parts.pop_front() else { return };
        let (number, _, read) = self.reading;
        self.dropped += if number == part.number { part.lines.saturating_sub(read) } else { part.lines };
        // One that stays is found again by the next start, and sent then.
        let _ = std::fs::remove_file(self.path(part.number));
        if number <= part.number {
            self.reading = (self.parts.front().map_or(part.number + 1, |part| part.number), 0, 0);
        }
    }

    /// Hands out the next pieces, at most `most`. They stay on the disk until [`forget`](Self::forget).
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn next(&mut self, most: usize) -> io::Result<Vec<Kept>> {
        let mut kept = Vec::new();
        while kept.len() < most {
            let (number, offset, read) = self.reading;
            let Some(part) = self.parts.iter().find(|part| part.number == number) else { break };
            if read >= part.lines {
                let Some(next) = self.parts.iter().find(|part| part.number > number) else { break };
                self.reading = (next.number, 0, 0);
                continue;
            }
            let mut file = BufReader::new(File::open(self.path(number))?);
            file.seek(SeekFrom::Start(offset))?;
            let mut line = Vec::new();
            while kept.len() < most && self.reading.2 < part.lines {
                line.clear();
                let length = file.read_until(b'\n', &mut line)?;
                self.reading.1 += length as u64;
                self.reading.2 += 1;
                match serde_json::from_slice(&line) {
                    Ok(one) => kept.push(one),
                    // The last line of an agent that was killed while it wrote.
                    Err(_) => self.dropped += 1,
                }
            }
        }
        Ok(kept)
    }

    /// Takes off the disk what was handed out.
    pub(super) fn forget(&mut self) {
        let (number, _, read) = self.reading;
        while let Some(part) = self.parts.front()
            && (part.number < number || (part.number == number && read >= part.lines))
        {
            let number = part.number;
            let is_last = self.parts.len() == 1;
            self.parts.pop_front();
            if is_last {
                self.writing = None;
            }
            let _ = std::fs::remove_file(self.path(number));
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}.{ENDING}"))
    }
}

#[cfg(test)]
mod tests {
    use lifesign_core::evidence::HostSample;

    use super::*;

    fn kept(n: i64) -> Kept {
        let metrics = vec![("n".into(), n as f64)];
        Kept { at: Wall::from_millis(n), seen: Input::Host(HostSample { host: "h".into(), metrics }) }
    }

    fn read(spool: &mut Spool, most: usize) -> Vec<i64> {
        spool.next(most).unwrap().iter().map(|kept| kept.at.as_millis()).collect()
    }

    #[test]
    fn what_was_put_in_comes_out_in_order_also_after_a_new_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
        spool.push(&[kept(1), kept(2), kept(3)]).unwrap();
        assert_eq!(read(&mut spool, 2), [1, 2]);
        assert_eq!(spool.waiting(), 1);
        // It dies before anything was acknowledged.
        drop(spool);
        let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
        spool.push(&[kept(4)]).unwrap();
        assert_eq!(read(&mut spool, 9), [1, 2, 3, 4]);
        spool.forget();
        assert_eq!((spool.waiting(), spool.dropped()), (0, 0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        spool.push(&[kept(5)]).unwrap();
        assert_eq!(read(&mut spool, 9), [5]);
    }

    #[test]
    fn the_oldest_gives_way_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let limit = 16 * 1024;
        let mut spool = Spool::open(dir.path(), limit).unwrap();
        for n in 0..1000 {
            spool.push(&[kept(n)]).unwrap();
        }
        let size: u64 =
            std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= limit, "{size}");
        let left = read(&mut spool, 10_000);
        assert_eq!(*left.last().unwrap(), 999);
        assert!(left.windows(2).all(|two| two[1] == two[0] + 1));
        assert_eq!(left.len() as u64 + spool.dropped(), 1000);
        assert!(left.len() > 50, "{}", left.len());
    }

    #[test]
    fn half_a_line_costs_that_line_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        Spool::open(dir.path(), 1 << 20).unwrap().push(&[kept(1), kept(2)]).unwrap();
        let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read(&file).unwrap();
        std::fs::write(&file, &text[..text.len() - 9]).unwrap();
        let mut spool = Spool::open(dir.path(), 1 << 20).unwrap();
        spool.push(&[kept(3)]).unwrap();
        assert_eq!(read(&mut spool, 9), [1, 3]);
        assert_eq!(spool.dropped(), 1);
    }
}
