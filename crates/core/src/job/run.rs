//! Runs of a job as they are kept: those going on, those that have ended, and what outlives lifesign itself.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Due;
use crate::evidence::Exit;
use crate::time::Wall;

/// A run that is going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Going {
    /// What its reporter calls it, where that tells runs apart.
    pub id: Option<Arc<str>>,
    /// When it began, by our clock.
    pub started_at: Wall,
    /// Whether it takes longer than it may.
    pub too_long: bool,
    /// Whether lifesign was away so long that its end may have been told in vain.
    pub unsure: bool,
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// What its reporter calls it.
    pub id: Option<Arc<str>>,
    /// When it began, by our clock; `None`: that was not told.
    pub started_at: Option<Wall>,
    /// When it ended, by our clock.
    pub ended_at: Wall,
    /// Whether it did its work.
    pub ok: bool,
    /// How it ended, where its reporter says so.
    pub exit: Option<Exit>,
    /// How long it took by our own clock, from the news of its start to that of its end.
    pub took: Option<Duration>,
    /// How long it took by the clock of its reporter.
    pub said: Option<Duration>,
    /// The last it wrote, or what its reporter said of it; at most [`crate::evidence::MAX_OUTPUT`] bytes.
    pub output: Option<String>,
}

/// What is kept of a job over a restart of lifesign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobMemory {
    /// When this was written.
    pub seen_at: Wall,
    /// The schedule that the due times belong to, in words.
    pub schedule: String,
    /// The due time that is awaited.
    pub due: Option<Due>,
    /// How much of its grace had passed, once it had come.
    pub waited: Option<Duration>,
    /// The due time that was missed.
    pub overdue: Option<Due>,
    /// Whether an absence of ours has lengthened this grace already.
    pub forgiven: bool,
    /// The last due time that is not held against it because lifesign was away.
    pub excused: Option<Wall>,
    /// Runs that go on, oldest first.
    pub going: Vec<Going>,
    /// Runs that have ended, newest first; at most [`super::MAX_RECENT`].
    pub recent: Vec<RunRecord>,
}
