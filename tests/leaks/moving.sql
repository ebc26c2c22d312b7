-- RETURNING, and copies to where no mask follows.
UPDATE secrets SET name = name WHERE id = 1 RETURNING ssn
UPDATE secrets SET name = name WHERE id = 1 RETURNING *
UPDATE secrets SET name = name WHERE id = 1 RETURNING left(ssn, 2)
UPDATE secrets s SET name = 'x' WHERE id = 1 RETURNING s, s.ssn AS name
UPDATE notes SET n = 0 FROM secrets s WHERE s.id = notes.id RETURNING s.ssn, notes.body
DELETE FROM secrets WHERE id = 6 OR id = 5 RETURNING ssn, card
DELETE FROM notes USING secrets s WHERE s.id = notes.id RETURNING s.card
INSERT INTO secrets (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y' RETURNING ssn
INSERT INTO secrets (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = secrets.ssn RETURNING name
INSERT INTO secrets (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name || secrets.ssn RETURNING name
INSERT INTO notes SELECT 100 + id, ssn, 0 FROM secrets RETURNING body
INSERT INTO notes VALUES (100, (SELECT ssn FROM secrets WHERE id = 1), 0) RETURNING body
INSERT INTO notes VALUES (100, 'x', (SELECT salary FROM secrets WHERE id = 1)) RETURNING n
INSERT INTO notes (id, n) SELECT 100 + id, length(ssn) FROM secrets WHERE id = 1 RETURNING n
INSERT INTO notes SELECT 100, ssn_of(1), 0 RETURNING body
INSERT INTO notes SELECT 100 + i, s, 0 FROM ssns() RETURNING body
INSERT INTO notes VALUES (100, ssn_of(1), 0) RETURNING body
INSERT INTO notes VALUES (100, @! 1, 0) RETURNING body
INSERT INTO secrets (id, name) SELECT 100 + id, ssn FROM secrets WHERE id = 1 RETURNING name
INSERT INTO secrets (id, name, ssn) SELECT 100 + id, card::text, 'new' || id FROM secrets WHERE id = 1 RETURNING name
UPDATE notes SET body = (SELECT ssn FROM secrets s WHERE s.id = notes.id) RETURNING body
UPDATE notes SET body = s.ssn FROM secrets s WHERE s.id = notes.id RETURNING body
UPDATE notes SET (body, n) = (SELECT ssn, salary FROM secrets s WHERE s.id = notes.id) RETURNING body, n
UPDATE secrets SET name = ssn WHERE id = 1 RETURNING name
UPDATE secrets SET name = email, dept = 'd' || dept WHERE id = 1 RETURNING name
UPDATE secrets SET cap = salary + 1 WHERE id = 1 RETURNING cap
UPDATE secrets SET (name, cap) = ROW (ssn, 1000000) WHERE id = 1 RETURNING name
UPDATE secrets SET name = ssn_of(id) WHERE id = 1 RETURNING name
UPDATE secrets SET cap = DEFAULT, dept = ssn WHERE id = 5 RETURNING dept
-- direct-same: MERGE returns no rows; what it stores is read later
MERGE INTO notes n USING secrets s ON s.id = n.id WHEN MATCHED THEN UPDATE SET body = s.ssn
-- direct-same: MERGE returns no rows; what it stores is read later
MERGE INTO notes n USING secrets s ON s.id = n.id WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.ssn, 0)
WITH m AS (UPDATE notes SET body = (SELECT ssn FROM secrets WHERE id = 1) WHERE id = 1 RETURNING body) SELECT body FROM m
WITH m AS (INSERT INTO inbox SELECT id, ssn FROM secrets RETURNING body) SELECT * FROM m ORDER BY 1
SELECT set_config('my.v', ssn, false), current_setting('my.v') FROM secrets WHERE id = 1
SELECT set_config('my.v', ssn_of(1), true), current_setting('my.v')
SELECT set_config('application_name', ssn, false) FROM secrets WHERE id = 1
SELECT set_config('search_path', ssn, true), current_setting('search_path') FROM secrets WHERE id = 1
-- direct-same: nobody listens here
SELECT pg_notify('leak', ssn) FROM secrets WHERE id = 1
SELECT pg_logical_emit_message(true, 'x', ssn) IS NOT NULL, ssn FROM secrets WHERE id = 1
SELECT l.objid FROM (SELECT pg_try_advisory_xact_lock(salary) AS x FROM secrets WHERE id = 1 OFFSET 0) a, LATERAL (SELECT * FROM pg_locks WHERE a.x AND locktype = 'advisory') l
SELECT lo_get(lo_from_bytea(0, ssn::bytea)) FROM secrets WHERE id = 1
SELECT lo_get(lo_from_bytea(0, convert_to(ssn_of(1), 'UTF8')))
SELECT setseed(1.0 / (1 + length(ssn))), random() FROM secrets WHERE id = 1
-- direct-same: only superusers and roles that were granted it write server files
SELECT lo_export(lo_from_bytea(0, ssn::bytea), '/tmp/leak') FROM secrets WHERE id = 1
INSERT INTO badges (id) VALUES (1) RETURNING holder
WITH i AS (INSERT INTO badges (id) VALUES (1) RETURNING holder AS x) SELECT left(x, 3) FROM i
-- script
INSERT INTO badges (id) VALUES (1)
SELECT holder FROM badges
-- end
-- script
PREPARE p(text) AS SELECT $1
EXECUTE p(ssn_of(1))
-- end
-- script
PREPARE p(text) AS SELECT $1 || 'x', length($1)
EXECUTE p(@! 1)
-- end
-- script
PREPARE p(text) AS INSERT INTO notes VALUES (100, $1, 0) RETURNING body
EXECUTE p(ssn_of(1))
-- end
-- script
PREPARE p AS SELECT ssn FROM secrets WHERE id = 1
EXECUTE p
-- end
-- script
PREPARE p(int) AS SELECT ssn FROM secrets WHERE id = $1
EXECUTE p(1)
EXPLAIN (COSTS OFF) EXECUTE p(1)
-- end
-- script
PREPARE p(text) AS SELECT id FROM secrets WHERE ssn = $1
EXECUTE p('77')
-- end
-- script
PREPARE p(text) AS SELECT $1::int
EXECUTE p(ssn_of(1))
-- end
-- script
PREPARE p AS SELECT ssn FROM secrets WHERE id = 1
CREATE TABLE kept AS EXECUTE p
SELECT * FROM kept
-- end
-- script
CREATE TABLE kept AS SELECT * FROM secrets
SELECT * FROM kept ORDER BY id
-- end
-- script
CREATE TEMP TABLE kept AS SELECT id, ssn AS x FROM secrets
SELECT x FROM kept ORDER BY id
-- end
-- script
CREATE TEMP TABLE kept AS SELECT id FROM secrets WHERE vip
SELECT * FROM kept ORDER BY id
-- end
-- script
CREATE UNLOGGED TABLE kept AS TABLE secrets
SELECT ssn FROM kept ORDER BY id
-- end
-- script
SELECT id, ssn AS x INTO kept FROM secrets
SELECT x FROM kept ORDER BY id
-- end
-- script
SELECT keep_ssns()
SELECT x FROM copied ORDER BY id
-- end
-- script
SELECT ssn AS x INTO TEMP kept FROM secrets WHERE id = 1 UNION ALL SELECT 'y'
SELECT x FROM kept
-- end
-- script
CREATE TABLE kept (x text)
INSERT INTO kept SELECT ssn FROM secrets ORDER BY id
SELECT x FROM kept
-- end
-- script
CREATE TEMP TABLE kept (x text, y int)
INSERT INTO kept SELECT card::text, length(ssn) FROM secrets ORDER BY id
SELECT * FROM kept
-- end
-- script
CREATE VIEW kept AS SELECT id, ssn AS x FROM secrets
SELECT x FROM kept ORDER BY id
-- end
-- script
CREATE TEMP VIEW kept AS SELECT id, left(ssn, 2) AS x FROM secrets
SELECT x FROM kept ORDER BY id
-- end
-- script
CREATE VIEW kept AS SELECT id FROM secrets WHERE ssn > '5'
SELECT id FROM kept ORDER BY id
-- end
-- script
CREATE VIEW kept AS SELECT id FROM secrets ORDER BY ssn
SELECT id FROM kept
-- end
-- script
CREATE OR REPLACE VIEW v_bang AS SELECT id, name AS bang FROM secrets
SELECT bang FROM v_bang ORDER BY id
CREATE OR REPLACE VIEW v_bang AS SELECT id, ssn || '!' AS bang FROM secrets
SELECT bang FROM v_bang ORDER BY id
-- end
-- script
CREATE RECURSIVE VIEW kept (n, x) AS SELECT 1, ssn FROM secrets WHERE id = 1
SELECT x FROM kept
-- end
-- script
CREATE MATERIALIZED VIEW kept AS SELECT id, ssn AS x FROM secrets
SELECT x FROM kept ORDER BY id
-- end
-- script
CREATE FUNCTION kept() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM secrets WHERE id = 1'
SELECT kept()
-- end
-- script
CREATE FUNCTION kept() RETURNS SETOF secrets LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT * FROM secrets; END'
SELECT ssn FROM kept() ORDER BY id
-- end
-- script
CREATE FUNCTION pg_temp.kept() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT ssn FROM secrets WHERE id = 1; END
SELECT pg_temp.kept()
-- end
-- script
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.body := (SELECT ssn FROM secrets WHERE id = 1); RETURN NEW; END'
CREATE TRIGGER say BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION say()
INSERT INTO notes VALUES (100, 'x', 0) RETURNING body
-- end
-- script
CREATE RULE say AS ON UPDATE TO inbox DO INSTEAD SELECT ssn FROM secrets
UPDATE inbox SET body = 'x'
-- end
-- script
CREATE TABLE kept (id int, body text)
CREATE RULE say AS ON INSERT TO kept DO INSTEAD SELECT ssn FROM secrets
INSERT INTO kept VALUES (1, 'x')
-- end
-- script
CREATE TABLE kept (id int)
INSERT INTO kept SELECT generate_series(1, 6)
ALTER TABLE kept ENABLE ROW LEVEL SECURITY
ALTER TABLE kept FORCE ROW LEVEL SECURITY
CREATE POLICY p ON kept USING (ssn_of(id) > '5')
SELECT id FROM kept ORDER BY id
-- end
-- script
CREATE PROCEDURE kept(INOUT s text) LANGUAGE plpgsql AS 'BEGIN SELECT ssn INTO s FROM secrets WHERE id = 1; END'
CALL kept(NULL)
-- end
-- script commits
LISTEN leak
SELECT pg_notify('leak', ssn) FROM secrets WHERE id = 1
SELECT 1
-- end
-- script commits
LISTEN leak
SELECT pg_notify('leak', 'x') FROM secrets WHERE ssn > '5'
SELECT 1
-- end
-- script
SELECT set_config('my.v', ssn, false) IS NULL FROM secrets WHERE id = 1
SHOW my.v
-- end
-- script
SELECT set_config('my.v', ssn_of(2), false) IS NULL
SELECT current_setting('my.v')
-- end
-- script
CREATE SEQUENCE kept
SELECT setval('kept', 5 + salary) > 0 FROM secrets WHERE id = 1
SELECT last_value FROM kept
-- end
-- script
CREATE SEQUENCE kept
SELECT count(CASE WHEN vip THEN nextval('kept') END) >= 0 FROM secrets
SELECT last_value FROM kept
-- end
-- script
SELECT pg_advisory_lock(length(ssn)) IS NULL FROM secrets WHERE id = 1
SELECT pg_advisory_unlock(11)
-- end
-- script
SELECT lo_from_bytea(987654, ssn::bytea) FROM secrets WHERE id = 1
SELECT lo_get(987654)
-- end
-- direct-same: only superusers read pg_largeobject
-- script
SELECT lo_create(987654)
SELECT lo_put(987654, 0, convert_to(ssn_of(1), 'UTF8'))
SELECT encode(data, 'escape') FROM pg_largeobject WHERE loid = 987654
-- end
-- script
BEGIN
CREATE TEMP TABLE kept (a text)
INSERT INTO kept SELECT ssn FROM secrets WHERE id = 1
SELECT * FROM kept
ROLLBACK
-- end
-- script
BEGIN
CREATE TEMP TABLE kept (a text, n int)
INSERT INTO kept VALUES ('5', 1)
UPDATE kept SET a = s.ssn FROM secrets s WHERE s.id = 1
SELECT * FROM kept
ROLLBACK
-- end
-- script
BEGIN
CREATE TEMP TABLE kept (a text, n int)
INSERT INTO kept VALUES ('5', 1)
SELECT s.id FROM secrets s JOIN kept k ON s.ssn > k.a ORDER BY 1
ROLLBACK
-- end
-- script
BEGIN
CREATE TEMP TABLE kept (a text PRIMARY KEY)
INSERT INTO kept VALUES ('323-45-6789'), ('523-45-6789')
SELECT s.id FROM secrets s JOIN kept k ON s.ssn = k.a ORDER BY 1
ROLLBACK
-- end
-- script
BEGIN
SAVEPOINT s
CREATE TABLE secrets_too (id int, name text)
ROLLBACK TO s
CREATE VIEW secrets_too AS SELECT id, ssn AS name FROM secrets
SELECT name FROM secrets_too WHERE name > '5' ORDER BY id
ROLLBACK
-- end
-- script
BEGIN
CREATE TABLE app.secrets (id int, ssn text, vip bool)
ROLLBACK TO SAVEPOINT none
ROLLBACK
SELECT ssn FROM secrets ORDER BY id
-- end
-- script
BEGIN
CREATE TABLE kept (a text)
ALTER TABLE kept RENAME TO kept2
ALTER VIEW v_writable RENAME TO kept
SELECT * FROM kept
ROLLBACK
-- end
CREATE TABLE kept (a text); INSERT INTO kept SELECT ssn FROM secrets; SELECT * FROM kept
CREATE TABLE kept (a text DEFAULT ssn_of(1)); INSERT INTO kept DEFAULT VALUES; SELECT * FROM kept
CREATE TABLE kept (a text CHECK (ssn_of(1) > '5')); INSERT INTO kept VALUES ('x'); SELECT * FROM kept
CREATE TABLE kept AS SELECT id, name FROM secrets; UPDATE kept SET name = ssn FROM secrets WHERE secrets.id = kept.id; SELECT * FROM kept
CREATE TABLE kept AS SELECT id, ssn FROM secrets; SELECT * FROM kept
CREATE TABLE kept (a int); DROP TABLE kept; ALTER TABLE secrets RENAME TO kept; SELECT ssn FROM kept
INSERT INTO inbox SELECT 101, column3 FROM (VALUES ((ROW('x', 1)::pair).*, (SELECT ssn FROM secrets WHERE id = 1))) q RETURNING body || ''
-- script
CREATE TABLE kept (id int, a text[])
INSERT INTO kept (id, a[(SELECT salary FROM secrets WHERE id = 2)]) VALUES (1, 'x') RETURNING a
-- end
-- script
CREATE TABLE kept (id int, a text[])
MERGE INTO kept k USING (SELECT * FROM secrets WHERE id = 2) s ON k.id = s.id WHEN NOT MATCHED THEN INSERT (id, a[s.salary]) VALUES (1, 'x')
SELECT a FROM kept
-- end
-- script
CREATE TABLE kept (id int, a text[])
INSERT INTO kept VALUES (1, '{}')
UPDATE kept SET a[(SELECT salary FROM secrets WHERE id = 2)] = 'x' RETURNING a
-- end
