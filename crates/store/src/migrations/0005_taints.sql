-- Values that principals received and that are followed (R14): sealed prints, never values.

CREATE TABLE taints (
    principal TEXT NOT NULL,
    source    TEXT NOT NULL,
    expires   INTEGER NOT NULL,
    sealed    BLOB NOT NULL
) STRICT;

CREATE INDEX taints_expires ON taints (expires);
