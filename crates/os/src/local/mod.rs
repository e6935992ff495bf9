//! Hearing programs on this host: one receiver for each local way, all with the same inside.
//!
//! A receiver takes *letters* (bytes that nobody has read yet), asks the operating system who wrote them, and
//! passes them on through one bounded channel. Each is bounded: in the size of a letter, in letters a second of
//! one sender, in connections. What exceeds a bound costs its sender alone and shows in [`Counters`].
//!
//! | way | Linux | Windows | who may write | whose it is |
//! |---|---|---|---|---|
//! | [`datagram`], [`stream`] | Unix sockets | – | mode and group of the socket | `SCM_CREDENTIALS`, `SO_PEERCRED` |
//! | [`pipe`] | – | named pipe | access list | process and account of the client |
//! | [`Page`] | a mapped file | named section | mode and group; access list | what the sender says |
//! | [`registry`] | – | change notification | access list of the key | – |
//! | [`mod@file`] | mode and group of the folder | access list of the folder | the owner (Linux) |
//! | [`notify()`] | `sd_notify` | – | mode of the socket | `SCM_CREDENTIALS` |
//! | [`mod@udp`] | loopback | loopback | the secret in the datagram | – |
//!
//! A way that a system does not have answers [`io::ErrorKind::Unsupported`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifesign_core::evidence::Process;
use lifesign_core::model::ServiceId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

mod changes;
pub mod file;
mod throttle;
mod udp;

#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
mod imp;

pub use changes::Changes;
pub use imp::Page;
#[cfg(target_os = "linux")]
pub(crate) use imp::group_number;
pub use udp::{Secrets, udp};

/// Largest letter, in bytes.
pub const MAX_LETTER: usize = 8 * 1024;
/// Bytes of a [`Page`].
pub const PAGE: usize = 4096;
/// Most connections of the stream socket, and of the pipe, at a time; further ones are closed at once.
pub const MAX_CONNECTIONS: usize = 1024;
/// Most connections of one process.
pub const MAX_CONNECTIONS_EACH: usize = 32;
/// Letters a second of one sender unless something else is wanted, half as many at once. Enough for one process
/// that speaks for a thousand services; one that speaks for all of them at once puts them into one letter.
pub const RATE: u32 = 1000;

/// By which way a letter came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// Unix datagram socket.
    Datagram,
    /// Unix stream socket.
    Stream,
    /// Named pipe.
    Pipe,
    /// Shared memory.
    Memory,
    /// Registry value.
    Registry,
    /// File.
    File,
    /// `sd_notify`.
    Notify,
    /// UDP on loopback.
    Udp,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 8] = [
        Self::Datagram,
        Self::Stream,
        Self::Pipe,
        Self::Memory,
        Self::Registry,
        Self::File,
        Self::Notify,
        Self::Udp,
    ];

    /// Its name in logs and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::Stream => "stream",
            Self::Pipe => "pipe",
            Self::Memory => "memory",
            Self::Registry => "registry",
            Self::File => "file",
            Self::Notify => "notify",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the operating system says of a sender. `None`: this way it does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// Its process.
    pub pid: Option<u32>,
    /// Its user: the number on Linux, the SID on Windows.
    pub user: Option<Arc<str>>,
}

/// Bytes that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// By which way they came.
    pub way: Way,
    /// Who wrote them.
    pub sender: Sender,
    /// For whom, where the way itself tells: a file, a registry value, a notify socket. `None`: the letter does.
    pub service: Option<ServiceId>,
    /// The bytes, at most [`MAX_LETTER`].
    pub bytes: Vec<u8>,
}

/// What became of the letters of one way, counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    taken: AtomicU64,
    oversized: AtomicU64,
    throttled: AtomicU64,
    dropped: AtomicU64,
    turned_away: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    /// Letters passed on.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Letters larger than [`MAX_LETTER`].
    pub fn oversized(&self) -> u64 {
        self.oversized.load(Ordering::Relaxed)
    }

    /// How often a sender was held back, or its letter left out, because it wrote too fast.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Letters left out because the agent did not come to take them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Connections closed at once because there were too many.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Letters without the secret that the way asks for.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where a receiver puts its letters.
#[derive(Debug, Clone)]
pub struct Post {
    letters: mpsc::Sender<Letter>,
    counters: Arc<Counters>,
    rate: u32,
}

impl Post {
    /// Letters go to `letters`, at most `rate` a second of one sender (see [`RATE`]).
    pub fn new(letters: mpsc::Sender<Letter>, rate: u32) -> Self {
        Self { letters, counters: Arc::default(), rate: rate.max(1) }
    }

    /// The same, counted with others: several receivers of one way.
    #[must_use]
    pub fn counting(self, counters: Arc<Counters>) -> Self {
        Self { counters, ..self }
    }

    /// What became of them.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Passes on a letter that cannot wait: when nobody takes it, it is dropped and counted. `false`: nobody
    /// ever will.
    fn drop_in(&self, letter: Letter) -> bool {
        match self.letters.try_send(letter) {
            Ok(()) => Counters::one(&self.counters.taken),
            Err(mpsc::error::TrySendError::Full(_)) => Counters::one(&self.counters.dropped),
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
        }
        true
    }

    /// Passes on a letter whose sender can wait.
    async fn hand_over(&self, letter: Letter) -> bool {
        let taken = self.letters.send(letter).await.is_ok();
        if taken {
            Counters::one(&self.counters.taken);
        }
        taken
    }
}

/// Who may write, beside lifesign's own user (and the system's administrators).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// Nobody else.
    #[default]
    Owner,
    /// The members of a group: its name or number; on Windows an account's name or SID.
    Group(String),
    /// Every user of this host.
    Everyone,
}

/// Where the ways of one lifesign are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder of sockets, mapped files and note files.
    pub dir: PathBuf,
    /// The name that pipe and sections begin with (Windows).
    pub name: String,
    /// Who may write.
    pub access: Access,
}

impl Place {
    /// Makes the folder, and lets in who may write.
    ///
    /// # Errors
    /// When it cannot be made, or the group does not exist.
    pub fn prepare(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        imp::open_folder(&self.dir, &self.access)
    }

    /// What [`LIFESIGN_LOCAL`](Self::VARIABLE) holds for senders.
    pub fn address(&self) -> String {
        imp::address(self)
    }

    /// The environment variable that tells senders where the ways are.
    pub const VARIABLE: &str = "LIFESIGN_LOCAL";
}

/// A way that is open. Dropping it closes the way.
pub struct Listening {
    close: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Listening {
    /// A way that `task` serves; `remove` lies in the file system as long as it is open.
    fn by_task(task: JoinHandle<()>, remove: Option<PathBuf>) -> Self {
        Self::until(move || {
            task.abort();
            if let Some(path) = &remove {
                // What is left behind is taken over by the next one.
                let _ = std::fs::remove_file(path);
            }
        })
    }

    fn until(close: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { close: Some(Box::new(close)) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(close) = self.close.take() {
            close();
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listening")
    }
}

/// Opens the Unix datagram socket `DIR/datagram`. Needs a tokio runtime, as all of these do.
///
/// # Errors
/// When the socket cannot be made; its path has at most 107 bytes.
pub fn datagram(place: &Place, post: Post) -> io::Result<Listening> {
    imp::datagram(place, post)
}

/// Opens the Unix stream socket `DIR/stream`; one letter a line.
///
/// # Errors
/// As [`datagram`].
pub fn stream(place: &Place, post: Post) -> io::Result<Listening> {
    imp::stream(place, post)
}

/// Opens the named pipe `\\.\pipe\NAME`; one letter a message.
///
/// # Errors
/// When somebody else has a pipe of this name.
pub fn pipe(place: &Place, post: Post) -> io::Result<Listening> {
    imp::pipe(place, post)
}

/// Opens a notify socket for one service; gives what `NOTIFY_SOCKET` is to hold.
///
/// # Errors
/// As [`datagram`].
pub fn notify(place: &Place, service: &ServiceId, post: Post) -> io::Result<(PathBuf, Listening)> {
    imp::notify(place, service, post)
}

/// Watches the values of a registry key (`HKLM\SOFTWARE\lifesign\heartbeats`), each named after its service.
/// The key is made where it is missing. A value that changes is a letter; writing the same again is none.
///
/// # Errors
/// When the key cannot be made or read.
pub fn registry(key: &str, access: &Access, post: Post) -> io::Result<Listening> {
    imp::registry(key, access, post)
}

/// Whether the process `pid` is `main`, or belongs to it: its descendant, in its session, or (Linux) in the
/// control group of the same unit. `None`: nobody can tell, because one of the two is gone.
pub fn belongs(pid: u32, main: Process) -> Option<bool> {
    if pid == main.pid { Some(true) } else { imp::belongs(pid, main) }
}

/// A socket's path that is too long for the system, with the way out.
#[cfg_attr(windows, expect(dead_code, reason = "Windows has no such paths"))]
fn too_long(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "{} has more than the 107 bytes that a socket's path may have; set `agent.local.dir` to a shorter one",
            path.display()
        ),
    )
}

/// The address as one that only this host can reach.
fn loopback_only(address: SocketAddr) -> io::Result<SocketAddr> {
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{address} can be reached from other hosts; heartbeats by UDP are for 127.0.0.1 or [::1]"),
    ))
}

/// How long a sender that was too fast is not read.
const PAUSE: Duration = Duration::from_millis(50);
