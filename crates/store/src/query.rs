//! Reading the past: pages of incidents, transitions, notifications and the audit log.
//!
//! Queries run beside the writer on connections of their own, off the asynchronous runtime. They see what
//! is on the disk: what still waits in memory is known to the engine, not here.

use std::fmt;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use lifesign_core::effect::{AuditEntry, Incident, Notification, TimelineEntry, Transition};
use lifesign_core::model::{IncidentId, ServiceId, State};
use lifesign_core::time::Wall;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};
use tokio::sync::Semaphore;

use crate::error::{ReadError, breaks_connection};
use crate::limits::{MAX_PAGE, MAX_READERS, MAX_TOLD};
use crate::rows::{self, Col, INCIDENT};
use crate::{restore, schema};

/// Where a list goes on. Made by a page, good for the same list only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(i64);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

/// A piece of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Where the list goes on; `None`: it ends here.
    pub next: Option<Cursor>,
}

/// Which incidents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IncidentQuery {
    /// Only open (`true`) or only closed (`false`) ones.
    pub open: Option<bool>,
    /// Only those of this service.
    pub service: Option<ServiceId>,
}

/// A notification and how it fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentNotification {
    /// What was or is to be sent.
    pub notification: Notification,
    /// How it stands.
    pub state: SendState,
    /// Attempts begun.
    pub attempts: u32,
    /// How often it was sent although an earlier sending may have arrived.
    pub repeats: u32,
    /// Earliest next attempt; means something while pending only.
    pub next_at: Wall,
    /// The receiver's words to the last attempt.
    pub last_answer: Option<Arc<str>>,
    /// When it was delivered or refused.
    pub finished_at: Option<Wall>,
}

/// How a notification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendState {
    /// To be sent.
    Pending,
    /// The receiver has it, by its own words.
    Delivered,
    /// It will never have it.
    Refused,
}

impl SendState {
    /// The word in the table and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
        }
    }
}

/// What is recorded of one moment of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The last change at or before it.
    pub change: Option<Transition>,
    /// When the first change that is kept happened, and what was before.
    pub first: Option<(Wall, State)>,
    /// The incident that was open, with its timeline up to then.
    pub incident: Option<(Incident, Vec<TimelineEntry>)>,
    /// Notifications about the service since its incident opened or its state began, oldest first; at most
    /// [`MAX_TOLD`], the newest. They carry what has become of them since.
    pub sent: Vec<SentNotification>,
    /// Whether anything at all is recorded of this service.
    pub is_known: bool,
}

/// Connections for queries.
#[derive(Debug)]
pub(crate) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::default(), permits: Arc::new(Semaphore::new(MAX_READERS)) }
    }

    /// Runs `query` on a connection of its own.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| ReadError::Stopping)?;
        let readers = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.read_now(query)
        });
        answer.await.map_err(|_| ReadError::Stopping)?.map_err(ReadError::Database)
    }

    fn read_now<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle().pop();
        let db = match idle {
            Some(db) => db,
            None => schema::connect_reader(&self.file)?,
        };
        let answer = query(&db);
        if !answer.as_ref().is_err_and(breaks_connection) {
            self.idle().push(db);
        }
        answer
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn close(&self) {
        self.idle().clear();
    }
}

pub(crate) fn incidents(
    db: &Connection,
    query: &IncidentQuery,
    cursor: Option<Cursor>,
    limit: usize,
) -> rusqlite::Result<Page<Incident>> {
    let open = match query.open {
        Some(true) => "AND closed_at IS NULL",
        Some(false) => "AND closed_at IS NOT NULL",
        None => "",
    };
    let service = if query.service.is_some() { "AND service = :service" } else { "AND :service IS NULL" };
    let sql = format!(
        "SELECT {INCIDENT} FROM incidents WHERE id < :before {open} {service} ORDER BY id DESC LIMIT :limit"
    );
    let limit = page_limit(limit);
    let parameters = named_params! {
        ":before": before(cursor),
        ":service": query.service.as_ref().map(ServiceId::as_str),
        ":limit": limit + 1,
    };
    page(db, &sql, parameters, limit, "id", rows::incident)
}

pub(crate) fn incident(
    db: &Connection,
    id: IncidentId,
) -> rusqlite::Result<Option<(Incident, Vec<TimelineEntry>)>> {
    // Both from one moment.
    let moment = db.unchecked_transaction()?;
    let record = moment
        .prepare_cached(&format!("SELECT {INCIDENT} FROM incidents WHERE id = ?1"))?
        .query_row([Col(id)], rows::incident)
        .optional()?;
    match record {
        Some(record) => Ok(Some((record, restore::timeline(&moment, id)?))),
        None => Ok(None),
    }
}

pub(crate) fn transitions(
    db: &Connection,
    service: &ServiceId,
    since: Wall,
    limit: usize,
) -> rusqlite::Result<Vec<Transition>> {
    db.prepare_cached(
        "SELECT * FROM transitions WHERE service = :service AND at >= :since
         ORDER BY at DESC, id DESC LIMIT :limit",
    )?
    .query_map(
        named_params! { ":service": service.as_str(), ":since": Col(since), ":limit": page_limit(limit) },
        rows::transition,
    )?
    .collect()
}

pub(crate) fn moment(db: &Connection, service: &ServiceId, at: Wall) -> rusqlite::Result<Recorded> {
    // All from one state of the database.
    let db = db.unchecked_transaction()?;
    let which = named_params! { ":service": service.as_str(), ":at": Col(at) };
    let change = db
        .prepare_cached(
            "SELECT * FROM transitions WHERE service = :service AND at <= :at
             ORDER BY at DESC, id DESC LIMIT 1",
        )?
        .query_row(which, rows::transition)
        .optional()?;
    let first = db
        .prepare_cached("SELECT at, before FROM transitions WHERE service = ?1 ORDER BY at, id LIMIT 1")?
        .query_row([service.as_str()], rows::first_change)
        .optional()?;
    let incident = db
        .prepare_cached(&format!(
            "SELECT {INCIDENT} FROM incidents
             WHERE service = :service AND detected_at <= :at AND (closed_at IS NULL OR closed_at > :at)
             ORDER BY id DESC LIMIT 1"
        ))?
        .query_row(which, rows::incident)
        .optional()?;
    let incident = match incident {
        Some(record) => {
            let mut lines = restore::timeline(&db, record.id)?;
            lines.retain(|line| line.at <= at);
            Some((record, lines))
        }
        None => None,
    };
    let from = match (&incident, &change) {
        (Some((record, _)), _) => record.detected_at,
        (None, Some(change)) => change.at,
        (None, None) => at,
    };
    let sent = sent_about(&db, service, from, at)?;
    let is_known = first.is_some() || is_known(&db, service)?;
    Ok(Recorded { change, first, incident, sent, is_known })
}

fn sent_about(
    db: &Connection,
    service: &ServiceId,
    from: Wall,
    to: Wall,
) -> rusqlite::Result<Vec<SentNotification>> {
    let mut sent = db
        .prepare_cached(
            "SELECT * FROM outbox WHERE created_at BETWEEN :from AND :to
               AND EXISTS (SELECT 1 FROM json_each(body, '$.alerts') AS alert,
                                         json_each(alert.value, '$.labels') AS label
                           WHERE label.value ->> 0 = 'service' AND label.value ->> 1 = :service)
             ORDER BY seq DESC LIMIT :limit",
        )?
        .query_map(
            named_params! {
                ":from": Col(from), ":to": Col(to), ":service": service.as_str(), ":limit": MOST_TOLD,
            },
            sent_notification,
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    sent.reverse();
    Ok(sent)
}

const MOST_TOLD: i64 = MAX_TOLD as i64;

/// Whether a service without any change is known all the same.
fn is_known(db: &Connection, service: &ServiceId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM memories WHERE service = ?1)
             OR EXISTS (SELECT 1 FROM incidents WHERE service = ?1)",
    )?
    .query_row([service.as_str()], |row| row.get(0))
}

pub(crate) fn notifications(
    db: &Connection,
    cursor: Option<Cursor>,
    limit: usize,
) -> rusqlite::Result<Page<SentNotification>> {
    let limit = page_limit(limit);
    page(
        db,
        "SELECT * FROM outbox WHERE seq < :before ORDER BY seq DESC LIMIT :limit",
        named_params! { ":before": before(cursor), ":limit": limit + 1 },
        limit,
        "seq",
        sent_notification,
    )
}

pub(crate) fn audit(
    db: &Connection,
    cursor: Option<Cursor>,
    limit: usize,
) -> rusqlite::Result<Page<AuditEntry>> {
    let limit = page_limit(limit);
    page(
        db,
        "SELECT * FROM audit WHERE id < :before ORDER BY id DESC LIMIT :limit",
        named_params! { ":before": before(cursor), ":limit": limit + 1 },
        limit,
        "id",
        rows::audit_entry,
    )
}

/// Reads one row more than a page has, to know whether there is another page.
fn page<T>(
    db: &Connection,
    sql: &str,
    parameters: &[(&str, &dyn rusqlite::ToSql)],
    limit: i64,
    key: &str,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Page<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut items = Vec::new();
    let mut last = None;
    let mut left = limit;
    while let Some(row) = rows.next()? {
        if left == 0 {
            return Ok(Page { items, next: last });
        }
        left -= 1;
        last = Some(Cursor(row.get(key)?));
        items.push(read(row)?);
    }
    Ok(Page { items, next: None })
}

fn sent_notification(row: &Row<'_>) -> rusqlite::Result<SentNotification> {
    let finished_at = rows::wall_option(row, "finished_at")?;
    let state = match row.get_ref("state")?.as_str()? {
        "delivered" => SendState::Delivered,
        "refused" => SendState::Refused,
        _ => SendState::Pending,
    };
    Ok(SentNotification {
        notification: rows::notification(row)?,
        state,
        attempts: row.get("attempts")?,
        repeats: row.get("repeats")?,
        next_at: rows::wall(row, "next_at")?,
        last_answer: row.get("last_answer")?,
        finished_at,
    })
}

fn before(cursor: Option<Cursor>) -> i64 {
    cursor.map_or(i64::MAX, |Cursor(id)| id)
}

fn page_limit(limit: usize) -> i64 {
    i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(i64::MAX)
}
