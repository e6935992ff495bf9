//! How the store itself is doing.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::time::Wall;

/// Whether the store writes, for `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is wrong; `None`: the disk takes what it is given.
    pub trouble: Option<Trouble>,
    /// Effects and marks that wait in memory.
    pub waiting: usize,
}

/// Why the disk does not take what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In words, naming the file.
    pub what: Arc<str>,
    /// Since when.
    pub since: Wall,
}

/// What the store counts, for `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Transactions committed.
    pub commits: u64,
    /// Batches in them.
    pub batches: u64,
    /// Effects and marks in them.
    pub effects: u64,
    /// How long the last commit took.
    pub last_commit: Duration,
    /// How many batches the last commit held.
    pub last_batches: usize,
    /// Effects and marks that wait now.
    pub backlog: usize,
    /// Transitions, timeline and audit lines given up at [`MAX_WAITING`](crate::MAX_WAITING).
    pub dropped: u64,
    /// Records that the database does not accept; a fault of lifesign.
    pub rejected: u64,
    /// Notifications that wait to be sent.
    pub pending: usize,
    /// Notifications sent again in this life although an earlier sending may have arrived.
    pub repeats: u64,
}

impl Figures {
    pub(crate) fn committed(&mut self, took: Duration, batches: usize, effects: usize, rejected: u64) {
        self.commits += 1;
        self.batches += batches as u64;
        self.effects += effects as u64;
        self.last_commit = took;
        self.last_batches = batches;
        self.rejected += rejected;
    }
}
