-- What was compared with masked columns (R5): keyed fingerprints, never values.

CREATE TABLE guesses (
    principal   TEXT NOT NULL,
    resource    TEXT NOT NULL,
    field       TEXT NOT NULL,
    day         INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    PRIMARY KEY (day, principal, resource, field, fingerprint)
) STRICT, WITHOUT ROWID;
