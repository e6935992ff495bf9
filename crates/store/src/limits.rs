//! How much is kept, and what happens at each limit.

use std::time::Duration;

/// Effects and marks that may wait in memory while the disk refuses. At the limit, records that a later
/// one replaces are folded, then the oldest transitions, timeline lines and audit lines are dropped, in
/// this order, and counted in [`Figures::dropped`](crate::Figures::dropped). Incidents, alerts, memories
/// and notifications are never dropped.
pub const MAX_WAITING: usize = 50_000;

/// Lines of one incident's timeline. Past this the oldest line after the first [`TIMELINE_HEAD`] goes, and a
/// line `folded` says how many went.
pub const MAX_TIMELINE: usize = 1000;

/// Lines at the beginning of a timeline that are always kept: they tell how it began.
pub const TIMELINE_HEAD: usize = 200;

/// Longest text in a row (detail, answer, target), in bytes. Longer text is cut on a character border.
pub const MAX_TEXT: usize = 8 * 1024;

/// Evidence kept with one change of state, as JSON, in bytes. Sentences that would lead past it are left out,
/// from the end.
pub const MAX_FACTS: usize = 64 * 1024;

/// Notifications told of with one past moment; of more the newest.
pub const MAX_TOLD: usize = 100;

/// Largest page of a list; a larger wish gets this much.
pub const MAX_PAGE: usize = 1000;

/// Pending notifications whose bodies are held in memory. Further ones are read from the disk when their
/// turn comes; ones that are not on the disk yet are always held.
pub const MAX_BODIES: usize = 4096;

/// Ids of finished notifications that are remembered, so that one which comes again while the disk
/// cannot be asked is recognised.
pub const MAX_FINISHED_IDS: usize = 4096;

/// Memories of services. Past this those heard of longest ago go, unless paused or in an incident.
pub const MAX_MEMORIES: usize = 100_000;

/// Connections that answer queries side by side. A further query waits for one of them.
pub const MAX_READERS: usize = 4;

/// Rows that one step of pruning removes from one table, so that no commit waits long behind it.
pub const PRUNE_STEP: usize = 500;

/// Whole-file check on opening, for files up to this size; larger ones are checked as they are read.
pub const MAX_CHECKED_FILE: u64 = 64 * 1024 * 1024;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// How long history is kept.
    pub retention: Retention,
}

/// How long history is kept, by age and by number; whichever is reached first. Freed space inside the
/// file is used again. Open incidents, pending notifications, and the newest notification about an
/// active alert to each receiver are never removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Closed incidents with their timelines, counted from their end.
    pub incidents: Keep,
    /// Changes of state.
    pub transitions: Keep,
    /// Notifications that were delivered or refused, counted from that moment.
    pub notifications: Keep,
    /// Lines of the audit log.
    pub audit: Keep,
}

/// One kind's retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Oldest that stays.
    pub age: Duration,
    /// Most that stay.
    pub count: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            incidents: Keep { age: DAY * 365, count: 100_000 },
            transitions: Keep { age: DAY * 90, count: 1_000_000 },
            notifications: Keep { age: DAY * 30, count: 50_000 },
            audit: Keep { age: DAY * 365, count: 100_000 },
        }
    }
}

/// `text`, cut to [`MAX_TEXT`] bytes on a character border.
pub(crate) fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text)
}
