//! The same heartbeats as in JSON, as bytes: what a sender of many uses, whatever carries them.
//!
//! ```text
//! batch:   u8 version, 1 | u16 number of heartbeats | that many heartbeats, and nothing behind them
//! beat:    u16 length of what follows | u8 status | u8 fields | u8 length, id | the fields there are, in this order
//!   status   0 alive, 1 stopping, 2 fail
//!   fields   1 sent at | 2 interval | 4 progress | 8 hears is told | 16 hears | 32 message | 64 metrics | 128 run
//!   sent at  i64 milliseconds since 1970        interval  u64 milliseconds        progress  u64
//!   message  u16 length, text                   metrics   u8 number, each: u8 length, name, f64
//!   run      u8 phase (0 started, 1 ended, 2 noted) | u8 fields | the fields there are, in this order
//!     fields   3 exit (1 code, 2 signal, 3 start error) | 4 id | 8 duration | 16 output
//!     exit     i64 code, or u8 signal, or u16 length, text
//!     id       u8 length, text     duration  u64 milliseconds     output  u16 length, text
//! ```
//!
//! Numbers are little-endian, texts UTF-8. Bits that stand for nothing are zero. Each heartbeat has its length, so that
//! one that is wrong costs the others nothing. Reading borrows from the body: of a heartbeat that is right,
//! [`Batch::iter`] makes nothing but its [`ServiceId`](lifesign_core::model::ServiceId) anew.

mod answer;
mod read;
mod write;

use lifesign_core::evidence::Beat;

use crate::limits::Limits;
use crate::{Heartbeats, ItemError};

pub use answer::{Answer, AnswerError, read_answer, write_answer};
pub use read::{BeatRef, MetricsRef, RunRef};
pub use write::{Unwritable, Writer};

/// The media type of a batch, and of its answer.
pub const HEARTBEATS: &str = "application/vnd.lifesign.heartbeats";
/// The version that is written, and the only one that is read.
pub const VERSION: u8 = 1;
/// Bytes before the first heartbeat.
const HEAD: usize = 3;

/// Bits of a heartbeat's fields.
mod field {
    pub(super) const SENT_AT: u8 = 1;
    pub(super) const INTERVAL: u8 = 2;
    pub(super) const PROGRESS: u8 = 4;
    pub(super) const HEARS_TOLD: u8 = 8;
    pub(super) const HEARS: u8 = 16;
    pub(super) const MESSAGE: u8 = 32;
    pub(super) const METRICS: u8 = 64;
    pub(super) const RUN: u8 = 128;
}

/// Bits of a run's fields.
mod run_field {
    pub(super) const EXIT: u8 = 3;
    pub(super) const ID: u8 = 4;
    pub(super) const DURATION: u8 = 8;
    pub(super) const OUTPUT: u8 = 16;
}

/// Why a body is no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It does not even hold a head.
    #[error("{0} bytes are no batch of heartbeats; its head alone has {HEAD}")]
    Short(usize),
    /// Another version, or no batch at all.
    #[error("a batch of version {0}; version {VERSION} is read")]
    Version(u8),
    /// More heartbeats than one batch may hold.
    #[error("{many} heartbeats in one batch, at most {limit}; send several")]
    Many {
        /// How many it says it holds.
        many: usize,
        /// How many are taken.
        limit: usize,
    },
    /// It ends inside of a heartbeat.
    #[error("the batch ends within heartbeat {0}")]
    CutOff(usize),
    /// Something stands behind the last heartbeat.
    #[error("{0} bytes stand behind the last heartbeat")]
    Behind(usize),
}

impl BatchError {
    /// The HTTP status: 422 for too many, else 400.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Many { .. } => 422,
            Self::Short(_) | Self::Version(_) | Self::CutOff(_) | Self::Behind(_) => 400,
        }
    }

    /// As an answer.
    pub fn problem(&self) -> crate::Problem {
        crate::Problem::new(self.status(), "the body is not a batch of heartbeats").detail(self.to_string())
    }
}

/// A batch whose heartbeats are all there; each is still to be read.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    beats: &'a [u8],
    many: usize,
    limits: &'a Limits,
}

impl<'a> Batch<'a> {
    /// Looks at the frame of a batch: version, number and lengths.
    ///
    /// # Errors
    /// When it is not a batch as a whole.
    pub fn open(body: &'a [u8], limits: &'a Limits) -> Result<Self, BatchError> {
        let Some(([version, low, high], beats)) = body.split_first_chunk::<HEAD>() else {
            return Err(BatchError::Short(body.len()));
        };
        if *version != VERSION {
            return Err(BatchError::Version(*version));
        }
        let many = usize::from(u16::from_le_bytes([*low, *high]));
        if many > limits.beats {
            return Err(BatchError::Many { many, limit: limits.beats });
        }
        let mut rest = beats;
        for index in 0..many {
            (_, rest) = split(rest).ok_or(BatchError::CutOff(index))?;
        }
        if !rest.is_empty() {
            return Err(BatchError::Behind(rest.len()));
        }
        Ok(Self { beats, many, limits })
    }

    /// How many heartbeats it holds.
    pub const fn len(&self) -> usize {
        self.many
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.many == 0
    }

    /// The heartbeats, each read or refused by itself.
    pub fn iter(&self) -> impl Iterator<Item = Result<BeatRef<'a>, ItemError>> + use<'a> {
        let Self { mut beats, limits, .. } = *self;
        let mut index = 0;
        std::iter::from_fn(move || {
            let (beat, rest) = split(beats)?;
            beats = rest;
            index += 1;
            Some(read::beat(beat, limits).map_err(|wrong| wrong.at(index - 1)))
        })
    }
}

/// Splits off what has its length before it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// Reads a whole batch, as [`crate::read`] does JSON.
///
/// # Errors
/// When it is not a batch as a whole. What is wrong with single heartbeats stands in their place.
pub fn read(body: &[u8], limits: &Limits) -> Result<Heartbeats, BatchError> {
    let batch = Batch::open(body, limits)?;
    let mut beats: Vec<Result<Beat, ItemError>> = Vec::with_capacity(batch.len());
    for beat in batch.iter() {
        let before = beats.last().and_then(|before| before.as_ref().ok());
        let beat = beat.map(|beat| beat.into_beat(before));
        beats.push(beat);
    }
    Ok(Heartbeats { array: true, beats })
}
