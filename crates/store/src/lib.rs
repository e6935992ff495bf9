//! The journal of lifesign: one SQLite file that survives kills, full disks and upgrades, and that opens
//! with everybody's tools.
//!
//! [`Store::open`] locks the data directory, brings the file to the present version and gives back the
//! engine's [`Past`]. [`Store::write`] takes the effects of one turn of the engine; one thread writes
//! whatever waits in one transaction (`writer`). When the disk refuses, the caller is told at once
//! ([`Deferred`]), everything stays in memory in its order (`backlog`) and [`Store::health`] says why.
//! Notifications that wait to be sent are handed out by [`Store::due`], also while the disk refuses
//! (`outbox`). The past is read in pages (`query`). Every limit stands in `limits`.
//!
//! What this crate does not do: it judges nothing, sends nothing, and has no copy of the present: that is
//! the engine's.
#![warn(missing_docs)]

mod backlog;
mod directory;
mod error;
mod health;
mod limits;
mod outbox;
mod prune;
mod query;
mod record;
mod restore;
mod rows;
mod schema;
mod writer;
mod written;

use std::path::Path;
use std::sync::Arc;

use lifesign_core::effect::{AuditEntry, Effect, Incident, TimelineEntry, Transition};
use lifesign_core::engine::Past;
use lifesign_core::model::{IncidentId, ServiceId};
use lifesign_core::time::Wall;
use tokio::sync::oneshot;

pub use crate::error::{Deferred, OpenError, ReadError};
pub use crate::health::{Figures, Health, Trouble};
pub use crate::limits::{
    Keep, MAX_BODIES, MAX_CHECKED_FILE, MAX_FACTS, MAX_FINISHED_IDS, MAX_MEMORIES, MAX_PAGE, MAX_READERS,
    MAX_TEXT, MAX_TIMELINE, MAX_TOLD, MAX_WAITING, Options, PRUNE_STEP, Retention, TIMELINE_HEAD,
};
pub use crate::outbox::OutboxItem;
pub use crate::query::{Cursor, IncidentQuery, Page, Recorded, SendState, SentNotification};
pub use crate::written::Written;

use crate::backlog::{Backlog, Batch, End, Op};
use crate::directory::DataDir;
use crate::outbox::COMMIT_WITHIN;
use crate::query::Readers;
use crate::writer::{Desk, Shared, Stage, Writer};

/// The store; cheap to clone. The last clone to go closes it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    retention: Retention,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.readers.close();
        self.shared.close();
    }
}

impl Store {
    /// Opens the store in `dir` and reads what an earlier life knew. Blocks: reads files.
    ///
    /// A missing directory is made, for its owner only. Until the store is closed the directory is ours.
    ///
    /// # Errors
    /// When the directory cannot be written to or another lifesign uses it, and when the database is
    /// damaged, of a later version or of another program. The error names the way out.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Past), OpenError> {
        let directory = DataDir::take(dir)?;
        let file = directory.database();
        let db = schema::open(&file, schema::MIGRATIONS)?;
        let failed = |source| schema::database(&file, source);
        let past = restore::past(&db).map_err(failed)?;
        let outbox = restore::outbox(&db).map_err(failed)?;
        let shared = Arc::new(Shared::new(file.clone(), outbox, Backlog::new(MAX_WAITING)));
        let writer = Writer::new(Arc::clone(&shared), db, options.retention.clone(), directory);
        std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run()).map_err(
            |source| OpenError::Io { doing: "start the thread that writes", path: file.clone(), source },
        )?;
        let readers = Arc::new(Readers::new(file));
        Ok((Self { inner: Arc::new(Inner { shared, readers, retention: options.retention }) }, past))
    }

    /// Writes the effects of one step, or of several, in one transaction. Returns at once.
    pub fn write(&self, effects: Vec<Effect>) -> Written {
        let ops = effects.into_iter().filter(backlog::is_kept).map(Op::Effect).collect();
        self.hand_in(&mut self.inner.shared.desk(), ops)
    }

    /// Writes one line of the audit log.
    pub fn append_audit(&self, entry: AuditEntry) -> Written {
        self.write(vec![Effect::Audit(entry)])
    }

    /// Ends the store: writes what waits (one attempt), lets the directory go. What is handed in later
    /// is deferred for ever.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        // Fails only when the runtime ends; then dropping the last clone does the same.
        let _ = tokio::task::spawn_blocking(move || {
            inner.readers.close();
            inner.shared.close();
        })
        .await;
    }

    /// Whether the disk takes what it is given.
    pub fn health(&self) -> Health {
        let desk = self.inner.shared.desk();
        let hangs = desk.writing.filter(|(begun, _)| begun.elapsed() >= COMMIT_WITHIN);
        let trouble = desk.trouble.clone().or_else(|| {
            let what = format!("{}: the disk does not answer", self.inner.shared.file.display());
            hangs.map(|(_, since)| Trouble { what: what.into(), since })
        });
        Health { trouble, waiting: desk.backlog.len() }
    }

    /// What the store has counted.
    pub fn figures(&self) -> Figures {
        let desk = self.inner.shared.desk();
        Figures { backlog: desk.backlog.len(), pending: desk.outbox.len(), ..desk.figures }
    }

    fn hand_in(&self, desk: &mut Desk, ops: Vec<Op>) -> Written {
        if desk.stage == Stage::Closed {
            return Written::known(Err(Deferred { why: "the store is closed".into() }));
        }
        if ops.is_empty() {
            return Written::known(Ok(()));
        }
        for op in &ops {
            if let Op::Effect(Effect::Notify(notification)) = op {
                desk.outbox.enter(notification);
            }
        }
        let deferred = desk.trouble.as_ref().map(|trouble| Deferred { why: Arc::clone(&trouble.what) });
        let (answer, written) = match deferred {
            Some(deferred) => {
                desk.outbox.release();
                (None, Written::known(Err(deferred)))
            }
            None => {
                let (sender, receiver) = oneshot::channel();
                (Some(sender), Written::awaited(receiver))
            }
        };
        let dropped = desk.backlog.push(Batch { ops, answer });
        desk.figures.dropped += dropped;
        self.inner.shared.ring();
        written
    }
}

/// The outbox: notifications leave it by their mark. Within one life nobody is handed a notification that
/// has been marked as delivered or refused, whether or not the disk has taken the mark.
impl Store {
    /// The notifications that `receiver` is to be sent now, in their order. One that must wait (its last
    /// attempt failed, `next_at` is to come) holds back those behind it. The same ones are handed out
    /// again until they are marked.
    ///
    /// # Errors
    /// When more than [`MAX_BODIES`] wait and the rest cannot be read from the disk.
    pub async fn due(&self, receiver: &str, now: Wall, limit: usize) -> Result<Vec<OutboxItem>, ReadError> {
        let entries = self.inner.shared.desk().outbox.due(receiver, now, limit);
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            let body = match entry.body {
                Some(body) => Some(body),
                None => {
                    let id = Arc::clone(&entry.id);
                    self.inner.readers.read(move |db| restore::body(db, &id)).await?.map(Arc::new)
                }
            };
            let Some(notification) = body else {
                tracing::error!(id = %entry.id, "Notification is gone from the database; it cannot be sent");
                self.inner.shared.desk().outbox.finish(&entry.id);
                continue;
            };
            items.push(OutboxItem {
                notification,
                attempts: entry.attempts,
                uncertain: entry.uncertain,
                last_answer: entry.last_answer,
            });
        }
        Ok(items)
    }

    /// How long until something is due for `receiver`; `None`: nothing waits.
    pub fn next_due(&self, receiver: &str, now: Wall) -> Option<std::time::Duration> {
        self.inner.shared.desk().outbox.wait(receiver, now)
    }

    /// Every receiver that something waits for, with how many; also receivers that are configured no more.
    pub fn waiting(&self) -> Vec<(Arc<str>, usize)> {
        self.inner.shared.desk().outbox.waiting()
    }

    /// Notes that an attempt begins. Await the answer before sending: then a kill between the receiver's
    /// answer and its mark is known after the start ([`OutboxItem::uncertain`]) and the repeat is counted.
    pub fn begin_attempt(&self, id: &str) -> Written {
        let mut desk = self.inner.shared.desk();
        let Some(entry) = desk.outbox.entry(id) else { return Written::known(Ok(())) };
        let repeat = std::mem::take(&mut entry.uncertain);
        entry.repeats += u32::from(repeat);
        entry.attempts = entry.attempts.saturating_add(1);
        let op = Op::Begun { id: Arc::clone(&entry.id), attempts: entry.attempts, repeats: entry.repeats };
        desk.figures.repeats += u64::from(repeat);
        self.hand_in(&mut desk, vec![op])
    }

    /// Notes that attempt number `attempts` failed and when to try again.
    pub fn mark_attempt(&self, id: &str, attempts: u32, next_at: Wall, answer: &str) -> Written {
        let mut desk = self.inner.shared.desk();
        let Some(entry) = desk.outbox.entry(id) else { return Written::known(Ok(())) };
        let answer: Arc<str> = limits::bounded(answer).into();
        entry.attempts = entry.attempts.max(attempts);
        entry.next_at = next_at;
        entry.last_answer = Some(Arc::clone(&answer));
        let op = Op::Answered { id: Arc::clone(&entry.id), attempts: entry.attempts, next_at, answer };
        self.hand_in(&mut desk, vec![op])
    }

    /// Notes that the receiver has it.
    pub fn mark_delivered(&self, id: &str, at: Wall, answer: &str) -> Written {
        self.finish(id, End::Delivered, at, answer)
    }

    /// Notes that the receiver will never have it: it refused for good, or is configured no more.
    pub fn mark_refused(&self, id: &str, at: Wall, answer: &str) -> Written {
        self.finish(id, End::Refused, at, answer)
    }

    fn finish(&self, id: &str, end: End, at: Wall, answer: &str) -> Written {
        let mut desk = self.inner.shared.desk();
        let Some(entry) = desk.outbox.finish(id) else { return Written::known(Ok(())) };
        let op = Op::Finished {
            id: entry.id,
            end,
            at,
            attempts: entry.attempts,
            answer: limits::bounded(answer).into(),
        };
        self.hand_in(&mut desk, vec![op])
    }
}

/// The past. Pages hold at most [`MAX_PAGE`] items and begin with the newest; all of these fail only when
/// the database cannot be read.
impl Store {
    /// Incidents without their timelines.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn incidents(
        &self,
        query: IncidentQuery,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Incident>, ReadError> {
        self.inner.readers.read(move |db| query::incidents(db, &query, cursor, limit)).await
    }

    /// One incident with its timeline, oldest line first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn incident(
        &self,
        id: IncidentId,
    ) -> Result<Option<(Incident, Vec<TimelineEntry>)>, ReadError> {
        self.inner.readers.read(move |db| query::incident(db, id)).await
    }

    /// The changes of one service at and after `since`, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn transitions(
        &self,
        service: ServiceId,
        since: Wall,
        limit: usize,
    ) -> Result<Vec<Transition>, ReadError> {
        self.inner.readers.read(move |db| query::transitions(db, &service, since, limit)).await
    }

    /// What is recorded of `service` at the moment `at`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn moment(&self, service: ServiceId, at: Wall) -> Result<Recorded, ReadError> {
        self.inner.readers.read(move |db| query::moment(db, &service, at)).await
    }

    /// How long history is kept.
    pub fn retention(&self) -> &Retention {
        &self.inner.retention
    }

    /// Notifications and how they fared.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn notifications(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<SentNotification>, ReadError> {
        self.inner.readers.read(move |db| query::notifications(db, cursor, limit)).await
    }

    /// The audit log.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn audit(&self, cursor: Option<Cursor>, limit: usize) -> Result<Page<AuditEntry>, ReadError> {
        self.inner.readers.read(move |db| query::audit(db, cursor, limit)).await
    }
}
