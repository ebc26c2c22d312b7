-- Sign-ins of people: what they proved, what stands for them, and codes on the way to a token.

CREATE TABLE logins (
    id       TEXT PRIMARY KEY NOT NULL,
    ends_at  INTEGER NOT NULL,
    asked_at INTEGER NOT NULL,
    body     TEXT NOT NULL,
    sealed   TEXT
) STRICT;

CREATE TABLE login_keys (
    fingerprint TEXT PRIMARY KEY NOT NULL,
    id          TEXT NOT NULL UNIQUE,
    login       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    label       TEXT NOT NULL,
    made_at     INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE login_codes (
    fingerprint TEXT PRIMARY KEY NOT NULL,
    said        TEXT UNIQUE,
    expires_at  INTEGER NOT NULL,
    body        TEXT NOT NULL
) STRICT;
