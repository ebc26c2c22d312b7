-- Expressions that are kept to be run later, or run while something is defined.
-- script
CREATE TABLE kept (id int, x text DEFAULT ssn_of(1))
INSERT INTO kept (id) VALUES (1) RETURNING x
-- end
-- script
CREATE TABLE kept (id int)
INSERT INTO kept VALUES (1)
ALTER TABLE kept ADD COLUMN x text DEFAULT ssn_of(1)
SELECT x FROM kept
-- end
-- script
CREATE TABLE kept (id int, x text)
ALTER TABLE kept ALTER COLUMN x SET DEFAULT ssn_of(1)
INSERT INTO kept (id) VALUES (1) RETURNING x
-- end
-- script
CREATE TABLE kept (id int, x text)
ALTER TABLE kept ALTER COLUMN x SET DEFAULT @! 1
INSERT INTO kept VALUES (1, DEFAULT) RETURNING x
-- end
-- script
CREATE TEMP TABLE kept (id int, x text DEFAULT upper(ssn_atomic(whose => 1)))
INSERT INTO kept DEFAULT VALUES RETURNING x
-- end
-- script
CREATE TABLE kept (id int, x text GENERATED ALWAYS AS (ssn_constant(id)) STORED)
INSERT INTO kept (id) VALUES (1) RETURNING x
-- end
-- script
CREATE TABLE kept (id int)
INSERT INTO kept VALUES (1), (2)
ALTER TABLE kept ADD COLUMN x text GENERATED ALWAYS AS (ssn_constant(id)) STORED
SELECT x FROM kept ORDER BY id
-- end
-- script
CREATE TABLE kept (x text)
INSERT INTO kept VALUES ('1'), ('2')
ALTER TABLE kept ALTER COLUMN x TYPE text USING ssn_of(x::int)
SELECT x FROM kept
-- end
-- script
CREATE TABLE kept (x int)
INSERT INTO kept VALUES (1), (2)
ALTER TABLE kept ALTER x TYPE int USING length(ssn_of(x))
SELECT x FROM kept
-- end
-- script
CREATE TABLE kept (x int)
INSERT INTO kept VALUES (1)
ALTER TABLE kept ALTER x TYPE box_of_text USING x::box_of_text
SELECT x FROM kept
-- end
-- script
CREATE TABLE kept (x int CHECK (ssn_of(x) > '5'))
INSERT INTO kept VALUES (1)
-- end
-- script
CREATE TABLE kept (x int, CONSTRAINT c CHECK (is_known(x::text)))
INSERT INTO kept VALUES (77)
-- end
-- script
CREATE TABLE kept (x int)
INSERT INTO kept VALUES (77)
ALTER TABLE kept ADD CONSTRAINT c CHECK (is_known(x::text))
-- end
-- script
CREATE TABLE kept (x int)
INSERT INTO kept VALUES (1)
ALTER TABLE kept ADD COLUMN y int CHECK (ssn_of(1) > '5')
-- end
-- script
CREATE TABLE kept (x text) PARTITION BY LIST (x)
CREATE TABLE kept_1 PARTITION OF kept FOR VALUES IN (ssn_of(1))
SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'kept_1'
-- end
-- script
CREATE TABLE kept (x text) PARTITION BY RANGE (x)
CREATE TABLE kept_1 PARTITION OF kept FOR VALUES FROM (ssn_of(1)) TO (MAXVALUE)
SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'kept_1'
-- end
-- script
CREATE TABLE kept (x text) PARTITION BY LIST (x)
CREATE TABLE kept_1 (x text)
ALTER TABLE kept ATTACH PARTITION kept_1 FOR VALUES IN (ssn_of(1))
SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'kept_1'
-- end
-- script
CREATE TABLE kept (x int) PARTITION BY LIST ((ssn_constant(x)))
CREATE TABLE kept_1 PARTITION OF kept FOR VALUES IN ('987654321987')
INSERT INTO kept VALUES (1)
-- end
-- script
CREATE TABLE bands_low PARTITION OF bands FOR VALUES FROM (0) TO (50)
-- end
-- script
CREATE TABLE bands_low (id int, amount int)
ALTER TABLE bands ATTACH PARTITION bands_low FOR VALUES FROM (150) TO (250)
-- end
-- script
CREATE TABLE kept (x int)
INSERT INTO kept VALUES (1), (2), (3), (4), (5)
CREATE UNIQUE INDEX ON kept ((left(ssn_constant(x), 1) > '5'))
-- end
-- script
CREATE TABLE kept (x int)
INSERT INTO kept VALUES (1), (2)
CREATE INDEX ON kept ((1 / (length(ssn_constant(x)) - 11)))
-- end
-- script
CREATE TABLE kept (x int)
INSERT INTO kept VALUES (1), (3)
CREATE UNIQUE INDEX ON kept ((1)) WHERE ssn_constant(x) < '8'
-- end
-- script
CREATE TABLE kept (x int, EXCLUDE USING btree ((length(ssn_constant(x))) WITH =))
INSERT INTO kept VALUES (1), (2)
-- end
-- script
CREATE TABLE kept (x text)
INSERT INTO kept VALUES ('77')
ALTER TABLE kept ADD FOREIGN KEY (x) REFERENCES secrets (ssn)
-- end
-- script
CREATE TABLE kept (x text REFERENCES secrets (ssn))
INSERT INTO kept VALUES ('77')
-- end
-- script
CREATE TABLE kept (x text REFERENCES secrets (plain_ssn))
INSERT INTO kept VALUES ('77')
-- end
-- script
ALTER TABLE notes ADD CONSTRAINT f FOREIGN KEY (body) REFERENCES secrets (ssn) NOT VALID
INSERT INTO notes VALUES (100, '77', 0)
-- end
-- script
ALTER TABLE secrets RENAME COLUMN ssn TO harmless
SELECT harmless FROM secrets ORDER BY id
-- end
-- script
ALTER TABLE secrets RENAME TO harmless
SELECT ssn FROM harmless ORDER BY id
-- end
-- script
ALTER TABLE secrets SET SCHEMA pg_temp
SELECT ssn FROM secrets ORDER BY id
-- end
-- script
CREATE SCHEMA other
ALTER TABLE secrets SET SCHEMA other
SELECT ssn FROM other.secrets ORDER BY id
-- end
-- script
ALTER SCHEMA public RENAME TO other
SELECT ssn FROM other.secrets ORDER BY id
-- end
-- script
ALTER TABLE secrets ADD COLUMN x text DEFAULT ssn_of(1)
SELECT x FROM secrets ORDER BY id
-- end
-- script
ALTER TABLE secrets ADD COLUMN x text GENERATED ALWAYS AS (left(ssn, 2)) STORED
SELECT x FROM secrets ORDER BY id
-- end
-- direct-same: a view needs the column
-- script
ALTER TABLE secrets ALTER COLUMN name TYPE text USING ssn
SELECT name FROM secrets ORDER BY id
-- end
-- direct-same: a generated column needs the column
-- script
ALTER TABLE secrets ALTER COLUMN ssn TYPE varchar(10)
-- end
-- direct-same: a view needs the column
-- script
ALTER TABLE secrets ALTER COLUMN email TYPE int USING length(email)
-- end
-- script
ALTER TABLE secrets ADD CONSTRAINT c CHECK (ssn > '1')
-- end
-- script
ALTER TABLE secrets ADD CONSTRAINT c UNIQUE (email)
-- end
-- script
ALTER TABLE secrets ALTER COLUMN salary SET NOT NULL, ADD CHECK (salary <> 7)
-- end
-- script
CREATE UNIQUE INDEX ON secrets (email)
-- end
-- script
CREATE UNIQUE INDEX ON secrets (length(ssn)) WHERE id < 3
-- end
-- script
CREATE UNIQUE INDEX ON secrets ((1)) WHERE ssn > '8'
-- end
-- script
CREATE INDEX ON secrets ((ssn::int))
-- end
-- script
ALTER TABLE v_bang RENAME COLUMN bang TO harmless
SELECT harmless FROM v_bang ORDER BY id
-- end
-- script
ALTER VIEW v_cards RENAME TO harmless
SELECT pan FROM harmless ORDER BY id
-- end
-- script
CREATE TABLE kept () INHERITS (people)
ALTER TABLE kept RENAME COLUMN pin TO harmless
SELECT pin FROM people ORDER BY id
-- end
-- script
CREATE TABLE kept (id int, name text, pin text)
ALTER TABLE people_eu NO INHERIT people
SELECT pin FROM people_eu ORDER BY id
-- end
-- script
ALTER TABLE events DETACH PARTITION events_eu
SELECT amount FROM events_eu ORDER BY id
-- end
-- script
CREATE TABLE kept (LIKE secrets INCLUDING ALL)
INSERT INTO kept (id, name, ssn) SELECT id, name, ssn FROM secrets
SELECT ssn FROM kept ORDER BY id
-- end
-- script
CREATE DOMAIN kept AS text DEFAULT ssn_of(1)
CREATE TABLE kept_table (id int, x kept)
INSERT INTO kept_table (id) VALUES (1) RETURNING x
-- end
-- script
CREATE DOMAIN kept AS text CHECK (VALUE > '5')
SELECT ssn::kept FROM secrets WHERE id = 1
-- end
-- script
CREATE DOMAIN kept AS text CHECK (NOT is_known(VALUE))
SELECT '77'::kept
-- end
-- script
CREATE TYPE pg_temp.text AS ENUM ('123-45-6789')
SELECT ssn::text FROM secrets WHERE id = 1
-- end
-- script
CREATE TYPE public.text AS ENUM ('123-45-6789')
SELECT ssn::public.text FROM secrets WHERE id = 1
-- end
-- script
CREATE TEMP TABLE text (a int, b int)
SELECT ('(' || ssn)::text FROM secrets WHERE id = 1
-- end
-- script
CREATE TYPE other AS ENUM ('123-45-6789')
SELECT ssn::other FROM secrets WHERE id = 1
-- end
-- script
CREATE TYPE span AS RANGE (SUBTYPE = text)
SELECT span(ssn, '5') FROM secrets WHERE id = 1
-- end
-- script
CREATE TYPE pg_temp.varchar AS ENUM ('123-45-6789')
SELECT ssn::pg_temp.varchar FROM secrets WHERE id = 1
-- end
-- script
CREATE TYPE label AS ENUM ('a')
ALTER TYPE pair ADD ATTRIBUTE extra text
SELECT home FROM secrets ORDER BY id
-- end
-- script
CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)
SELECT id FROM secrets WHERE ssn === '77'
-- end
-- script
CREATE AGGREGATE kept(text) (SFUNC = textcat, STYPE = text, INITCOND = '')
SELECT kept(ssn) FROM secrets
-- end
-- script
CREATE CAST (box_of_text AS int) WITH INOUT AS IMPLICIT
SELECT ROW(ssn)::box_of_text::int FROM secrets WHERE id = 3
-- end
-- script
CREATE COLLATION kept (provider = libc, locale = 'C')
SELECT id FROM secrets ORDER BY ssn COLLATE kept
-- end
-- direct-same: only superusers read them
-- script
CREATE STATISTICS kept (mcv) ON ssn, email FROM secrets
ANALYZE secrets
SELECT stxdmcv::text FROM pg_statistic_ext_data
-- end
-- script
CREATE INDEX ON secrets ((left(ssn, 3)))
ANALYZE secrets
SELECT histogram_bounds FROM pg_stats WHERE tablename LIKE 'secrets_left%'
-- end
-- script
CLUSTER secrets USING secrets_ssn_key
SELECT id FROM secrets
-- end
-- script
ALTER TABLE secrets CLUSTER ON secrets_ssn_key
CLUSTER secrets
SELECT id FROM secrets
-- end
-- script
CREATE SCHEMA kept CREATE TABLE t (id int, x text DEFAULT ssn_of(1)) CREATE VIEW v AS SELECT ssn AS y FROM public.secrets
SELECT y FROM kept.v
-- end
-- script
CREATE TABLE kept (x text COLLATE "C" DEFAULT ssn_of(1), id serial)
INSERT INTO kept DEFAULT VALUES
SELECT x FROM kept
-- end
-- script
CREATE TABLE kept (id int)
COMMENT ON TABLE kept IS 'nothing'
ALTER TABLE kept ADD COLUMN x text DEFAULT ssn_of(1), ADD COLUMN y int
INSERT INTO kept (id) VALUES (1)
SELECT x FROM kept
-- end
-- script
CREATE VIEW kept AS SELECT id, body FROM notes
ALTER VIEW kept ALTER COLUMN body SET DEFAULT ssn_of(1)
INSERT INTO kept (id) VALUES (100) RETURNING body
-- end
-- direct-same: publishing shows nothing here
-- script
CREATE PUBLICATION kept FOR TABLE secrets WHERE (ssn > '5')
SELECT count(*) FROM pg_publication
-- end
-- script
ALTER TABLE secrets DROP COLUMN plain_ssn, ADD COLUMN plain text GENERATED ALWAYS AS (lower(ssn)) STORED
SELECT plain FROM secrets ORDER BY id
-- end
-- script
ALTER TABLE accounts DROP CONSTRAINT accounts_pkey CASCADE
ALTER TABLE secrets ADD CONSTRAINT again CHECK (account IN (1, 2))
-- end
-- script
CREATE TABLE kept (x text)
INSERT INTO kept VALUES ('1')
ALTER TABLE kept ALTER x TYPE int USING length(@! x::int)
SELECT x FROM kept
-- end
-- script
CREATE TABLE kept (id int, x text DEFAULT (1::box_of_text).v)
INSERT INTO kept (id) VALUES (1) RETURNING x
-- end
-- script
CREATE TABLE kept (id int GENERATED ALWAYS AS IDENTITY, x int DEFAULT length(ssn_of(1)), CHECK (x > 0))
INSERT INTO kept DEFAULT VALUES RETURNING x
-- end
-- script
CREATE TABLE kept (a text, b text)
CREATE TABLE kept_2 () INHERITS (kept)
ALTER TABLE ONLY kept ALTER a SET DEFAULT ssn_of(2)
INSERT INTO kept (b) VALUES ('x') RETURNING a
-- end
-- script
CREATE SCHEMA kept
CREATE TABLE kept.text (a int)
SET search_path = kept, public, pg_catalog
SELECT ('(' || ssn)::text FROM secrets WHERE id = 1
-- end
-- script
CREATE TYPE kept AS (v text)
CREATE TABLE kept_2 OF kept (v DEFAULT ssn_of(1))
INSERT INTO kept_2 DEFAULT VALUES RETURNING v
-- end
-- script
CREATE TABLE kept (x text, EXCLUDE USING btree (x WITH =) WHERE (ssn_constant(1) > '5'))
INSERT INTO kept VALUES ('a'), ('a')
-- end
-- script
CREATE TABLE kept (x int PRIMARY KEY)
INSERT INTO kept VALUES (1), (2)
CREATE UNIQUE INDEX ON kept (length(ssn_constant(x)))
-- end
-- script
INSERT INTO refs SELECT id + 100, ssn FROM secrets WHERE id = 1
DROP TABLE secrets CASCADE
SELECT * FROM refs ORDER BY id
-- end
-- script
INSERT INTO badges (id) VALUES (101)
DROP TABLE secrets CASCADE
SELECT holder FROM badges WHERE id = 101
-- end
-- script
INSERT INTO badges (id) VALUES (102)
DROP FUNCTION ssn_of(int) CASCADE
SELECT holder FROM badges WHERE id = 102
-- end
-- script
INSERT INTO badges (id) VALUES (103)
DROP ROUTINE ssn_of CASCADE
SELECT holder FROM badges WHERE id = 103
-- end
-- Definitions that are not committed and not followed, and what is said behind them.
-- script
CREATE SCHEMA front
CREATE TABLE front.secrets (id int, ssn text)
SET search_path = front, public
BEGIN
DROP SCHEMA front CASCADE
SELECT ssn || '' FROM secrets ORDER BY id
-- end
-- script
CREATE SCHEMA front
CREATE VIEW front.secrets AS SELECT id, body AS ssn FROM notes
SET search_path = front, public
BEGIN
DROP VIEW front.secrets
SELECT ssn || '' FROM secrets ORDER BY id
-- end
-- script
CREATE SCHEMA front
CREATE TABLE front.secrets (id int, ssn text)
SET search_path = front, public
PREPARE kept AS SELECT ssn || '' FROM secrets ORDER BY id
BEGIN
ALTER TABLE front.secrets RENAME TO others
EXECUTE kept
-- end
-- script
CREATE SCHEMA front
CREATE TABLE front.base (id int, ssn text)
CREATE TABLE front.secrets () INHERITS (front.base)
SET search_path = front, public
BEGIN
DROP TABLE front.base CASCADE
SELECT ssn || '' FROM secrets ORDER BY id
-- end
-- script
CREATE TYPE shape AS (id int, ssn text)
CREATE SCHEMA front
CREATE TABLE front.secrets OF shape
SET search_path = front, public
BEGIN
DROP TYPE shape CASCADE
SELECT ssn || '' FROM secrets ORDER BY id
-- end
-- script
BEGIN
CREATE TYPE feeling AS ENUM ('x')
SELECT ssn || '' FROM secrets ORDER BY id
-- end
-- script
BEGIN
CREATE TEMP VIEW kept AS SELECT id, ssn AS body FROM secrets
SELECT body || '' FROM kept ORDER BY id
-- end
-- script
BEGIN
CREATE TEMP VIEW kept AS SELECT 1 AS id, 'x'::text AS ssn
ALTER VIEW kept RENAME TO secrets_too
SELECT body || '' FROM (SELECT ssn AS body FROM secrets) q
-- end
-- script
CREATE TABLE kept (id int PRIMARY KEY, ssn text UNIQUE, guess text REFERENCES kept (ssn))
INSERT INTO kept SELECT id, ssn FROM secrets
INSERT INTO kept VALUES (100, NULL, '523-45-6789')
-- end
-- script
BEGIN
CREATE SCHEMA app
CREATE TABLE IF NOT EXISTS people (id int, name text, taken text)
INSERT INTO people SELECT id, name, pin FROM public.people
SELECT taken FROM app.people ORDER BY id
-- end
-- script
BEGIN
CREATE SCHEMA AUTHORIZATION app
SAVEPOINT s
CREATE TABLE IF NOT EXISTS people (id int, name text, taken text)
INSERT INTO people SELECT id, name, pin FROM public.people
SELECT taken FROM app.people ORDER BY id
-- end
-- script
CREATE SCHEMA app CREATE VIEW unrelated AS SELECT 1 AS a
CREATE TABLE IF NOT EXISTS people (id int, name text, taken text)
INSERT INTO people SELECT id, name, pin FROM public.people
SELECT taken FROM app.people ORDER BY id
-- end
-- What is looked up when it runs, under another search_path than it was declared or bound under.
-- script
CREATE SCHEMA aside
CREATE TABLE aside.secrets (id int, other text)
SET search_path = aside
BEGIN
DECLARE c CURSOR FOR SELECT public.whole_of(1)
SET LOCAL search_path = public
FETCH ALL FROM c
-- end
-- script
CREATE SCHEMA aside
CREATE TABLE aside.secrets (id int, other text)
SET search_path = aside
BEGIN
DECLARE c CURSOR WITH HOLD FOR SELECT public.whole_of(1)
SET search_path = public
COMMIT
SET search_path = aside
FETCH ALL FROM c
-- end
