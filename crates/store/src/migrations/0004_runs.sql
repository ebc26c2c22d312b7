-- Which token a session was proved with, and which of its runs it belongs to.

ALTER TABLE sessions ADD COLUMN token TEXT;
ALTER TABLE sessions ADD COLUMN run TEXT;
CREATE INDEX sessions_by_token ON sessions (token, started_at);
CREATE INDEX sessions_by_run ON sessions (run, started_at);

-- The index is read from the journal again, from its beginning.
DELETE FROM sessions;
DELETE FROM session_tables;
DELETE FROM session_detections;
DELETE FROM session_ranges;
DELETE FROM open_replies;
DELETE FROM usage;
DELETE FROM indexed;
