//! A file of lines that is turned over by size: `x.log`, and before it `x.log.1`, `x.log.2`, … up to a number.
//!
//! Own lines of code, because what there is turns over by time, or makes files that everybody may read. The files are
//! for their owner alone from their first moment on, as [`write_private`](super::write_private) makes them; one that
//! is there already keeps the rights that somebody gave it.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::imp;

/// Where, how long and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// The newest file.
    pub path: PathBuf,
    /// Longest file in bytes. A line is never cut, so one that is longer than this has a file to itself.
    pub limit: u64,
    /// Most files, the newest included; at least 1. What is older is removed.
    pub files: u32,
}

/// A file that is appended to and turned over.
#[derive(Debug)]
pub struct Rolling {
    roll: Roll,
    open: Option<(File, u64)>,
}

impl Rolling {
    /// Nothing is opened yet.
    pub const fn new(roll: Roll) -> Self {
        Self { roll, open: None }
    }

    /// Opens the file, and makes it and its folder where they are missing. Not needed before [`append`](Self::append),
    /// but tells early what would go wrong.
    ///
    /// # Errors
    /// The system's, when the file cannot be opened for writing.
    pub fn open(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            if let Some(folder) = self.roll.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
            let file = imp::append_private(&self.roll.path)?;
            let length = file.metadata()?.len();
            self.open = Some((file, length));
        }
        Ok(())
    }

    /// Appends `line`, which brings its own line break, and turns the file over first where it would become too long.
    ///
    /// # Errors
    /// The system's. The line is lost then, or a part of it is written; the next call opens the file anew.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.try_append(line);
        if written.is_err() {
            self.open = None;
        }
        written
    }

    fn try_append(&mut self, line: &[u8]) -> io::Result<()> {
        self.open()?;
        let more = line.len() as u64;
        let length = self.open.as_ref().map_or(0, |(_, length)| *length);
        if length > 0 && length + more > self.roll.limit {
            let turned = self.turn_over();
            // Somebody who reads the file may hold it for a moment (Windows): better too long than lost.
            if length + more > 2 * self.roll.limit {
                turned?;
            }
            self.open()?;
        }
        let Some((file, length)) = &mut self.open else { return Ok(()) };
        // Counted before the attempt, so that half a line counts too.
        *length += more;
        file.write_all(line)
    }

    /// Renames every file to the next number; the last one gives way.
    fn turn_over(&mut self) -> io::Result<()> {
        // Closed first: Windows does not rename what is open.
        self.open = None;
        let last = self.roll.files.max(1) - 1;
        // Up to the first gap only: an attempt that ended half-way has left one, and must not cost another file.
        let gap = (1..=last).find(|number| !self.numbered(*number).exists()).unwrap_or(last);
        for number in (1..=gap).rev() {
            std::fs::rename(self.numbered(number - 1), self.numbered(number))?;
        }
        if last == 0 {
            std::fs::remove_file(&self.roll.path)?;
        }
        // Of a time when more files were kept.
        for number in last + 1.. {
            if std::fs::remove_file(self.numbered(number)).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.roll.path.clone();
        }
        let mut name = self.roll.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn rolling(path: &Path, limit: u64, files: u32) -> Rolling {
        Rolling::new(Roll { path: path.to_owned(), limit, files })
    }

    /// All that is kept, oldest first.
    fn kept(path: &Path) -> Vec<String> {
        let roll = rolling(path, 0, 0);
        let texts = (0..100).map_while(|number| std::fs::read_to_string(roll.numbered(number)).ok());
        let mut all: Vec<String> = texts.collect();
        all.reverse();
        all
    }

    #[test]
    fn a_file_at_its_limit_becomes_number_one_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/x.log");
        let mut log = rolling(&path, 8, 3);
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
            log.append(line.as_bytes()).unwrap();
        }
        assert_eq!(kept(&path), ["three\n", "four\n", "five\n"]);
    }

    #[test]
    fn a_new_start_goes_on_in_the_same_file_and_knows_how_long_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        rolling(&path, 8, 2).append(b"one\n").unwrap();
        let mut again = rolling(&path, 8, 2);
        again.append(b"two\n").unwrap();
        assert_eq!(kept(&path), ["one\ntwo\n"]);
        again.append(b"three\n").unwrap();
        assert_eq!(kept(&path), ["one\ntwo\n", "three\n"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_until_it_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::create_dir(&path).unwrap();
        let mut log = rolling(&path, 8, 2);
        log.append(b"lost\n").unwrap_err();
        std::fs::remove_dir(&path).unwrap();
        log.append(b"kept\n").unwrap();
        assert_eq!(kept(&path), ["kept\n"]);
    }

    #[test]
    fn what_was_kept_under_larger_limits_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = rolling(&path, 4, 4);
        for line in ["one\n", "two\n", "3rd\n", "4th\n"] {
            log.append(line.as_bytes()).unwrap();
        }
        // On Windows a file that is open is not renamed.
        drop(log);
        rolling(&path, 4, 2).append(b"5th\n").unwrap();
        assert_eq!(kept(&path), ["4th\n", "5th\n"]);
    }

    #[test]
    fn an_attempt_that_cannot_be_finished_costs_no_older_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = rolling(&path, 4, 3);
        for line in ["one\n", "two\n", "3rd\n"] {
            log.append(line.as_bytes()).unwrap();
        }
        // As after a failed renaming of the newest: number one is free.
        std::fs::rename(dir.path().join("x.log.1"), dir.path().join("x.log.2")).unwrap();
        log.append(b"4th\n").unwrap();
        assert_eq!(kept(&path), ["two\n", "3rd\n", "4th\n"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn what_is_kept_is_the_end_of_what_was_written_within_the_limits(
            lines in proptest::collection::vec(1..12_usize, 0..40), limit in 4..20_u64, files in 1..4_u32,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.log");
            let mut log = rolling(&path, limit, files);
            let mut all = String::new();
            for (number, length) in lines.iter().enumerate() {
                let line = format!("{}\n", char::from(b'a' + u8::try_from(number % 26).unwrap()).to_string().repeat(*length));
                log.append(line.as_bytes()).unwrap();
                all.push_str(&line);
            }
            let kept = kept(&path);
            prop_assert!(kept.len() <= files as usize);
            prop_assert!(all.ends_with(&kept.concat()));
            for text in &kept {
                prop_assert!(text.len() as u64 <= limit || text.lines().count() == 1);
            }
        }
    }
}
