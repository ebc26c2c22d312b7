-- Tokens of identity providers that were revoked here, by the name that records give them.
CREATE TABLE denied_tokens (
    id TEXT PRIMARY KEY NOT NULL,
    subject TEXT NOT NULL,
    denied_at INTEGER NOT NULL
) STRICT;
