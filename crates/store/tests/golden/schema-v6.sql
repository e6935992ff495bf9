-- application_id: Integer(1818653543)
-- user_version: Integer(6)
-- journal_mode: Text("wal")
CREATE INDEX incidents_by_end ON incidents (closed_at);
CREATE INDEX incidents_by_service ON incidents (service, id);
CREATE INDEX outbox_by_group ON outbox (receiver, group_key, seq);
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state <> 'pending';
CREATE INDEX outbox_pending ON outbox (seq) WHERE state = 'pending';
CREATE INDEX transitions_by_service ON transitions (service, at);
CREATE TABLE alerts (
    -- Alerts that are pending or firing now. A resolved alert leaves this table.
    fingerprint TEXT    NOT NULL PRIMARY KEY,
    state       TEXT    NOT NULL,        -- pending, firing
    labels      TEXT    NOT NULL,        -- JSON object
    annotations TEXT    NOT NULL,        -- JSON object
    starts_at   INTEGER NOT NULL,
    ends_at     INTEGER,
    incident    INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    -- Who did what, oldest first.
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    who    TEXT    NOT NULL,             -- the name of a token, or lifesign
    action TEXT    NOT NULL,             -- restart, pause, acknowledge, reload, ...
    target TEXT    NOT NULL,
    detail TEXT    NOT NULL              -- how it went, or why it was refused
) STRICT;
CREATE TABLE incidents (
    -- One row for each stretch of bad state.
    id              INTEGER PRIMARY KEY,
    service         TEXT    NOT NULL,
    host            TEXT    NOT NULL,
    state           TEXT    NOT NULL,    -- the worst so far
    reason          TEXT,
    severity        TEXT    NOT NULL,    -- info, warning, error, critical
    opened_at       INTEGER NOT NULL,    -- when the trouble began
    detected_at     INTEGER NOT NULL,    -- when lifesign judged it
    closed_at       INTEGER,             -- NULL: still open
    acknowledged_by TEXT
) STRICT;
CREATE TABLE memories (
    -- What lifesign must still know about each service after its own restart.
    -- Here and everywhere, times are milliseconds since 1970-01-01 00:00 UTC.
    service           TEXT    NOT NULL PRIMARY KEY,
    state             TEXT    NOT NULL,  -- pending, up, degraded, suspect, down, unknown
    reason            TEXT,              -- crashed, killed, hung, ...; NULL where the state says it all
    since             INTEGER NOT NULL,  -- when the state began
    last_heartbeat_at INTEGER,           -- by the server's clock
    paused            INTEGER NOT NULL,  -- 1: a person holds alerts and restarts
    incident          INTEGER,           -- its open incident
    restarts          TEXT    NOT NULL   -- JSON array: times of restarts that count against the budget
, silence INTEGER /* milliseconds for which lifesign has listened in vain */ NOT NULL DEFAULT 0, job TEXT /* JSON: due time awaited, runs going on and ended; null: it is no job */ NOT NULL DEFAULT 'null', restarting INTEGER /* 1: ordered, and its end was not seen */ NOT NULL DEFAULT 0, process TEXT /* JSON: number and the system's stamp of its start; null: none was seen */ NOT NULL DEFAULT 'null', created INTEGER /* 1: its own heartbeat made it, and no configuration */ NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE meta (
    -- Facts about this file: written_by (the lifesign that last opened it), created_at.
    -- PRAGMA user_version holds the number of the schema.
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
    -- Every notification: to be sent (pending), taken by the receiver (delivered), or refused for good.
    -- Those of one receiver are sent in the order of seq.
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE, -- sent as Idempotency-Key
    receiver    TEXT    NOT NULL,
    group_key   TEXT    NOT NULL,        -- JSON object: the labels that make the group
    body        TEXT    NOT NULL,        -- JSON: the notification as the engine made it
    state       TEXT    NOT NULL,        -- pending, delivered, refused
    attempts    INTEGER NOT NULL,        -- begun
    answered    INTEGER NOT NULL,        -- ended; fewer than begun: lifesign died between sending and marking
    repeats     INTEGER NOT NULL,        -- sent although an earlier sending may have arrived
    next_at     INTEGER NOT NULL,        -- not tried before
    last_answer TEXT,                    -- the receiver's words
    created_at  INTEGER NOT NULL,
    finished_at INTEGER                  -- delivered or refused
) STRICT;
CREATE TABLE sqlite_sequence(name,seq);
CREATE TABLE timeline (
    -- What happened in an incident, line by line. A gap in the numbers: lines folded away because
    -- the incident had more than are kept.
    incident INTEGER NOT NULL,           -- incidents.id
    line     INTEGER NOT NULL,           -- 1, 2, 3, ...
    at       INTEGER NOT NULL,
    what     TEXT    NOT NULL,           -- opened, state, evidence, restart_started, notified, closed, ...
    detail   TEXT    NOT NULL,
    PRIMARY KEY (incident, line)
) STRICT, WITHOUT ROWID;
CREATE TABLE transitions (
    -- Every change of state or reason, oldest first.
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    service TEXT    NOT NULL,
    before  TEXT    NOT NULL,
    after   TEXT    NOT NULL,
    reason  TEXT,
    detail  TEXT    NOT NULL             -- the evidence in one sentence
, facts TEXT /* JSON array: the evidence in sentences, as judged at this moment */ NOT NULL DEFAULT '[]') STRICT;
CREATE VIEW readable_incidents AS
    -- The incidents with times that people can read.
    SELECT id, service, host, state, reason, severity,
           strftime('%Y-%m-%d %H:%M:%f', opened_at / 1000.0, 'unixepoch') AS opened,
           strftime('%Y-%m-%d %H:%M:%f', closed_at / 1000.0, 'unixepoch') AS closed,
           acknowledged_by
    FROM incidents ORDER BY id DESC;
CREATE VIEW readable_transitions AS
    -- The changes of state with times that people can read.
    SELECT strftime('%Y-%m-%d %H:%M:%f', at / 1000.0, 'unixepoch') AS time,
           service, before, after, reason, detail
    FROM transitions ORDER BY id DESC;
