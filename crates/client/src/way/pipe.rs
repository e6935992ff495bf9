//! The named pipe, one message a beat. Writing to a pipe may wait, so a thread does it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::windows::fs::OpenOptionsExt;
use std::time::Duration;

use windows_sys::Win32::Storage::FileSystem::{FILE_READ_ATTRIBUTES, FILE_WRITE_DATA, SYNCHRONIZE};

use super::Way;
use super::mailbox::Mailbox;
use super::words::Words;

/// `ERROR_PIPE_BUSY`: others come in at this very moment.
const BUSY: i32 = 231;
/// How often, and after what time each, a busy pipe is tried again.
const TRIES: u32 = 20;
const AGAIN_AFTER: Duration = Duration::from_millis(10);

pub(super) struct Stream(Mailbox);

impl Stream {
    pub(super) const WAY: Way = Way::Pipe;

    pub(super) fn open(service: &str) -> Result<Self, String> {
        let path = format!(r"\\.\pipe\{}", super::place().display());
        let connect = move || -> Result<File, String> {
            let mut tries = 0;
            loop {
                let opened = OpenOptions::new()
                    // Not all that GENERIC_WRITE asks for: the right to make an instance of the pipe is lifesign's.
                    .access_mode(FILE_WRITE_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE)
                    .open(&path);
                match opened {
                    Err(error) if error.raw_os_error() == Some(BUSY) && tries < TRIES => {
                        tries += 1;
                        std::thread::sleep(AGAIN_AFTER);
                    }
                    other => return other.map_err(|error| format!("{path}: {error}")),
                }
            }
        };
        let mut pipe = Some(connect()?);
        let service = service.to_owned();
        let mailbox = Mailbox::start(Way::Pipe, move |words| {
            // A pipe that was let go is connected anew, with the same beat.
            for _ in 0..2 {
                if pipe.is_none() {
                    pipe = connect().ok();
                }
                let Some(open) = &mut pipe else { return false };
                if open.write_all(words.line(&service).as_bytes()).is_ok() {
                    return true;
                }
                pipe = None;
            }
            false
        })?;
        Ok(Self(mailbox))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Words) -> T) -> T {
        self.0.change(change)
    }

    pub(super) fn beat(&self) {
        self.0.beat();
    }

    pub(super) fn left_out(&self) -> u64 {
        self.0.left_out()
    }

    pub(super) fn say_goodbye(&self, limit: Duration) {
        self.0.say_goodbye(limit);
    }
}
