//! Removing what is older or more than [`Retention`] says, a little at a time.

use lifesign_core::time::Wall;
use rusqlite::{Connection, Result, named_params};

use crate::limits::{MAX_MEMORIES, PRUNE_STEP, Retention};
use crate::rows::Col;

/// Each removes at most `:step` rows, oldest first. Ids grow with time, so the first rows are the oldest,
/// and the distance of an id from the newest is (at most) the number of rows between them.
const TRANSITIONS: &str = "DELETE FROM transitions
    WHERE id IN (SELECT id FROM transitions ORDER BY id LIMIT :step)
      AND (at < :oldest OR id <= (SELECT max(id) FROM transitions) - :count)";
const AUDIT: &str = "DELETE FROM audit
    WHERE id IN (SELECT id FROM audit ORDER BY id LIMIT :step)
      AND (at < :oldest OR id <= (SELECT max(id) FROM audit) - :count)";
/// Incidents that are over for long enough. The newest incident stays for ever: the next number is made
/// from its id.
macro_rules! expired {
    () => {
        "SELECT id FROM incidents
         WHERE closed_at IS NOT NULL AND id < (SELECT max(id) FROM incidents)
           AND (closed_at < :oldest OR id <= (SELECT max(id) FROM incidents) - :count)"
    };
}
/// First their lines, of which one may have very many, then those without lines.
const TIMELINES: &str = concat!(
    "DELETE FROM timeline WHERE (incident, line) IN (SELECT incident, line FROM timeline WHERE incident IN (",
    expired!(),
    ") ORDER BY incident, line LIMIT :step)"
);
const INCIDENTS: &str = concat!(
    "DELETE FROM incidents WHERE id IN (",
    expired!(),
    " AND NOT EXISTS (SELECT 1 FROM timeline WHERE incident = id) ORDER BY id LIMIT :step)"
);
/// A receiver that was down for very long may answer after its incident is gone: lines without one.
const ORPHANS: &str = "DELETE FROM timeline WHERE (incident, line) IN (
    SELECT incident, line FROM timeline WHERE incident < (SELECT min(id) FROM incidents)
    ORDER BY incident, line LIMIT :step)";
/// The newest to a receiver about a group stays while one of its alerts is active: the engine knows from
/// it who has been told.
const NOTIFICATIONS: &str = "DELETE FROM outbox
    WHERE seq IN (
        SELECT seq FROM outbox AS old
        WHERE state <> 'pending'
          AND (finished_at < :oldest OR seq <= (SELECT max(seq) FROM outbox) - :count)
          AND (EXISTS (SELECT 1 FROM outbox AS newer
                       WHERE newer.receiver = old.receiver AND newer.group_key = old.group_key
                         AND newer.seq > old.seq)
               OR NOT EXISTS (SELECT 1 FROM json_each(old.body, '$.alerts') AS told
                              JOIN alerts ON alerts.fingerprint = told.value ->> '$.fingerprint'))
        ORDER BY finished_at LIMIT :step)";
const MEMORIES: &str = "DELETE FROM memories
    WHERE service IN (
        SELECT service FROM memories WHERE paused = 0 AND incident IS NULL
        ORDER BY max(since, coalesce(last_heartbeat_at, since))
        LIMIT min(:step, max(0, (SELECT count(*) FROM memories) - :count)))";

const STEP: i64 = PRUNE_STEP as i64;
const MOST_MEMORIES: i64 = MAX_MEMORIES as i64;

/// Takes one step; returns whether there is more to remove.
pub(crate) fn step(db: &Connection, retention: &Retention, now: Wall) -> Result<bool> {
    let mut more = false;
    for (sql, keep) in [
        (TRANSITIONS, retention.transitions),
        (AUDIT, retention.audit),
        (TIMELINES, retention.incidents),
        (INCIDENTS, retention.incidents),
        (NOTIFICATIONS, retention.notifications),
    ] {
        let gone = db.prepare_cached(sql)?.execute(named_params! {
            ":step": STEP,
            ":oldest": Col(now.back(keep.age)),
            ":count": keep.count,
        })?;
        more |= gone == PRUNE_STEP;
    }
    more |= db.prepare_cached(ORPHANS)?.execute(named_params! { ":step": STEP })? == PRUNE_STEP;
    more |= db.prepare_cached(MEMORIES)?.execute(named_params! { ":step": STEP, ":count": MOST_MEMORIES })?
        == PRUNE_STEP;
    Ok(more)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::Keep;
    use crate::schema;

    const DAY: i64 = 86_400_000;

    fn database(dir: &tempfile::TempDir) -> Connection {
        schema::open(&dir.path().join("lifesign.db"), schema::MIGRATIONS).unwrap()
    }

    fn numbers(db: &Connection, sql: &str) -> Vec<i64> {
        db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn all(db: &Connection, retention: &Retention, now: Wall) -> u32 {
        let mut steps = 1;
        while step(db, retention, now).unwrap() {
            steps += 1;
        }
        steps
    }

    fn incident(db: &Connection, id: i64, closed_at: Option<i64>) {
        db.execute(
            "INSERT INTO incidents VALUES (?1, 'web', 'h', 'down', NULL, 'critical', 0, 0, ?2, NULL)",
            rusqlite::params![id, closed_at],
        )
        .unwrap();
        db.execute("INSERT INTO timeline VALUES (?1, 1, 0, 'opened', '')", [id]).unwrap();
    }

    #[test]
    fn old_closed_incidents_go_with_their_timelines_open_ones_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let db = database(&dir);
        incident(&db, 1, Some(0));
        incident(&db, 2, None);
        incident(&db, 3, Some(399 * DAY));
        incident(&db, 4, Some(0));
        db.execute("INSERT INTO timeline VALUES (0, 1, 0, 'notified', 'late')", []).unwrap();
        all(&db, &Retention::default(), Wall::from_millis(400 * DAY));
        assert_eq!(numbers(&db, "SELECT id FROM incidents ORDER BY id"), [2, 3, 4]);
        assert_eq!(numbers(&db, "SELECT incident FROM timeline ORDER BY incident"), [2, 3, 4]);
    }

    #[test]
    fn what_is_too_much_goes_in_steps_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let db = database(&dir);
        db.execute(
            "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1300)
             INSERT INTO transitions (at, service, before, after, detail)
             SELECT value, 'web', 'up', 'down', '' FROM n",
            [],
        )
        .unwrap();
        let keep = Keep { age: Duration::from_secs(3600), count: 100 };
        let retention = Retention { transitions: keep, ..Retention::default() };
        assert_eq!(all(&db, &retention, Wall::from_millis(0)), 3);
        assert_eq!(numbers(&db, "SELECT at FROM transitions ORDER BY id"), (1201..=1300).collect::<Vec<_>>());
    }

    #[test]
    fn the_newest_notification_about_an_active_alert_stays_and_pending_ones_too() {
        let dir = tempfile::tempdir().unwrap();
        let db = database(&dir);
        db.execute("INSERT INTO alerts VALUES ('f1', 'firing', '{}', '{}', 0, NULL, NULL)", []).unwrap();
        let rows = [
            // (id, group, fingerprint, state)
            ("older", "a", "f1", "delivered"),
            ("newest-active", "a", "f1", "delivered"),
            ("newest-over", "b", "f2", "delivered"),
            ("pending", "c", "f2", "pending"),
        ];
        for (id, group, fingerprint, state) in rows {
            db.execute(
                "INSERT INTO outbox (id, receiver, group_key, body, state, attempts, answered, repeats, next_at,
                   created_at, finished_at)
                 VALUES (?1, 'hook', ?2, json_object('alerts', json_array(json_object('fingerprint', ?3))),
                   ?4, 1, 1, 0, 0, 0, iif(?4 = 'pending', NULL, 0))",
                [id, group, fingerprint, state],
            )
            .unwrap();
        }
        all(&db, &Retention::default(), Wall::from_millis(400 * DAY));
        let left: Vec<String> = db
            .prepare("SELECT id FROM outbox ORDER BY seq")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(left, ["newest-active", "pending"]);
    }

    #[test]
    fn nothing_is_removed_that_is_young_and_few() {
        let dir = tempfile::tempdir().unwrap();
        let db = database(&dir);
        incident(&db, 1, Some(0));
        incident(&db, 2, None);
        assert_eq!(all(&db, &Retention::default(), Wall::from_millis(DAY)), 1);
        assert_eq!(numbers(&db, "SELECT id FROM incidents ORDER BY id"), [1, 2]);
    }
}
