//! lifesign's log in a file: `log.file`.
//!
//! A thread of its own writes, so that a disk that hangs holds up nobody who has something to say. Between them is a
//! queue of a stated length; what finds it full is lost and counted. A file that cannot be written never stops
//! lifesign: it is warned of once, tried again, and when it works again the file says how many lines it lacks.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lifesign_config::server::Log;
use lifesign_os::file::rolling::{Roll, Rolling};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for the disk; at some 200 bytes a line they are a megabyte or two.
const QUEUE: usize = 8192;
/// Between two attempts at a file that cannot be written.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(2);

/// What the thread is told.
enum Message {
    Line(Vec<u8>),
    /// Answer when everything before this is written.
    Flush(SyncSender<()>),
}

/// The way to the thread; cheap to clone.
#[derive(Clone)]
pub(super) struct FileLog {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// The thread's work, not begun yet: it may have something to log itself.
pub(super) struct FileWriter {
    file: Rolling,
    name: String,
    messages: Receiver<Message>,
    lost: Arc<AtomicU64>,
    /// Since when the file cannot be written.
    failing_since: Option<Instant>,
}

/// The log of `written`, where it names a file.
pub(super) fn of(written: &Log) -> Option<(FileLog, FileWriter)> {
    let path = written.file.clone()?;
    let (sender, messages) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let name = path.display().to_string();
    let file = Rolling::new(Roll { path, limit: written.file_size.get(), files: written.files });
    let writer = FileWriter { file, name, messages, lost: Arc::clone(&lost), failing_since: None };
    Some((FileLog { sender, lost }, writer))
}

impl FileLog {
    /// Waits until all lines so far are written, or for [`LAST`].
    pub(super) fn flush(&self) {
        let (done, answer) = sync_channel(1);
        if self.sender.try_send(Message::Flush(done)).is_ok() {
            // A disk that hangs must not hold up the end.
            let _ = answer.recv_timeout(LAST);
        }
    }
}

impl<'a> MakeWriter<'a> for FileLog {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Each call is one whole line: the formatter writes an event in one go.
impl Write for &FileLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileWriter {
    /// Begins to write.
    pub(super) fn spawn(mut self) {
        let thread = std::thread::Builder::new().name("log-file".to_owned());
        if let Err(error) = thread.spawn(move || self.run()) {
            tracing::warn!(%error, "No thread to write the log file");
        }
    }

    fn run(&mut self) {
        if let Err(error) = self.file.open() {
            self.failed(&error);
        }
        loop {
            match self.messages.recv_timeout(AGAIN) {
                Ok(Message::Line(line)) => self.line(&line),
                Ok(Message::Flush(done)) => {
                    // Whoever asked may have stopped waiting.
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        // Not at every line: an attempt may be slow, and the queue is short.
        if self.failing_since.is_some_and(|since| since.elapsed() < AGAIN) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match self.file.append(line) {
            Ok(()) => self.works(),
            Err(error) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                self.failed(&error);
            }
        }
    }

    fn works(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if self.failing_since.take().is_some() || lost > 0 {
            tracing::warn!(file = self.name, lost, "The log file is written again, without these lines");
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if self.failing_since.replace(Instant::now()).is_none() {
            tracing::warn!(file = self.name, %error, "The log file cannot be written; lifesign goes on without it");
        }
    }
}

#[cfg(test)]
mod tests {
    use lifesign_config::Bytes;
    use lifesign_config::server::{LogFormat, LogLevel};

    use super::*;

    fn log(file: std::path::PathBuf) -> Log {
        Log {
            format: LogFormat::Plain,
            level: LogLevel::Info,
            file: Some(file),
            file_size: Bytes(1 << 20),
            files: 2,
        }
    }

    #[test]
    fn lines_reach_the_file_in_their_order_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lifesign.log");
        let (file, writer) = of(&log(path.clone())).unwrap();
        writer.spawn();
        for number in 0..1000 {
            writeln!(&file, "line {number}").unwrap();
        }
        file.flush();
        let text = std::fs::read_to_string(path).unwrap();
        let wanted: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(text, wanted);
    }

    #[test]
    fn nobody_waits_for_a_file_that_nobody_writes_and_what_is_lost_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let (file, _writer) = of(&log(dir.path().join("x.log"))).unwrap();
        for _ in 0..QUEUE + 5 {
            (&file).write_all(b"line\n").unwrap();
        }
        assert_eq!(file.lost.load(Ordering::Relaxed), 5);
        file.flush();
    }

    #[test]
    fn no_file_is_written_where_none_is_named() {
        let nowhere = Log { file: None, ..log("x".into()) };
        assert!(of(&nowhere).is_none());
    }
}
