-- The registry of several gateways: what people decided, and how gateways hear of each other.

-- What is said once: the key of the installation (its fingerprint), and up to where changes were
-- forgotten.
CREATE TABLE facts (
    name   TEXT PRIMARY KEY,
    text   TEXT,
    number BIGINT
);
INSERT INTO facts (name, number) VALUES ('forgotten', 0);

CREATE TABLE gateways (
    gateway    TEXT PRIMARY KEY,
    process    TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    seen_at    TIMESTAMPTZ NOT NULL,
    version    TEXT NOT NULL,
    -- That what it held is marked as left behind.
    gone       BOOLEAN NOT NULL DEFAULT false
);

-- What changed, in the order in which it came into force: `changed` has one transaction at a time
-- write here, until it is committed.
CREATE TABLE changes (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    at       TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX changes_by_time ON changes (at);

CREATE FUNCTION changed(kind TEXT, id TEXT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    number BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('narrows changes', 0));
    INSERT INTO narrows.changes (kind, id) VALUES (changed.kind, changed.id)
        RETURNING sequence INTO number;
    PERFORM pg_notify('narrows', number || ' ' || changed.kind || ' ' || left(changed.id, 200));
    RETURN number;
END
$$;

CREATE TABLE tokens (
    id          TEXT PRIMARY KEY,
    fingerprint BYTEA NOT NULL UNIQUE,
    subject     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    groups      TEXT NOT NULL,
    minted_by   TEXT,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT,
    revoked_at  BIGINT
);

CREATE TABLE denied_tokens (
    id        TEXT PRIMARY KEY,
    subject   TEXT NOT NULL,
    denied_at BIGINT NOT NULL
);

CREATE TABLE approvals (
    id           TEXT PRIMARY KEY,
    status       TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    digest       TEXT NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX approvals_by_time ON approvals (requested_at);
CREATE INDEX approvals_pending ON approvals (digest) WHERE status = 'pending';

CREATE TABLE grants (
    id         TEXT PRIMARY KEY,
    expires_at BIGINT,
    digest     TEXT NOT NULL,
    body       TEXT NOT NULL
);
CREATE INDEX grants_by_digest ON grants (digest);

-- What was compared with masked columns (R5): keyed fingerprints, never values.
CREATE TABLE guesses (
    principal   TEXT NOT NULL,
    resource    TEXT NOT NULL,
    field       TEXT NOT NULL,
    day         BIGINT NOT NULL,
    fingerprint BYTEA NOT NULL,
    PRIMARY KEY (day, principal, resource, field, fingerprint)
);

-- Values that principals received and that are followed (R14): sealed prints, never values.
-- `batch` names those that were kept together, and by whom.
CREATE TABLE taints (
    principal TEXT NOT NULL,
    source    TEXT NOT NULL,
    expires   BIGINT NOT NULL,
    sealed    BYTEA NOT NULL,
    batch     TEXT NOT NULL
);
CREATE INDEX taints_expires ON taints (expires);
CREATE INDEX taints_by_batch ON taints (batch);

-- Who did how much lately at which gateway, and the same as it was told, bit by bit.
CREATE TABLE usage (
    gateway    TEXT NOT NULL,
    principal  TEXT NOT NULL,
    resource   TEXT NOT NULL,
    minute     BIGINT NOT NULL,
    operations BIGINT NOT NULL,
    rows       BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    PRIMARY KEY (minute, gateway, principal, resource)
);
CREATE TABLE usage_batches (
    id   TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    at   TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- What one gateway asks all others, and what they say.
CREATE TABLE asks (
    id   TEXT PRIMARY KEY,
    asked_by TEXT NOT NULL,
    what TEXT NOT NULL,
    body TEXT NOT NULL,
    at   TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE answers (
    ask     TEXT NOT NULL,
    gateway TEXT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (ask, gateway)
);
