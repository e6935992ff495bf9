//! Between rows and the words of the core, one pair of functions each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::effect::{
    Alert, AlertState, AuditEntry, Incident, Memory, Notification, TimelineEntry, Transition,
};
use lifesign_core::model::{IncidentId, Reason, ServiceId, Severity, State};
use lifesign_core::time::Wall;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Result, Row};

/// Columns of [`incident`].
pub(crate) const INCIDENT: &str = "id, service, host, state, reason, severity, opened_at, detected_at, \
     closed_at, acknowledged_by";
/// Columns of [`timeline_entry`].
pub(crate) const TIMELINE: &str = "line, at, what, detail";

/// A value of the core in one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Col<T>(pub(crate) T);

impl ToSql for Col<Wall> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(self.0.as_millis().into())
    }
}

impl FromSql for Col<Wall> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(|millis| Self(Wall::from_millis(millis)))
    }
}

impl ToSql for Col<IncidentId> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let id = i64::try_from(self.0.0).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        Ok(id.into())
    }
}

impl FromSql for Col<IncidentId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let id = value.as_i64()?;
        u64::try_from(id).map(|id| Self(IncidentId(id))).map_err(|_| FromSqlError::OutOfRange(id))
    }
}

impl FromSql for Col<ServiceId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        ServiceId::new(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

/// A word of the contract, or an error that shows what stood there instead.
macro_rules! word_column {
    ($($word:ty),+) => { $(
        impl FromSql for Col<$word> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                <$word>::parse(text).map(Self).ok_or_else(|| unknown_word(text))
            }
        }
    )+ };
}

word_column!(State, Reason, Severity);

impl FromSql for Col<AlertState> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "pending" => Ok(Self(AlertState::Pending)),
            "firing" => Ok(Self(AlertState::Firing)),
            "resolved" => Ok(Self(AlertState::Resolved)),
            other => Err(unknown_word(other)),
        }
    }
}

fn unknown_word(text: &str) -> FromSqlError {
    FromSqlError::other(std::io::Error::other(format!("{text:?} is no word that may stand here")))
}

pub(crate) const fn alert_state(state: AlertState) -> &'static str {
    match state {
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
        AlertState::Resolved => "resolved",
    }
}

fn get<T>(row: &Row<'_>, column: &str) -> Result<T>
where
    Col<T>: FromSql,
{
    row.get::<_, Col<T>>(column).map(|Col(value)| value)
}

fn get_option<T>(row: &Row<'_>, column: &str) -> Result<Option<T>>
where
    Col<T>: FromSql,
{
    Ok(row.get::<_, Option<Col<T>>>(column)?.map(|Col(value)| value))
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    let index = row.as_ref().column_index(column)?;
    let text = row.get_ref(index)?.as_str().map_err(|e| unreadable(index, e))?;
    serde_json::from_str(text).map_err(|e| unreadable(index, e))
}

fn millis(row: &Row<'_>, column: &str) -> Result<Duration> {
    let index = row.as_ref().column_index(column)?;
    let millis: i64 = row.get(index)?;
    let millis =
        u64::try_from(millis).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, millis))?;
    Ok(Duration::from_millis(millis))
}

fn unreadable(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}

/// `value` as JSON text.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

/// Sorted pairs as a JSON object, which SQL can look into (`labels ->> 'service'`).
pub(crate) fn object<'a, V: AsRef<str> + 'a>(
    pairs: impl IntoIterator<Item = &'a (Arc<str>, V)>,
) -> Result<String> {
    let map: BTreeMap<&str, &str> =
        pairs.into_iter().map(|(name, value)| (&**name, value.as_ref())).collect();
    to_json(&map)
}

pub(crate) fn incident(row: &Row<'_>) -> Result<Incident> {
    Ok(Incident {
        id: get(row, "id")?,
        service_id: get(row, "service")?,
        host: row.get("host")?,
        state: get(row, "state")?,
        reason: get_option(row, "reason")?,
        severity: get(row, "severity")?,
        opened_at: get(row, "opened_at")?,
        detected_at: get(row, "detected_at")?,
        closed_at: get_option(row, "closed_at")?,
        acknowledged_by: row.get("acknowledged_by")?,
    })
}

/// The line's number, and the line.
pub(crate) fn timeline_entry(row: &Row<'_>) -> Result<(i64, TimelineEntry)> {
    let entry = TimelineEntry { at: get(row, "at")?, what: row.get("what")?, detail: row.get("detail")? };
    Ok((row.get("line")?, entry))
}

pub(crate) fn transition(row: &Row<'_>) -> Result<Transition> {
    Ok(Transition {
        at: get(row, "at")?,
        service: get(row, "service")?,
        from: get(row, "before")?,
        to: get(row, "after")?,
        reason: get_option(row, "reason")?,
        detail: row.get("detail")?,
        facts: json(row, "facts")?,
    })
}

/// When the first change was, and what was before it.
pub(crate) fn first_change(row: &Row<'_>) -> Result<(Wall, State)> {
    Ok((get(row, "at")?, get(row, "before")?))
}

pub(crate) fn memory(row: &Row<'_>) -> Result<Memory> {
    let restarts: Vec<i64> = json(row, "restarts")?;
    Ok(Memory {
        service: get(row, "service")?,
        state: get(row, "state")?,
        reason: get_option(row, "reason")?,
        since: get(row, "since")?,
        last_heartbeat_at: get_option(row, "last_heartbeat_at")?,
        silence: millis(row, "silence")?,
        paused: row.get("paused")?,
        incident: get_option(row, "incident")?,
        restarts: restarts.into_iter().map(Wall::from_millis).collect(),
        restarting: row.get("restarting")?,
        process: json(row, "process")?,
        job: json(row, "job")?,
        created: row.get("created")?,
    })
}

pub(crate) fn alert(row: &Row<'_>) -> Result<Alert> {
    let labels: BTreeMap<Arc<str>, Arc<str>> = json(row, "labels")?;
    let annotations: BTreeMap<Arc<str>, String> = json(row, "annotations")?;
    Ok(Alert {
        fingerprint: row.get("fingerprint")?,
        state: get(row, "state")?,
        labels: labels.into_iter().collect(),
        annotations: annotations.into_iter().collect(),
        starts_at: get(row, "starts_at")?,
        ends_at: get_option(row, "ends_at")?,
        incident: get_option(row, "incident")?,
    })
}

pub(crate) fn notification(row: &Row<'_>) -> Result<Notification> {
    json(row, "body")
}

pub(crate) fn audit_entry(row: &Row<'_>) -> Result<AuditEntry> {
    Ok(AuditEntry {
        at: get(row, "at")?,
        by: row.get("who")?,
        action: row.get("action")?,
        target: row.get("target")?,
        detail: row.get("detail")?,
    })
}

pub(crate) fn wall(row: &Row<'_>, column: &str) -> Result<Wall> {
    get(row, column)
}

pub(crate) fn wall_option(row: &Row<'_>, column: &str) -> Result<Option<Wall>> {
    get_option(row, column)
}
