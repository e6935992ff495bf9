//! Writing one thing into the open transaction.

use std::sync::Arc;

use lifesign_core::effect::{
    Alert, AlertState, AuditEntry, Effect, Incident, Memory, Notification, TimelineEntry, Transition,
};
use lifesign_core::model::{IncidentId, Reason};
use lifesign_core::time::Wall;
use lifesign_core::view::Fact;
use rusqlite::{Connection, OptionalExtension as _, Result, named_params, params};

use crate::backlog::{End, Op};
use crate::limits::{MAX_FACTS, MAX_TIMELINE, TIMELINE_HEAD, bounded};
use crate::rows::{Col, alert_state, object, to_json};

/// What the index of the outbox has to learn from a write.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// Notifications that are on the disk now.
    pub(crate) written: Vec<Arc<str>>,
    /// Notifications that the disk already knew as finished.
    pub(crate) finished: Vec<Arc<str>>,
}

/// Writes `op`.
pub(crate) fn record(db: &Connection, op: &Op, learnt: &mut Learnt) -> Result<()> {
    match op {
        Op::Effect(effect) => record_effect(db, effect, learnt),
        Op::Begun { id, attempts, repeats } => {
            db.prepare_cached("UPDATE outbox SET attempts = ?2, repeats = ?3 WHERE id = ?1")?
                .execute(params![id, attempts, repeats])?;
            Ok(())
        }
        Op::Answered { id, attempts, next_at, answer } => {
            db.prepare_cached(
                "UPDATE outbox SET attempts = ?2, answered = ?2, next_at = ?3, last_answer = ?4
                 WHERE id = ?1 AND state = 'pending'",
            )?
            .execute(params![id, attempts, Col(*next_at), bounded(answer)])?;
            Ok(())
        }
        Op::Finished { id, end, at, attempts, answer } => {
            let state = match end {
                End::Delivered => "delivered",
                End::Refused => "refused",
            };
            db.prepare_cached(
                "UPDATE outbox SET state = ?2, finished_at = ?3, attempts = ?4, answered = ?4, last_answer = ?5
                 WHERE id = ?1",
            )?
            .execute(params![id, state, Col(*at), attempts, bounded(answer)])?;
            Ok(())
        }
    }
}

fn record_effect(db: &Connection, effect: &Effect, learnt: &mut Learnt) -> Result<()> {
    match effect {
        Effect::Transition(transition) => record_transition(db, transition),
        Effect::Incident(incident) => record_incident(db, incident),
        Effect::Timeline { incident, entry } => record_line(db, *incident, entry),
        Effect::Alert(alert) => record_alert(db, alert),
        Effect::Notify(notification) => record_notification(db, notification, learnt),
        Effect::Remember(memory) => record_memory(db, memory),
        Effect::Audit(entry) => record_audit(db, entry),
        Effect::Act(_) | Effect::LookNow(_) => Ok(()),
    }
}

fn word(reason: Option<Reason>) -> Option<&'static str> {
    reason.map(Reason::as_str)
}

fn record_transition(db: &Connection, transition: &Transition) -> Result<()> {
    let Transition { at, service, from, to, reason, detail, facts } = transition;
    db.prepare_cached(
        "INSERT INTO transitions (at, service, before, after, reason, detail, facts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        Col(*at),
        service.as_str(),
        from.as_str(),
        to.as_str(),
        word(*reason),
        bounded(detail),
        bounded_facts(facts)?,
    ])?;
    Ok(())
}

/// As many of `facts` as [`MAX_FACTS`] has room for, as a JSON array.
fn bounded_facts(facts: &[Fact]) -> Result<String> {
    let mut array = String::from("[");
    for fact in facts {
        let text = to_json(fact)?;
        // Two more: the comma before it and the bracket at the end.
        if array.len() + text.len() + 2 > MAX_FACTS {
            break;
        }
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str(&text);
    }
    array.push(']');
    Ok(array)
}

fn record_incident(db: &Connection, incident: &Incident) -> Result<()> {
    // An upsert and not a replace: a replace would be a new row to every index.
    db.prepare_cached(
        "INSERT INTO incidents VALUES
           (:id, :service, :host, :state, :reason, :severity, :opened, :detected, :closed, :acknowledged)
         ON CONFLICT (id) DO UPDATE SET
           service = :service, host = :host, state = :state, reason = :reason, severity = :severity,
           opened_at = :opened, detected_at = :detected, closed_at = :closed, acknowledged_by = :acknowledged",
    )?
    .execute(named_params! {
        ":id": Col(incident.id),
        ":service": incident.service_id.as_str(),
        ":host": incident.host,
        ":state": incident.state.as_str(),
        ":reason": word(incident.reason),
        ":severity": incident.severity.as_str(),
        ":opened": Col(incident.opened_at),
        ":detected": Col(incident.detected_at),
        ":closed": incident.closed_at.map(Col),
        ":acknowledged": incident.acknowledged_by,
    })?;
    Ok(())
}

fn record_line(db: &Connection, incident: IncidentId, entry: &TimelineEntry) -> Result<()> {
    let id = Col(incident);
    db.prepare_cached(
        "INSERT INTO timeline (incident, line, at, what, detail)
         SELECT ?1, coalesce(max(line), 0) + 1, ?2, ?3, ?4 FROM timeline WHERE incident = ?1",
    )?
    .execute(params![id, Col(entry.at), bounded(&entry.what), bounded(&entry.detail)])?;
    let line: i64 = db
        .prepare_cached("SELECT max(line) FROM timeline WHERE incident = ?1")?
        .query_row([id], |row| row.get(0))?;
    if line > i64::try_from(MAX_TIMELINE).unwrap_or(i64::MAX) {
        // Line numbers are not used again, so the gap tells how many lines went.
        db.prepare_cached(
            "DELETE FROM timeline WHERE incident = ?1 AND line =
               (SELECT min(line) FROM timeline WHERE incident = ?1 AND line > ?2)",
        )?
        .execute(params![id, i64::try_from(TIMELINE_HEAD).unwrap_or(i64::MAX)])?;
    }
    Ok(())
}

fn record_alert(db: &Connection, alert: &Alert) -> Result<()> {
    if alert.state == AlertState::Resolved {
        db.prepare_cached("DELETE FROM alerts WHERE fingerprint = ?1")?.execute([&alert.fingerprint])?;
        return Ok(());
    }
    db.prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
        params![
            alert.fingerprint,
            alert_state(alert.state),
            object(&alert.labels)?,
            object(&alert.annotations)?,
            Col(alert.starts_at),
            alert.ends_at.map(Col),
            alert.incident.map(Col),
        ],
    )?;
    Ok(())
}

fn record_notification(db: &Connection, notification: &Notification, learnt: &mut Learnt) -> Result<()> {
    let Notification { id, at, receiver, group_labels, .. } = notification;
    let new = db
        .prepare_cached(
            "INSERT INTO outbox (id, receiver, group_key, body, state, attempts, answered, repeats, next_at,
                                 created_at)
             VALUES (?1, ?2, ?3, ?4, 'pending', 0, 0, 0, ?5, ?5) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![id, receiver, object(group_labels)?, to_json(notification)?, Col::<Wall>(*at)])?;
    let finished = new == 0
        && db
            .prepare_cached("SELECT 1 FROM outbox WHERE id = ?1 AND state <> 'pending'")?
            .query_row([id], |_| Ok(()))
            .optional()?
            .is_some();
    if finished { &mut learnt.finished } else { &mut learnt.written }.push(Arc::clone(id));
    Ok(())
}

fn record_memory(db: &Connection, memory: &Memory) -> Result<()> {
    let restarts: Vec<i64> = memory.restarts.iter().map(|at| at.as_millis()).collect();
    db.prepare_cached(
        "INSERT OR REPLACE INTO memories
           (service, state, reason, since, last_heartbeat_at, paused, incident, restarts, silence, job,
            restarting, process, created)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        memory.service.as_str(),
        memory.state.as_str(),
        word(memory.reason),
        Col(memory.since),
        memory.last_heartbeat_at.map(Col),
        memory.paused,
        memory.incident.map(Col),
        to_json(&restarts)?,
        i64::try_from(memory.silence.as_millis()).unwrap_or(i64::MAX),
        to_json(&memory.job)?,
        memory.restarting,
        to_json(&memory.process)?,
        memory.created,
    ])?;
    Ok(())
}

fn record_audit(db: &Connection, entry: &AuditEntry) -> Result<()> {
    db.prepare_cached("INSERT INTO audit (at, who, action, target, detail) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            Col(entry.at),
            bounded(&entry.by),
            bounded(&entry.action),
            bounded(&entry.target),
            bounded(&entry.detail)
        ])?;
    Ok(())
}
