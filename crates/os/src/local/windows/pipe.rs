//! The named pipe: message mode, one letter a message, many clients.
//!
//! A writer that floods is not read for a while, so its own writes wait. A message has at most 4096 bytes: that
//! is as much as the runtime reads at a time.

use std::collections::HashMap;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::net::windows::named_pipe::{NamedPipeServer, PipeMode, ServerOptions};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use windows_sys::Win32::Foundation::ERROR_MORE_DATA;
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows_sys::Win32::System::Pipes::GetNamedPipeClientProcessId;
use windows_sys::Win32::System::Threading::{
    OpenProcess, OpenProcessToken, PROCESS_QUERY_LIMITED_INFORMATION,
};

use super::super::throttle::Bucket;
use super::super::{
    Counters, Letter, Listening, MAX_CONNECTIONS, MAX_CONNECTIONS_EACH, PAUSE, Place, Post, Sender, Way,
};
use super::access::{Attributes, PIPE_WRITER, sid_text};

/// Largest message, in bytes.
const MAX_MESSAGE: usize = 4096;
/// Instances that wait for a client. One who comes when all are taken is told to come again (231).
const FREE: usize = 8;
/// Bytes that the system keeps for each client until they are read.
const BUFFER: u32 = 64 * 1024;

pub(in super::super) fn pipe(place: &Place, post: Post) -> io::Result<Listening> {
    let door = Door {
        name: format!(r"\\.\pipe\{}", place.name),
        attributes: Attributes::new(&place.access, PIPE_WRITER)?,
    };
    let first = door.instance(true).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!(
                "{} belongs to another program ({error}); set `agent.local.name` to another name",
                door.name
            ),
        )
    })?;
    let task = async move {
        let hall = Arc::new(Hall {
            door,
            post,
            census: Census::default(),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        });
        let mut ushers = JoinSet::new();
        ushers.spawn(Arc::clone(&hall).accept(Some(first)));
        for _ in 1..FREE {
            ushers.spawn(Arc::clone(&hall).accept(None));
        }
        while ushers.join_next().await.is_some() {}
    };
    Ok(Listening::by_task(tokio::spawn(task), None))
}

struct Door {
    name: String,
    attributes: Attributes,
}

impl Door {
    /// One more instance of the pipe, for one more client.
    fn instance(&self, is_first: bool) -> io::Result<NamedPipeServer> {
        let mut options = ServerOptions::new();
        options
            .access_inbound(true)
            .access_outbound(false)
            .pipe_mode(PipeMode::Message)
            .first_pipe_instance(is_first)
            .reject_remote_clients(true)
            .in_buffer_size(BUFFER);
        // SAFETY: the attributes are valid and outlive the call, which only reads them.
        unsafe {
            options
                .create_with_security_attributes_raw(&self.name, self.attributes.as_ptr().cast_mut().cast())
        }
    }
}

/// How many connections each process has.
type Census = Arc<Mutex<HashMap<Option<u32>, usize>>>;

/// What those share who let clients in.
struct Hall {
    door: Door,
    post: Post,
    census: Census,
    places: Arc<Semaphore>,
}

impl Hall {
    /// Keeps one instance free, and lets in who takes it.
    async fn accept(self: Arc<Self>, mut free: Option<NamedPipeServer>) {
        let mut connections = JoinSet::new();
        loop {
            let instance = match free.take().map_or_else(|| self.door.instance(false), Ok) {
                Ok(instance) => instance,
                Err(error) => {
                    tracing::warn!(%error, "No further instance of the pipe for heartbeats could be made");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            if instance.connect().await.is_err() {
                continue;
            }
            while connections.try_join_next().is_some() {}
            let sender = sender(&instance);
            match (Seat::take(&self.census, sender.pid), Arc::clone(&self.places).try_acquire_owned()) {
                (Some(seat), Ok(place)) => {
                    let hall = Arc::clone(&self);
                    connections.spawn(async move {
                        let _held = (seat, place);
                        converse(instance, &sender, &hall.post).await;
                    });
                }
                _ => Counters::one(&self.post.counters.turned_away),
            }
        }
    }
}

/// One connection of a process, counted as long as it lives.
struct Seat {
    census: Census,
    pid: Option<u32>,
}

impl Seat {
    fn take(census: &Census, pid: Option<u32>) -> Option<Self> {
        let mut taken = census.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(pid).or_default();
        if *count >= MAX_CONNECTIONS_EACH {
            return None;
        }
        *count += 1;
        Some(Self { census: Arc::clone(census), pid })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.pid) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.pid);
            }
        }
    }
}

async fn converse(mut client: NamedPipeServer, sender: &Sender, post: &Post) {
    let rate = f64::from(post.rate);
    let mut bucket = Bucket::full(rate, Instant::now());
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let length = match client.read(&mut buffer).await {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) => {
                if error.raw_os_error() == Some(ERROR_MORE_DATA as i32) {
                    Counters::one(&post.counters.oversized);
                }
                return;
            }
        };
        while !bucket.take(rate, Instant::now()) {
            Counters::one(&post.counters.throttled);
            tokio::time::sleep(PAUSE).await;
        }
        let bytes = buffer[..length].to_vec();
        let letter = Letter { way: Way::Pipe, sender: sender.clone(), service: None, bytes };
        if !post.hand_over(letter).await {
            return;
        }
    }
}

/// What the system says of the client.
fn sender(client: &NamedPipeServer) -> Sender {
    let mut pid = 0;
    // SAFETY: the handle is an open instance of a pipe; one number is written through a pointer valid for the call.
    let known = unsafe { GetNamedPipeClientProcessId(client.as_raw_handle(), &raw mut pid) };
    if known == 0 || pid == 0 {
        return Sender::default();
    }
    Sender { pid: Some(pid), user: user(pid).ok().map(Into::into) }
}

/// The SID of the account that the process `pid` runs as.
fn user(pid: u32) -> io::Result<String> {
    // SAFETY: takes plain numbers; a null result is an error.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid, just made, and nobody else's.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    let mut token = null_mut();
    // SAFETY: the process handle is open; the result goes through a pointer valid for the call.
    if unsafe { OpenProcessToken(process.as_raw_handle(), TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let (mut room, mut length) = ([0_u64; 32], 0);
    // SAFETY: the buffer is as long as said and aligned for a TOKEN_USER, which points into it.
    let told = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            room.as_mut_ptr().cast(),
            size_of_val(&room) as u32,
            &raw mut length,
        )
    };
    if told == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call filled in a TOKEN_USER at the beginning of the buffer.
    let sid = unsafe { (*room.as_ptr().cast::<TOKEN_USER>()).User.Sid };
    // SAFETY: the SID lies in the buffer and is valid.
    unsafe { sid_text(sid) }
}
