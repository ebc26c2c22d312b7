-- The index: where to find what the journal holds. Rebuilt from the journal at any time.

CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,
    gateway     TEXT NOT NULL,
    principal   TEXT NOT NULL,
    resource    TEXT NOT NULL,
    protocol    TEXT NOT NULL,
    client      TEXT NOT NULL,
    application TEXT,
    started_at  INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    ended_at    INTEGER,
    end_reason  TEXT,
    operations  INTEGER NOT NULL,
    rows        INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    allowed     INTEGER NOT NULL,
    masked      INTEGER NOT NULL,
    held        INTEGER NOT NULL,
    blocked     INTEGER NOT NULL,
    sequence    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_last ON sessions (last_at);
CREATE INDEX sessions_by_principal ON sessions (principal, last_at);
CREATE INDEX sessions_open ON sessions (gateway) WHERE ended_at IS NULL;

-- Tables that a session's operations named. `refused` counts operations that were blocked.
CREATE TABLE session_tables (
    session  TEXT NOT NULL,
    name     TEXT NOT NULL,
    reads    INTEGER NOT NULL,
    writes   INTEGER NOT NULL,
    refused  INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (session, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_tables_by_name ON session_tables (name, last_at);

CREATE TABLE session_detections (
    session TEXT NOT NULL,
    kind    TEXT NOT NULL,
    seen    INTEGER NOT NULL,
    masked  INTEGER NOT NULL,
    PRIMARY KEY (session, kind)
) STRICT, WITHOUT ROWID;

-- Stretches of the journal that hold a session's events (and perhaps others').
CREATE TABLE session_ranges (
    session   TEXT NOT NULL,
    gateway   TEXT NOT NULL,
    segment   INTEGER NOT NULL,
    start     INTEGER NOT NULL,
    stop      INTEGER NOT NULL,
    sequence  INTEGER NOT NULL,
    PRIMARY KEY (session, gateway, segment, start)
) STRICT, WITHOUT ROWID;

-- Replies of which parts left and the end is not known yet.
CREATE TABLE open_replies (
    session   TEXT NOT NULL,
    operation INTEGER NOT NULL,
    rows      INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    PRIMARY KEY (session, operation)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    principal  TEXT NOT NULL,
    resource   TEXT NOT NULL,
    minute     INTEGER NOT NULL,
    operations INTEGER NOT NULL,
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    PRIMARY KEY (minute, principal, resource)
) STRICT, WITHOUT ROWID;

-- The last record of each gateway's journal that is in the tables above.
CREATE TABLE indexed (
    gateway  TEXT PRIMARY KEY,
    segment  INTEGER NOT NULL,
    start    INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    chain    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
