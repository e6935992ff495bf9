//! Jobs: work that begins, ends, and is due again at known times.
//!
//! A [`Calendar`] says when a job is due, in a time zone and over the hours that a change of the clocks skips or
//! doubles. [`Job`] is what is known of one: the runs that are going on, the last that ended, and the due time
//! that is awaited. It is as pure as everything here: it is handed the time and the news.
//!
//! What is held against a job, worst first:
//!
//! | evidence | when | reason |
//! |---|---|---|
//! | too long | a run goes on past `max_runtime`; where that is not written, past the next due time + `grace` | `hung` |
//! | overdue | no run was heard of by a due time + `grace` | `missed_heartbeat` |
//! | failed | the last run that ended failed | `crashed`, `killed`, `start_failed`, `check_failed` |
//!
//! Due times belong to the calendar and so to the wall clock; `grace` and `max_runtime` are counted on the
//! engine's own clock, which stands still while the engine does. Neither a step of the wall clock nor our own
//! absence makes a job overdue: see [`Job::absent`].

mod calendar;
#[cfg(test)]
mod properties;
mod run;
mod watch;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::calendar::{Calendar, CalendarError, Due};
pub use self::run::{Going, JobMemory, RunRecord};
pub use self::watch::{Job, Moment, Noticed};
use crate::time::Wall;

/// An absence of ours that is not longer loses no news: whoever could not reach us tries again for two minutes, and
/// waits at most ten seconds before a try, which may take as long. A longer absence is held against no job.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// A run that begins this early (or half of the time to the due time after it, if that is less) counts for the
/// due time ahead: the clock of its host may be ahead of ours.
pub const EARLY: Duration = Duration::from_secs(60);
/// Runs of one job that may go on at once; past it the oldest is forgotten.
pub const MAX_RUNS: usize = 16;
/// Runs that have ended and are remembered, the last one with its output.
pub const MAX_RECENT: usize = 10;

/// What is expected of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// When it is due.
    pub schedule: Schedule,
    /// How long after a due time nothing heard is not yet held against it.
    pub grace: Duration,
    /// The longest a run may take; `None`: until the next due time and its grace.
    pub max_runtime: Option<Duration>,
}

/// When a job is due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// So long after the beginning of its last run.
    Every(Duration),
    /// At times of the calendar.
    Calendar(Calendar),
}

impl Schedule {
    /// The first due time after `after`: for [`Self::Every`] the beginning of the last run.
    pub fn after(&self, after: Wall) -> Option<Due> {
        match self {
            Self::Every(period) => Some(Due::at(after + *period)),
            Self::Calendar(calendar) => calendar.after(after),
        }
    }

    /// As people write it.
    pub fn words(&self) -> String {
        match self {
            Self::Every(period) => format!("every {}", crate::duration::write_duration(*period)),
            Self::Calendar(calendar) => calendar.to_string(),
        }
    }

    /// How early a run may begin that still counts for `due`.
    fn early(&self, due: Due) -> Duration {
        match self {
            // The next due time moves with the run itself.
            Self::Every(_) => Duration::ZERO,
            Self::Calendar(calendar) => {
                let next = calendar.after(due.from).map_or(EARLY * 2, |next| next.from.since(due.from));
                EARLY.min(next / 2)
            }
        }
    }
}
