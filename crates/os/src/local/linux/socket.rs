//! The datagram and stream sockets, and one notify socket a service.
//!
//! Datagrams carry the credentials of their sender (`SCM_CREDENTIALS`), checked by the kernel; a stream has
//! those of its connection (`SO_PEERCRED`). The kernel keeps at most `net.unix.max_dgram_qlen` datagrams (10 on
//! a machine without systemd), so the receiving task does nothing that could wait, and a sender that does not
//! want to wait must take EAGAIN for an answer.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lifesign_core::model::ServiceId;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::super::throttle::{Bucket, Throttle};
use super::super::{
    Access, Counters, Letter, Listening, MAX_CONNECTIONS, MAX_CONNECTIONS_EACH, MAX_LETTER, PAUSE, Place,
    Post, Sender, Way, too_long,
};
use super::admit;

/// Longest path of a socket, in bytes (`unix(7)`: 108 with the closing zero).
const MAX_PATH: usize = 107;
/// Datagrams taken before other tasks get their turn.
const BATCH: usize = 64;

pub(in super::super) fn datagram(place: &Place, post: Post) -> io::Result<Listening> {
    let path = place.dir.join("datagram");
    let socket = bind_datagram(&path, &place.access)?;
    let task = tokio::spawn(receive(socket, Way::Datagram, None, post));
    Ok(Listening::by_task(task, Some(path)))
}

pub(in super::super) fn notify(
    place: &Place,
    service: &ServiceId,
    post: Post,
) -> io::Result<(PathBuf, Listening)> {
    let dir = place.dir.join("notify");
    std::fs::create_dir_all(&dir)?;
    super::open_folder(&dir, &place.access)?;
    let path = dir.join(service.as_str());
    let socket = bind_datagram(&path, &place.access)?;
    let task = tokio::spawn(receive(socket, Way::Notify, Some(service.clone()), post));
    Ok((path.clone(), Listening::by_task(task, Some(path))))
}

fn bind_datagram(path: &Path, access: &Access) -> io::Result<AsyncFd<UnixDatagram>> {
    make_way(path)?;
    let socket = UnixDatagram::bind(path)?;
    admit(path, access, [0o600, 0o620, 0o622])?;
    socket.set_nonblocking(true)?;
    let on: libc::c_int = 1;
    // SAFETY: setsockopt(2) reads one int through a pointer valid for the call; the socket is open.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a UnixDatagram keeps its descriptor open and the same until the AsyncFd that holds it is dropped.
    let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
    Ok(socket)
}

/// Takes away a socket that an earlier lifesign left behind. Anything else in its place stays, and the bind fails.
fn make_way(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    if path.as_os_str().len() > MAX_PATH {
        return Err(too_long(path));
    }
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

async fn receive(socket: AsyncFd<UnixDatagram>, way: Way, service: Option<ServiceId>, post: Post) {
    let mut throttle = Throttle::new(post.rate);
    let mut buffer = vec![0; MAX_LETTER];
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        for _ in 0..BATCH {
            match take(socket.get_ref(), &mut buffer) {
                Ok(Datagram { is_whole: false, .. }) => Counters::one(&post.counters.oversized),
                Ok(Datagram { length, sender, .. }) => {
                    if !throttle.admits(sender.pid, Instant::now()) {
                        Counters::one(&post.counters.throttled);
                        continue;
                    }
                    let bytes = buffer[..length].to_vec();
                    if !post.drop_in(Letter { way, sender, service: service.clone(), bytes }) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) => {
                    tracing::debug!(%way, %error, "A datagram could not be received");
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

struct Datagram {
    length: usize,
    is_whole: bool,
    sender: Sender,
}

/// Room for the credentials, and for nothing else: file descriptors that a sender attaches find no room and are
/// closed by the kernel.
#[repr(C)]
union Control {
    aligned: libc::cmsghdr,
    // SAFETY: CMSG_SPACE is arithmetic on its argument.
    bytes: [u8; unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize],
}

fn take(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: zero bytes are a value of this plain union.
    let mut control: Control = unsafe { std::mem::zeroed() };
    // SAFETY: all fields of msghdr are pointers and numbers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    // SAFETY: recvmsg(2) writes into the buffer and the control room, whose lengths stand in `message`.
    let received = unsafe {
        libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC)
    };
    let Ok(length) = usize::try_from(received) else { return Err(io::Error::last_os_error()) };
    let is_whole = message.msg_flags & libc::MSG_TRUNC == 0;
    let credentials = credentials(&message);
    // A sender in another pid namespace has the number 0 here.
    let pid = credentials.and_then(|c| u32::try_from(c.pid).ok()).filter(|pid| *pid != 0);
    let user = credentials.map(|c| c.uid.to_string().into());
    Ok(Datagram { length, is_whole, sender: Sender { pid, user } })
}

fn credentials(message: &libc::msghdr) -> Option<libc::ucred> {
    // SAFETY: `message` was filled in by recvmsg(2), so its control room holds headers or nothing.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or a header inside the control room, which lives as long as `message` is used.
    let header = unsafe { header.as_ref() }?;
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) {
        return None;
    }
    // SAFETY: a header of this type is followed by one ucred.
    let data = unsafe { libc::CMSG_DATA(header) }.cast::<libc::ucred>();
    // SAFETY: as above; it may be unaligned.
    Some(unsafe { data.read_unaligned() })
}

pub(in super::super) fn stream(place: &Place, post: Post) -> io::Result<Listening> {
    let path = place.dir.join("stream");
    make_way(&path)?;
    let listener = UnixListener::bind(&path)?;
    admit(&path, &place.access, [0o600, 0o620, 0o622])?;
    Ok(Listening::by_task(tokio::spawn(accept(listener, post)), Some(path)))
}

/// How many connections each process has.
type Census = Arc<Mutex<HashMap<Option<u32>, usize>>>;

async fn accept(listener: UnixListener, post: Post) {
    let census = Census::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // No descriptor is free; those in use come back when their senders end.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(peer) = stream.peer_cred() else { continue };
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
        let sender = Sender { pid, user: Some(peer.uid().to_string().into()) };
        match Seat::take(&census, pid) {
            Some(seat) if connections.len() < MAX_CONNECTIONS => {
                let post = post.clone();
                connections.spawn(async move {
                    let _seat = seat;
                    converse(stream, &sender, &post).await;
                });
            }
            Some(_) | None => Counters::one(&post.counters.turned_away),
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

/// Reads lines until the sender goes. One that writes too fast is not read for a while, so its own writes wait:
/// nothing of it is lost, and nothing of anybody else.
async fn converse(stream: UnixStream, sender: &Sender, post: &Post) {
    let mut lines = BufReader::with_capacity(1024, stream);
    let rate = f64::from(post.rate);
    let mut bucket = Bucket::full(rate, Instant::now());
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut lines).take(MAX_LETTER as u64 + 1).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        if line.len() > MAX_LETTER {
            // Where the next line begins is not known any more.
            Counters::one(&post.counters.oversized);
            return;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        while !bucket.take(rate, Instant::now()) {
            Counters::one(&post.counters.throttled);
            tokio::time::sleep(PAUSE).await;
        }
        let letter = Letter {
            way: Way::Stream,
            sender: sender.clone(),
            service: None,
            bytes: line.trim_ascii().to_vec(),
        };
        if !post.hand_over(letter).await {
            return;
        }
    }
}
