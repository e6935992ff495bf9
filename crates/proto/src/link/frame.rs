//! Frames of the link, from and to bytes.
//!
//! What comes seldom is JSON, so that a newer side may say more and an older one leaves out what it does not know.
//! What comes a million times a second ([`Beats`]) has a layout of its own.

use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use serde::{Deserialize, Serialize};

use super::beats::{Beats, BeatsError, Names};
use super::{MAX_FRAME, NEWEST_VERSION, OLDEST_VERSION};

/// How the first frame of a connection begins, after its kind.
const MAGIC: &[u8; 8] = b"lifesign";

/// The agent's first word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest and newest version of the link that it speaks.
    #[serde(skip)]
    pub versions: (u8, u8),
    /// The name of its host.
    pub host: String,
    /// A number of this run of the agent, by chance: batches are counted anew in each.
    pub session: u64,
    /// The version of the program, for people.
    pub program: String,
    /// The system, for people: `linux`, `windows`.
    pub system: String,
}

/// The server's answer: the terms of this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that is spoken from here on.
    #[serde(skip)]
    pub version: u8,
    /// The last batch of this session that the server has; 0: none. Later ones are sent again.
    pub taken: u64,
    /// Each side says something at least this often, in milliseconds.
    pub ping_millis: u64,
    /// A side that was not heard for this long is given up, in milliseconds.
    pub silence_millis: u64,
    /// Batches that may wait for their acknowledgement.
    pub window: u32,
}

/// Why a server does not take a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No version that both speak.
    Version,
    /// Who asks is not allowed to be the agent of this host.
    Forbidden,
    /// Another agent of this host is connected, and alive.
    Taken,
    /// The server is stopping, or has no room.
    Busy,
    /// The other side did not keep to the protocol.
    Protocol,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// How long ago it was seen when it was sent, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub age_millis: u64,
    /// Whether it waited for a connection: it is history then, and decides nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// What was seen.
    pub seen: Input,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the server wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Watch this from now on: a configuration in JSON, the agent's part of the server's.
    Watch {
        /// Tells one text from another.
        revision: String,
        /// The text.
        text: String,
    },
    /// Restart the unit of a service. Answered by [`Input::ActionDone`] with the same id.
    Restart {
        /// The service.
        service: ServiceId,
        /// Who wants it, and why: for the agent's log.
        by: String,
    },
    /// Hold alerts and restarts of exactly these services, also while no server is there.
    Pause {
        /// The services.
        services: Vec<ServiceId>,
    },
    /// Look at a service's unit and run its checks at once.
    Look {
        /// The service.
        service: ServiceId,
    },
}

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Agent → server, first.
    Hello(Hello),
    /// Server → agent, first.
    Welcome(Welcome),
    /// Server → agent, first and last; words for people.
    Refuse(Refusal, String),
    /// Agent → server: a batch of evidence, with its number.
    News(u64, Vec<Item>),
    /// Agent → server: names for the numbers in [`Frame::Beats`].
    Names(Names),
    /// Agent → server: a batch of plain heartbeats, with its number.
    Beats(u64, Beats),
    /// Server → agent: every batch up to this number is in the engine.
    Ack(u64),
    /// Both ways: I live; my count, and the newest count of yours that I have heard.
    Ping(u32, u32),
    /// Server → agent: an order and its id.
    Order(String, Order),
    /// Both ways: I end this connection on purpose.
    Goodbye(String),
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than any frame may be.
    #[error("a frame of {0} bytes; at most {MAX_FRAME} are taken")]
    TooLong(usize),
    /// The first bytes are not those of a link.
    #[error("this is no lifesign link")]
    NoLink,
    /// A kind of frame that this version does not have.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// A body that is cut short, or says what its kind cannot say.
    #[error("a frame of kind {kind} that cannot be read: {why}")]
    Body {
        /// The kind.
        kind: u8,
        /// What is wrong with it.
        why: String,
    },
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const REFUSE: u8 = 3;
    pub(super) const NEWS: u8 = 4;
    pub(super) const NAMES: u8 = 5;
    pub(super) const BEATS: u8 = 6;
    pub(super) const ACK: u8 = 7;
    pub(super) const PING: u8 = 8;
    pub(super) const ORDER: u8 = 9;
    pub(super) const GOODBYE: u8 = 10;
}

impl Frame {
    /// Appends the frame to `bytes`, its length first.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when it is larger than [`MAX_FRAME`]; `bytes` is then as it was.
    pub fn write(&self, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        let begin = bytes.len();
        bytes.extend([0; 4]);
        self.write_body(bytes);
        let length = bytes.len() - begin - 4;
        if length > MAX_FRAME {
            bytes.truncate(begin);
            return Err(FrameError::TooLong(length));
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        bytes[begin..begin + 4].copy_from_slice(&length);
        Ok(())
    }

    fn write_body(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => {
                bytes.push(kind::HELLO);
                bytes.extend(MAGIC);
                bytes.extend([hello.versions.0, hello.versions.1]);
                json(bytes, hello);
            }
            Self::Welcome(welcome) => {
                bytes.extend([kind::WELCOME, welcome.version]);
                json(bytes, welcome);
            }
            Self::Refuse(refusal, words) => {
                bytes.push(kind::REFUSE);
                json(bytes, &(refusal, words));
            }
            Self::News(number, items) => {
                bytes.push(kind::NEWS);
                bytes.extend(number.to_le_bytes());
                json(bytes, items);
            }
            Self::Names(names) => {
                bytes.push(kind::NAMES);
                json(bytes, names);
            }
            Self::Beats(number, beats) => {
                bytes.push(kind::BEATS);
                bytes.extend(number.to_le_bytes());
                beats.write(bytes);
            }
            Self::Ack(number) => {
                bytes.push(kind::ACK);
                bytes.extend(number.to_le_bytes());
            }
            Self::Ping(mine, yours) => {
                bytes.push(kind::PING);
                bytes.extend(mine.to_le_bytes());
                bytes.extend(yours.to_le_bytes());
            }
            Self::Order(id, order) => {
                bytes.push(kind::ORDER);
                json(bytes, &(id, order));
            }
            Self::Goodbye(words) => {
                bytes.push(kind::GOODBYE);
                bytes.extend(words.as_bytes());
            }
        }
    }

    /// Reads a frame without its length.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        let (&kind, body) =
            bytes.split_first().ok_or(FrameError::Body { kind: 0, why: "it is empty".to_owned() })?;
        let wrong = |why: &dyn std::fmt::Display| FrameError::Body { kind, why: why.to_string() };
        let parsed = |error: serde_json::Error| wrong(&error);
        let short = || wrong(&"it ends too early");
        Ok(match kind {
            kind::HELLO => {
                let body = body.strip_prefix(MAGIC).ok_or(FrameError::NoLink)?;
                let ([oldest, newest], text) = body.split_first_chunk().ok_or_else(short)?;
                // A newer side may say it otherwise: the versions are all that must be readable for ever.
                let versions = (*oldest, *newest);
                if versions.1 < OLDEST_VERSION || versions.0 > NEWEST_VERSION {
                    return Ok(Self::Hello(Hello {
                        versions,
                        host: String::new(),
                        session: 0,
                        program: String::new(),
                        system: String::new(),
                    }));
                }
                Self::Hello(Hello { versions, ..serde_json::from_slice(text).map_err(parsed)? })
            }
            kind::WELCOME => {
                let (version, text) = body.split_first().ok_or_else(short)?;
                Self::Welcome(Welcome { version: *version, ..serde_json::from_slice(text).map_err(parsed)? })
            }
            kind::REFUSE => {
                let (refusal, words) = serde_json::from_slice(body).map_err(parsed)?;
                Self::Refuse(refusal, words)
            }
            kind::NEWS => {
                let (number, text) = body.split_first_chunk().ok_or_else(short)?;
                Self::News(u64::from_le_bytes(*number), serde_json::from_slice(text).map_err(parsed)?)
            }
            kind::NAMES => Self::Names(serde_json::from_slice(body).map_err(parsed)?),
            kind::BEATS => {
                let (number, beats) = body.split_first_chunk().ok_or_else(short)?;
                let beats = Beats::read(beats).map_err(|error: BeatsError| wrong(&error))?;
                Self::Beats(u64::from_le_bytes(*number), beats)
            }
            kind::ACK => {
                Self::Ack(u64::from_le_bytes(body.try_into().map_err(|_| wrong(&"it is not 8 bytes long"))?))
            }
            kind::PING => {
                let (mine, yours) = body.split_first_chunk().ok_or_else(short)?;
                let yours = yours.try_into().map_err(|_| wrong(&"it is not 8 bytes long"))?;
                Self::Ping(u32::from_le_bytes(*mine), u32::from_le_bytes(yours))
            }
            kind::ORDER => {
                let (id, order) = serde_json::from_slice(body).map_err(parsed)?;
                Self::Order(id, order)
            }
            kind::GOODBYE => Self::Goodbye(String::from_utf8_lossy(body).into_owned()),
            kind => return Err(FrameError::Kind(kind)),
        })
    }
}

/// Appends `value` as JSON. What the link sends has string keys and finite numbers only, so this cannot fail; were
/// it to, the other side would get an empty body and say so.
fn json(bytes: &mut Vec<u8>, value: &impl Serialize) {
    let begin = bytes.len();
    if serde_json::to_writer(&mut *bytes, value).is_err() {
        bytes.truncate(begin);
    }
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Where the next frame begins.
    begin: usize,
}

impl Framer {
    /// Takes what was received.
    pub fn take(&mut self, received: &[u8]) {
        if self.begin > 0 && (self.begin == self.bytes.len() || self.begin >= MAX_FRAME) {
            self.bytes.drain(..self.begin);
            self.begin = 0;
        }
        self.bytes.extend(received);
    }

    /// The next frame, if all of it is there.
    ///
    /// # Errors
    /// When what is there is no frame. The connection is of no more use then.
    pub fn next_frame(&mut self) -> Option<Result<Frame, FrameError>> {
        let (length, rest) = self.bytes.get(self.begin..)?.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Some(Err(FrameError::TooLong(length)));
        }
        let frame = rest.get(..length)?;
        let frame = Frame::read(frame);
        self.begin += 4 + length;
        Some(frame)
    }
}
