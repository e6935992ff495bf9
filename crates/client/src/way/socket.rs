//! The Unix stream socket, one line a beat. A call that would have to wait is left out and counted; the next
//! beat says the same anew.
#![allow(unsafe_code, reason = "std connects only by waiting")]

use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Way;
use super::words::Words;

/// Between two attempts to connect again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Stream {
    service: String,
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    words: Words,
    socket: Option<UnixStream>,
    /// The rest of a line that was written in part; nothing else may be written before it.
    rest: Vec<u8>,
    lost_at: Option<Instant>,
    left_out: u64,
}

impl Stream {
    pub(super) const WAY: Way = Way::Socket;

    pub(super) fn open(service: &str) -> Result<Self, String> {
        let path = super::place().join("stream");
        let socket = connect(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let state = State {
            words: Words::default(),
            socket: Some(socket),
            rest: Vec::new(),
            lost_at: None,
            left_out: 0,
        };
        Ok(Self { service: service.to_owned(), path, state: Mutex::new(state) })
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Words) -> T) -> T {
        change(&mut self.lock().words)
    }

    pub(super) fn beat(&self) {
        let mut state = self.lock();
        if state.socket.is_none() && state.lost_at.is_none_or(|at| at.elapsed() >= AGAIN_AFTER) {
            state.socket = connect(&self.path).ok();
            state.lost_at = Some(Instant::now());
        }
        let line = state.words.line(&self.service);
        match state.write(line.as_bytes()) {
            Ok(true) => {}
            Ok(false) => state.left_out += 1,
            Err(_gone) => {
                state.left_out += 1;
                state.socket = None;
                state.rest.clear();
            }
        }
    }

    /// Sends a last beat; a socket takes it at once or not at all.
    pub(super) fn say_goodbye(&self, _limit: Duration) {
        self.beat();
    }

    pub(super) fn left_out(&self) -> u64 {
        self.lock().left_out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether `line` is on its way. `Ok(false)`: there was no room.
    fn write(&mut self, line: &[u8]) -> io::Result<bool> {
        let Some(socket) = &mut self.socket else { return Ok(false) };
        while !self.rest.is_empty() {
            match socket.write(&self.rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.rest.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        match socket.write(line) {
            Ok(written) => {
                self.rest.extend_from_slice(line.get(written..).unwrap_or_default());
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Connects without waiting: a listener that does not come to accept is as good as none.
fn connect(path: &Path) -> io::Result<UnixStream> {
    // SAFETY: all fields of sockaddr_un are numbers, for which zero is a value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    // SAFETY: takes plain numbers.
    let fd = unsafe {
        libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, just made, and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: connect(2) reads an address of the length passed along.
    let failed = unsafe {
        libc::connect(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_un>() as libc::socklen_t,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(UnixStream::from(fd))
}
