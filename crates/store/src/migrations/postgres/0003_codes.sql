-- Codes of one kind keep out none of another. Those on their way are asked for again.

DELETE FROM login_codes;
ALTER TABLE login_codes ADD COLUMN kind TEXT NOT NULL DEFAULT '';
