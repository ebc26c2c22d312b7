-- Sign-ins of people: what they proved, what stands for them, and codes on the way to a token.

CREATE TABLE logins (
    id       TEXT PRIMARY KEY,
    ends_at  BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    body     TEXT NOT NULL,
    sealed   TEXT
);

CREATE TABLE login_keys (
    fingerprint TEXT PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    login       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    label       TEXT NOT NULL,
    made_at     BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL
);
CREATE INDEX login_keys_by_login ON login_keys (login);

CREATE TABLE login_codes (
    fingerprint TEXT PRIMARY KEY,
    said        TEXT UNIQUE,
    expires_at  BIGINT NOT NULL,
    body        TEXT NOT NULL
);
