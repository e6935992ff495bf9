//! A job: when it is due, and how its runs went.

use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::Exit;
use lifesign_core::job::{Going, RunRecord};
use lifesign_core::time::Wall;
use lifesign_core::view;
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{time, time_or_null};

/// A job: when it runs, and how it ran.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    /// When it is due, as written: a cron pattern with its time zone, or `every 24h`.
    schedule: String,
    /// How long after a due time nothing heard is not yet held against it.
    grace_seconds: f64,
    /// The longest a run may take; null: until the next due time and its grace.
    #[schema(required)]
    max_runtime_seconds: Option<f64>,
    /// When it is due next; null: never again.
    #[schema(schema_with = time_or_null, required)]
    next_due: Option<Wall>,
    /// When it was due and nothing was heard, while that is held against it.
    #[schema(schema_with = time_or_null, required)]
    missed: Option<Wall>,
    /// Runs that go on, oldest first.
    running: Vec<GoingRun>,
    /// The run that ended last.
    #[schema(required)]
    last_run: Option<Run>,
    /// The runs that ended last, newest first, the newest of them `last_run`; only that one has its output.
    recent: Vec<Run>,
}

/// A run that goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GoingRun {
    /// What its reporter calls it.
    #[schema(value_type = Option<String>, required)]
    id: Option<Arc<str>>,
    /// When it began, by the server's clock.
    #[schema(schema_with = time)]
    started_at: Wall,
    /// Whether it takes longer than it may.
    too_long: bool,
}

/// A run that has ended.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Run {
    /// What its reporter calls it.
    #[schema(value_type = Option<String>, required)]
    id: Option<Arc<str>>,
    /// When it began, by the server's clock; null: that was not told.
    #[schema(schema_with = time_or_null, required)]
    started_at: Option<Wall>,
    /// When it ended, by the server's clock.
    #[schema(schema_with = time)]
    ended_at: Wall,
    /// Whether it did its work.
    ok: bool,
    /// Its exit code, where it ended with one.
    #[schema(required)]
    exit_code: Option<i64>,
    /// The signal that ended it.
    #[schema(required)]
    signal: Option<i32>,
    /// Why it could not be started.
    #[schema(required)]
    start_error: Option<String>,
    /// How long it took by the server's clock; null: its beginning was not told.
    #[schema(required)]
    duration_seconds: Option<f64>,
    /// How long it took by the clock of its reporter.
    #[schema(required)]
    reported_duration_seconds: Option<f64>,
    /// The last it wrote.
    #[schema(required)]
    output: Option<String>,
}

impl From<view::JobView> for Job {
    fn from(view: view::JobView) -> Self {
        let recent: Vec<Run> = view.recent.into_iter().map(Into::into).collect();
        Self {
            schedule: view.schedule,
            grace_seconds: view.grace.as_secs_f64(),
            max_runtime_seconds: seconds(view.max_runtime),
            next_due: view.next_due,
            missed: view.missed,
            running: view.running.into_iter().map(Into::into).collect(),
            last_run: recent.first().cloned(),
            recent,
        }
    }
}

impl From<Going> for GoingRun {
    fn from(run: Going) -> Self {
        Self { id: run.id, started_at: run.started_at, too_long: run.too_long }
    }
}

impl From<RunRecord> for Run {
    fn from(run: RunRecord) -> Self {
        let (exit_code, signal, start_error) = match run.exit {
            Some(Exit::Clean) => (Some(0), None, None),
            Some(Exit::Code(code)) => (Some(code), None, None),
            Some(Exit::Signal(signal)) => (None, Some(signal), None),
            Some(Exit::StartFailed(why)) => (None, None, Some(why)),
            Some(Exit::Watchdog | Exit::Unseen) | None => (None, None, None),
        };
        Self {
            id: run.id,
            started_at: run.started_at,
            ended_at: run.ended_at,
            ok: run.ok,
            exit_code,
            signal,
            start_error,
            duration_seconds: seconds(run.took),
            reported_duration_seconds: seconds(run.said),
            output: run.output,
        }
    }
}

fn seconds(span: Option<Duration>) -> Option<f64> {
    span.map(|span| span.as_secs_f64())
}
