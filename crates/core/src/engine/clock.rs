//! Virtual time: the engine is not to blame services for its own absence.

use std::time::Duration;

use super::{STALL, TICK};
use crate::mutation::{Rule, on};
use crate::time::Mono;

/// Virtual time begins here, so that moments before the start of the process (a heartbeat that waited in a
/// spool, the restarts of an earlier life) have a place on it.
const ORIGIN: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The monotonic clock less our own stalls.
#[derive(Debug, Default)]
pub(super) struct VirtualClock {
    last: Option<Mono>,
    /// How long the engine did not run, all told.
    pub(super) frozen: Duration,
    /// How often.
    pub(super) stalls: u64,
    /// When the last of them ended, on the virtual clock.
    pub(super) stalled_until: Option<Mono>,
}

impl VirtualClock {
    /// Takes a reading; returns virtual time and how long we were stalled before it.
    pub(super) fn advance(&mut self, mono: Mono) -> (Mono, Option<Duration>) {
        let last = self.last.unwrap_or(mono);
        let mono = mono.max(last);
        let gap = mono.since(last);
        self.last = Some(mono);
        let stall = (gap > STALL && on(Rule::VirtualTime)).then(|| gap - TICK);
        if let Some(stall) = stall {
            self.frozen += stall;
            self.stalls += 1;
            self.stalled_until = Some(self.to_virtual(mono));
        }
        (self.to_virtual(mono), stall)
    }

    /// The present virtual time, as of the last step.
    pub(super) fn now(&self) -> Mono {
        self.to_virtual(self.last.unwrap_or_default())
    }

    /// A reading of the monotonic clock, not earlier than the last one taken, on the virtual one.
    pub(super) fn to_virtual(&self, mono: Mono) -> Mono {
        (mono + ORIGIN).back(self.frozen)
    }

    pub(super) fn to_real(&self, virtual_time: Mono) -> Mono {
        (virtual_time + self.frozen).back(ORIGIN)
    }
}
