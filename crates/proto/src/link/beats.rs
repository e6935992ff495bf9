//! Heartbeats that say nothing but *I am well* (or *I stop*, or *I fail*), twelve bytes each.
//!
//! ```text
//! beat:  u32 LE number of the service | u32 LE age in 100 µs | u8 status | 3 bytes, zero
//! ```
//!
//! The number is the place of the service in the [`Names`] that the agent has sent on this connection.

use std::time::Duration;

use lifesign_core::evidence::BeatStatus;
use lifesign_core::model::ServiceId;
use serde::{Deserialize, Serialize};

/// Length of one beat.
const LENGTH: usize = 12;
/// The unit of an age.
const AGE_UNIT: Duration = Duration::from_micros(100);

/// Names for numbers: the first has the number `from`, the next the one after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The number of the first.
    pub from: u32,
    /// The services.
    pub services: Vec<ServiceId>,
}

/// One plain heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compact {
    /// The number of its service.
    pub service: u32,
    /// How long ago it came to the agent, when it was sent. Coarse, and at most five days.
    pub age: Duration,
    /// What it says.
    pub status: BeatStatus,
}

/// A batch of plain heartbeats, as received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beats(Vec<u8>);

/// Why bytes are no batch of plain heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeatsError {
    /// Not a whole number of heartbeats.
    #[error("{0} bytes are no whole number of heartbeats")]
    Length(usize),
    /// A status that there is not, or padding that is not zero.
    #[error("heartbeat {0} of the batch has no status that is known")]
    Status(usize),
}

impl Beats {
    /// Adds one.
    pub fn push(&mut self, beat: Compact) {
        let age = u32::try_from(beat.age.as_nanos() / AGE_UNIT.as_nanos()).unwrap_or(u32::MAX);
        let status = match beat.status {
            BeatStatus::Alive => 0,
            BeatStatus::Stopping => 1,
            BeatStatus::Fail => 2,
        };
        self.0.extend(beat.service.to_le_bytes());
        self.0.extend(age.to_le_bytes());
        self.0.extend([status, 0, 0, 0]);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len() / LENGTH
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One after another.
    pub fn iter(&self) -> impl Iterator<Item = Compact> {
        self.0.as_chunks::<LENGTH>().0.iter().map(|[a, b, c, d, e, f, g, h, status, ..]| Compact {
            service: u32::from_le_bytes([*a, *b, *c, *d]),
            age: AGE_UNIT * u32::from_le_bytes([*e, *f, *g, *h]),
            status: match status {
                0 => BeatStatus::Alive,
                1 => BeatStatus::Stopping,
                _ => BeatStatus::Fail,
            },
        })
    }

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(&self.0);
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, BeatsError> {
        let (beats, rest) = bytes.as_chunks::<LENGTH>();
        if !rest.is_empty() {
            return Err(BeatsError::Length(bytes.len()));
        }
        if let Some(at) = beats.iter().position(|beat| beat[8] > 2 || beat[9..] != [0; 3]) {
            return Err(BeatsError::Status(at));
        }
        Ok(Self(bytes.to_vec()))
    }
}
