//! The one thread that writes.
//!
//! It takes everything that waits and writes it in one transaction, so the number of commits follows the
//! disk's speed and not the number of batches. When the disk refuses, everybody who waits is told so at
//! once, the batches stay in the [`Backlog`](crate::backlog) and are tried again with growing pauses. While
//! nothing is to be written it prunes.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lifesign_core::time::Wall;
use rusqlite::{Connection, TransactionBehavior};

use crate::backlog::{Backlog, Batch};
use crate::directory::DataDir;
use crate::error::{Deferred, breaks_connection, explain, is_of_the_disk};
use crate::health::{Figures, Trouble};
use crate::limits::Retention;
use crate::outbox::Index;
use crate::record::{Learnt, record};
use crate::{prune, schema};

/// Pause after the first refusal; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// From one round of pruning to the next.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Between the steps of one round.
const PRUNE_PAUSE: Duration = Duration::from_millis(50);

/// How far the writer's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    /// What waits is tried once more.
    Closing,
    Closed,
}

/// What the writer and those who give it work share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) backlog: Backlog,
    pub(crate) outbox: Index,
    pub(crate) trouble: Option<Trouble>,
    /// When the commit under way began.
    pub(crate) writing: Option<(Instant, Wall)>,
    pub(crate) stage: Stage,
    pub(crate) figures: Figures,
}

/// The desk with its lock and bell.
#[derive(Debug)]
pub(crate) struct Shared {
    desk: Mutex<Desk>,
    bell: Condvar,
    pub(crate) file: PathBuf,
}

impl Shared {
    pub(crate) fn new(file: PathBuf, outbox: Index, backlog: Backlog) -> Self {
        let desk = Desk {
            backlog,
            outbox,
            trouble: None,
            writing: None,
            stage: Stage::Open,
            figures: Figures::default(),
        };
        Self { desk: Mutex::new(desk), bell: Condvar::new(), file }
    }

    /// The desk. Nobody holds it while touching the disk.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ring(&self) {
        self.bell.notify_all();
    }

    /// Asks the writer to end and waits until it has: at most for one attempt to write what waits.
    pub(crate) fn close(&self) {
        let mut desk = self.desk();
        if desk.stage == Stage::Open {
            desk.stage = Stage::Closing;
        }
        self.ring();
        drop(self.wait_while(desk, None, |desk| desk.stage != Stage::Closed));
    }

    fn wait_while<'a>(
        &self,
        desk: MutexGuard<'a, Desk>,
        most: Option<Duration>,
        condition: fn(&mut Desk) -> bool,
    ) -> MutexGuard<'a, Desk> {
        match most {
            Some(most) => {
                let (desk, _) = self
                    .bell
                    .wait_timeout_while(desk, most, condition)
                    .unwrap_or_else(PoisonError::into_inner);
                desk
            }
            None => self.bell.wait_while(desk, condition).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// The thread's own things.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// `None` after trouble that made the old connection useless.
    db: Option<Connection>,
    retention: Retention,
    /// Held for as long as we may write; let go after the connection.
    dir: Option<DataDir>,
}

/// What the desk asks for.
enum Next {
    Write(Vec<Batch>),
    Prune,
    End,
}

impl Writer {
    pub(crate) const fn new(shared: Arc<Shared>, db: Connection, retention: Retention, dir: DataDir) -> Self {
        Self { shared, db: Some(db), retention, dir: Some(dir) }
    }

    /// Works until the store is closed.
    pub(crate) fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut prune_at = Instant::now() + FIRST_PAUSE;
        loop {
            match self.next(prune_at) {
                Next::Write(batches) => {
                    if self.write(batches) {
                        pause = FIRST_PAUSE;
                    } else {
                        self.rest(pause);
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
                Next::Prune => {
                    prune_at = Instant::now() + if self.prune() { PRUNE_PAUSE } else { PRUNE_EVERY };
                }
                Next::End => break,
            }
        }
    }

    fn next(&self, prune_at: Instant) -> Next {
        let desk = self.shared.desk();
        let most = prune_at.saturating_duration_since(Instant::now());
        let mut desk = self
            .shared
            .wait_while(desk, Some(most), |desk| desk.backlog.is_empty() && desk.stage == Stage::Open);
        if !desk.backlog.is_empty() {
            desk.writing = Some((Instant::now(), wall_now()));
            return Next::Write(desk.backlog.take());
        }
        if desk.stage == Stage::Open { Next::Prune } else { Next::End }
    }

    /// Waits before the next attempt; a store that is closing does not wait.
    fn rest(&self, pause: Duration) {
        let desk = self.shared.desk();
        drop(self.shared.wait_while(desk, Some(pause), |desk| desk.stage == Stage::Open));
    }

    /// Writes `batches` or puts them back; returns whether the disk took them.
    fn write(&mut self, mut batches: Vec<Batch>) -> bool {
        let begun = Instant::now();
        let result = self.commit(&batches);
        let mut desk = self.shared.desk();
        desk.writing = None;
        match result {
            Ok((learnt, rejected)) => {
                desk.figures.committed(begun.elapsed(), batches.len(), count(&batches), rejected);
                desk.outbox.written(learnt.written.iter());
                for id in &learnt.finished {
                    desk.outbox.finish(id);
                }
                if let Some(trouble) = desk.trouble.take() {
                    tracing::info!(waited = %trouble.what, since = %trouble.since, "Store writes again");
                }
                for batch in &mut batches {
                    batch.tell(Ok(()));
                }
                true
            }
            Err(error) => {
                self.refused(&error, batches, desk);
                if breaks_connection(&error) {
                    self.db = None;
                }
                false
            }
        }
    }

    fn refused(&self, error: &rusqlite::Error, batches: Vec<Batch>, mut desk: MutexGuard<'_, Desk>) {
        let what: Arc<str> = format!("{}: {}", self.shared.file.display(), explain(error)).into();
        let since = desk.trouble.as_ref().map_or_else(wall_now, |trouble| trouble.since);
        if desk.trouble.is_none() {
            tracing::warn!(error = %what, "Store cannot write; changes wait in memory");
        }
        desk.trouble = Some(Trouble { what: Arc::clone(&what), since });
        let dropped = desk.backlog.put_back(batches);
        desk.figures.dropped += dropped;
        desk.outbox.release();
        for batch in desk.backlog.batches_mut() {
            batch.tell(Err(Deferred { why: Arc::clone(&what) }));
        }
        if desk.stage != Stage::Open {
            // The last attempt. What is lost now, lifesign has carried out, and does not know after a start.
            tracing::error!(error = %what, lost = desk.backlog.len(), "Store closed with changes not written");
            drop(desk.backlog.take());
        }
    }

    fn commit(&mut self, batches: &[Batch]) -> rusqlite::Result<(Learnt, u64)> {
        let db = match &mut self.db {
            Some(db) => db,
            empty @ None => empty.insert(schema::connect_writer(&self.shared.file)?),
        };
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut learnt = Learnt::default();
        let mut rejected = 0;
        for op in batches.iter().flat_map(|batch| &batch.ops) {
            match record(&change, op, &mut learnt) {
                Ok(()) => {}
                Err(error) if is_of_the_disk(&error) => return Err(error),
                // It would be refused for ever, and everything behind it with it.
                Err(error) => {
                    rejected += 1;
                    tracing::error!(%error, "Store left out a record that the database does not accept");
                }
            }
        }
        change.commit()?;
        Ok((learnt, rejected))
    }

    /// Takes a step of pruning; returns whether there is more to do.
    fn prune(&mut self) -> bool {
        let Some(db) = &mut self.db else { return false };
        prune::step(db, &self.retention, wall_now()).unwrap_or_else(|error| {
            // Nothing is lost by it, and the next write says when it is serious.
            tracing::warn!(error = %explain(&error), "Store could not remove old history");
            false
        })
    }
}

impl Drop for Writer {
    /// Also when the thread panics: nobody must wait for it for ever.
    fn drop(&mut self) {
        self.db = None;
        self.dir = None;
        let mut desk = self.shared.desk();
        if desk.stage == Stage::Open {
            let what = Arc::from("the thread that writes has ended unexpectedly; restart lifesign");
            desk.trouble = Some(Trouble { what, since: wall_now() });
        }
        desk.stage = Stage::Closed;
        desk.writing = None;
        desk.outbox.release();
        for batch in desk.backlog.batches_mut() {
            batch.tell(Err(Deferred { why: "the store is closed".into() }));
        }
        drop(desk);
        self.shared.ring();
    }
}

fn count(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.ops.len()).sum()
}

/// The store's own clock: says since when there is trouble and how old history is. Decides nothing else.
pub(crate) fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
