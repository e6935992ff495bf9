//! What the tables say to the next life: the engine's past and the outbox's index.

use std::sync::Arc;

use lifesign_core::effect::{Notification, TimelineEntry};
use lifesign_core::engine::Past;
use lifesign_core::model::IncidentId;
use lifesign_core::time::Wall;
use rusqlite::{Connection, Result, Row};

use crate::limits::{MAX_FINISHED_IDS, TIMELINE_HEAD};
use crate::outbox::{Entry, Index};
use crate::rows::{self, Col, INCIDENT, TIMELINE};

/// Reads the engine's past.
pub(crate) fn past(db: &Connection) -> Result<Past> {
    let incidents = all(
        db,
        &format!("SELECT {INCIDENT} FROM incidents WHERE closed_at IS NULL ORDER BY id"),
        rows::incident,
    )?;
    let incidents = incidents
        .into_iter()
        .map(|incident| timeline(db, incident.id).map(|lines| (incident, lines)))
        .collect::<Result<_>>()?;
    let Col(IncidentId(last)) =
        db.query_row("SELECT coalesce(max(id), 0) FROM incidents", [], |row| row.get(0))?;
    Ok(Past {
        memories: all(db, "SELECT * FROM memories ORDER BY service", rows::memory)?,
        incidents,
        next_incident: last.saturating_add(1),
        alerts: all(db, "SELECT * FROM alerts ORDER BY fingerprint", rows::alert)?,
        notified: all(
            db,
            "SELECT body FROM outbox WHERE seq IN (SELECT max(seq) FROM outbox GROUP BY receiver, group_key)
             ORDER BY seq",
            rows::notification,
        )?,
    })
}

/// The timeline of an incident, oldest first; with a line `folded` where lines are missing.
pub(crate) fn timeline(db: &Connection, incident: IncidentId) -> Result<Vec<TimelineEntry>> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {TIMELINE} FROM timeline WHERE incident = ?1 ORDER BY line"))?;
    let mut lines = Vec::new();
    let mut expected = 1;
    for line in statement.query_map([Col(incident)], rows::timeline_entry)? {
        let (number, entry) = line?;
        if number > expected {
            let missing = number - expected;
            let detail =
                format!("{missing} lines between the first {TIMELINE_HEAD} and the newest are not kept");
            lines.push(TimelineEntry { at: entry.at, what: "folded".into(), detail });
        }
        expected = number + 1;
        lines.push(entry);
    }
    Ok(lines)
}

/// Reads what is still to be sent, and the ids of what was finished last.
pub(crate) fn outbox(db: &Connection) -> Result<Index> {
    let mut index = Index::default();
    let limit = i64::try_from(MAX_FINISHED_IDS).unwrap_or(i64::MAX);
    let mut finished =
        db.prepare("SELECT id FROM outbox WHERE state <> 'pending' ORDER BY finished_at DESC LIMIT ?1")?;
    for id in finished.query_map([limit], |row| row.get::<_, Arc<str>>(0))? {
        index.finished(&id?);
    }
    let mut pending = db.prepare("SELECT * FROM outbox WHERE state = 'pending' ORDER BY seq")?;
    for row in pending.query_map([], |row| Ok((row.get("receiver")?, entry(row)?)))? {
        let (receiver, entry): (Arc<str>, Entry) = row?;
        index.put(&receiver, entry);
    }
    Ok(index)
}

/// The body of a pending notification.
pub(crate) fn body(db: &Connection, id: &str) -> Result<Option<Notification>> {
    use rusqlite::OptionalExtension as _;
    db.prepare_cached("SELECT body FROM outbox WHERE id = ?1")?.query_row([id], rows::notification).optional()
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    let (attempts, answered): (u32, u32) = (row.get("attempts")?, row.get("answered")?);
    let Col(next_at): Col<Wall> = row.get("next_at")?;
    Ok(Entry {
        id: row.get("id")?,
        body: Some(Arc::new(rows::notification(row)?)),
        attempts,
        repeats: row.get("repeats")?,
        uncertain: attempts > answered,
        next_at,
        last_answer: row.get("last_answer")?,
        unwritten_since: None,
        on_disk: true,
    })
}

fn all<T>(db: &Connection, sql: &str, read: fn(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    db.prepare(sql)?.query_map([], read)?.collect()
}
