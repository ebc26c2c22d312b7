-- How many events of the session a stretch holds, so that a reader can tell whether it was given all.
-- Of stretches from before this it is not known.

ALTER TABLE session_ranges ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
