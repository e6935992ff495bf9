//! Beating when the program says so, by the best way this host offers.
//!
//! [`Heart::connect`] tries shared memory, then the local socket (Linux) or pipe (Windows), then HTTP, and takes
//! the first that lifesign has opened for the service. A beat by shared memory is one addition in memory; by the
//! socket one call that never waits; by pipe and HTTP a word to a thread that does the waiting.
//!
//! Where the ways are stands in the environment, which lifesign sets for the processes it supervises:
//!
//! | variable | meaning | where unset |
//! |---|---|---|
//! | `LIFESIGN_LOCAL` | the folder of sockets and shared memory; on Windows the name of the pipe | `/run/lifesign`, `lifesign` |
//! | `LIFESIGN_SERVICE` | the service, for [`Heart::connect`] with an empty name | – |
//! | `LIFESIGN_SERVER`, `LIFESIGN_TOKEN` | HTTP | `http://127.0.0.1:7700`, no HTTP |

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::beat::{Status, is_metric_name};
use crate::heart::Heart;

mod mailbox;
mod map;
mod memory;
#[cfg_attr(unix, path = "socket.rs")]
#[cfg_attr(windows, path = "pipe.rs")]
mod stream;
mod words;

use mailbox::Mailbox;
use memory::Memory;
use stream::Stream;

/// How a [`Pulse`] reaches lifesign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Way {
    /// A page of shared memory.
    Memory,
    /// The Unix stream socket; on Windows there is none.
    Socket,
    /// The named pipe; on Linux there is none.
    Pipe,
    /// HTTP.
    Http,
}

impl Way {
    /// Every way, the best first.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Socket, Self::Pipe, Self::Http];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Socket => "socket",
            Self::Pipe => "pipe",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why no way to lifesign was found. A program goes on without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no way to lifesign for {service:?}: {}", .tried.join("; "))]
pub struct NoWay {
    /// The service.
    pub service: String,
    /// Each way that was tried, with what is wrong with it.
    pub tried: Vec<String>,
}

/// A heart that beats when its program says so.
///
/// No method waits for lifesign, fails or panics; all may be called from any thread. Dropping it says that the
/// program stops on purpose, unless the program is panicking.
pub struct Pulse {
    how: How,
    service: String,
}

enum How {
    Memory(Memory),
    Stream(Stream),
    Mailbox(Mailbox),
}

impl Heart {
    /// Finds the best way to lifesign for `service`; empty: the one that `LIFESIGN_SERVICE` names.
    ///
    /// # Errors
    /// When lifesign offers none: it does not run here, does not know the service, or this user may not write.
    pub fn connect(service: &str) -> Result<Pulse, NoWay> {
        Pulse::by(&Way::ALL, service)
    }
}

impl Pulse {
    /// As [`Heart::connect`], by the first of these ways that is open.
    ///
    /// # Errors
    /// When none of them is.
    pub fn by(ways: &[Way], service: &str) -> Result<Self, NoWay> {
        let service = match service {
            "" => std::env::var("LIFESIGN_SERVICE").unwrap_or_default(),
            named => named.to_owned(),
        };
        let mut tried = Vec::new();
        if !is_id(&service) {
            tried.push(
                "this is no id of a service (a-z, 0-9, '.', '_', '-'), see LIFESIGN_SERVICE".to_owned(),
            );
            return Err(NoWay { service, tried });
        }
        for way in ways {
            match How::open(*way, &service) {
                Ok(Some(how)) => return Ok(Self { how, service }),
                Ok(None) => {}
                Err(why) => tried.push(format!("{way}: {why}")),
            }
        }
        Err(NoWay { service, tried })
    }

    /// *I am well.* Carries what the other methods have set.
    pub fn beat(&self) {
        match &self.how {
            How::Memory(memory) => memory.beat(),
            How::Stream(stream) => stream.beat(),
            How::Mailbox(mailbox) => mailbox.beat(),
        }
    }

    /// How far the program has come with its work: any number that changes while it works. lifesign calls a
    /// program that beats while this stands still *hung* (`progress_within` in its configuration).
    pub fn progress(&self, count: u64) {
        match &self.how {
            How::Memory(memory) => memory.progress(count),
            How::Stream(stream) => stream.change(|words| words.progress = Some(count)),
            How::Mailbox(mailbox) => mailbox.change(|words| words.progress = Some(count)),
        }
    }

    /// Sets a metric for the next beats. `false`: the name is none (`[a-zA-Z_:][a-zA-Z0-9_:.-]*`), the value is
    /// not finite, or there is no room: 58 metrics with names of at most 55 bytes by shared memory, else
    /// [`crate::MAX_METRICS`] and [`crate::MAX_METRIC_NAME`].
    pub fn metric(&self, name: &str, value: f64) -> bool {
        if !value.is_finite() || !is_metric_name(name) {
            return false;
        }
        match &self.how {
            How::Memory(memory) => memory.metric(name, value),
            How::Stream(stream) => stream.change(|words| words.metric(name, value)),
            How::Mailbox(mailbox) => mailbox.change(|words| words.metric(name, value)),
        }
    }

    /// Says from the next beat on how the program is.
    pub fn status(&self, status: Status) {
        match &self.how {
            How::Memory(memory) => memory.status(status),
            How::Stream(stream) => stream.change(|words| words.status = status),
            How::Mailbox(mailbox) => mailbox.change(|words| words.status = status),
        }
    }

    /// Says from the next beat on this text, on one line; cut at 256 bytes by shared memory, else at
    /// [`crate::MAX_MESSAGE`]. Empty: none.
    pub fn message(&self, text: &str) {
        match &self.how {
            How::Memory(memory) => memory.message(text),
            How::Stream(stream) => stream.change(|words| words.message(text)),
            How::Mailbox(mailbox) => mailbox.change(|words| words.message(text)),
        }
    }

    /// How it reaches lifesign.
    pub fn way(&self) -> Way {
        match &self.how {
            How::Memory(_) => Way::Memory,
            How::Stream(_) => Stream::WAY,
            How::Mailbox(mailbox) => mailbox.way(),
        }
    }

    /// Beats that could not be sent without waiting. By shared memory none is ever left out.
    pub fn left_out(&self) -> u64 {
        match &self.how {
            How::Memory(_) => 0,
            How::Stream(stream) => stream.left_out(),
            How::Mailbox(mailbox) => mailbox.left_out(),
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.status(Status::Stopping);
        match &self.how {
            How::Memory(_) => self.beat(),
            How::Stream(stream) => stream.say_goodbye(FAREWELL),
            How::Mailbox(mailbox) => mailbox.say_goodbye(FAREWELL),
        }
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse")
            .field("service", &self.service)
            .field("way", &self.way())
            .finish_non_exhaustive()
    }
}

/// How long dropping a [`Pulse`] by HTTP or pipe may take.
const FAREWELL: Duration = Duration::from_secs(1);

impl How {
    /// `Ok(None)`: this system has no such way.
    fn open(way: Way, service: &str) -> Result<Option<Self>, String> {
        match way {
            Way::Memory => Memory::open(service).map(Self::Memory).map(Some),
            other if other == Stream::WAY => Stream::open(service).map(Self::Stream).map(Some),
            Way::Socket | Way::Pipe => Ok(None),
            Way::Http => Mailbox::http(service).map(Self::Mailbox).map(Some),
        }
    }
}

/// The folder (Windows: the name) where the local ways are.
fn place() -> PathBuf {
    let unset = if cfg!(windows) { "lifesign" } else { "/run/lifesign" };
    std::env::var_os("LIFESIGN_LOCAL")
        .filter(|place| !place.is_empty())
        .unwrap_or_else(|| unset.into())
        .into()
}

fn is_id(text: &str) -> bool {
    let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 128
        && text.bytes().next().is_some_and(first)
        && text.bytes().all(|b| first(b) || b"._-".contains(&b))
}
