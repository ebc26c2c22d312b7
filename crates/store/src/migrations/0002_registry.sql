-- The registry: what people decided. It cannot be rebuilt; back it up.

CREATE TABLE tokens (
    id          TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    subject     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    groups      TEXT NOT NULL,
    minted_by   TEXT,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    id           TEXT PRIMARY KEY,
    status       TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    body         TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_by_time ON approvals (requested_at);
CREATE INDEX approvals_pending ON approvals (id) WHERE status = 'pending';

CREATE TABLE grants (
    id         TEXT PRIMARY KEY,
    expires_at INTEGER,
    body       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
