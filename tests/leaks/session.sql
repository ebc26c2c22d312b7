-- Cursors, several statements, encodings, strings and identifiers in every notation.
-- script
BEGIN
DECLARE c CURSOR FOR SELECT ssn FROM secrets ORDER BY id
FETCH ALL FROM c
COMMIT
-- end
-- script
BEGIN
DECLARE c SCROLL CURSOR FOR SELECT ssn, id FROM secrets ORDER BY id
FETCH 2 FROM c
FETCH BACKWARD 1 FROM c
FETCH LAST FROM c
FETCH ABSOLUTE 2 FROM c
FETCH RELATIVE 1 FROM c
COMMIT
-- end
-- script
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM secrets ORDER BY id
FETCH 3 FROM c
CLOSE c
-- end
-- script
DECLARE c BINARY CURSOR WITH HOLD FOR SELECT ssn, card, salary FROM secrets ORDER BY id
FETCH ALL FROM c
-- end
-- script
BEGIN
DECLARE c CURSOR FOR SELECT id FROM secrets WHERE ssn > '5' ORDER BY id
FETCH ALL FROM c
MOVE ALL FROM c
COMMIT
-- end
-- script
BEGIN
DECLARE c CURSOR FOR SELECT id FROM secrets ORDER BY ssn
MOVE 1 FROM c
FETCH 1 FROM c
COMMIT
-- end
-- script
BEGIN
DECLARE c CURSOR FOR SELECT * FROM secrets WHERE id = 1 FOR UPDATE
FETCH 1 FROM c
UPDATE secrets SET name = ssn WHERE CURRENT OF c RETURNING name
COMMIT
-- end
-- script
BEGIN
DECLARE c CURSOR FOR SELECT * FROM ssns()
FETCH ALL FROM c
COMMIT
-- end
-- script
SELECT 1; SELECT ssn FROM secrets WHERE id = 1
-- end
-- script
SELECT ssn FROM secrets WHERE id = 1; SELECT card FROM secrets WHERE id = 1; SELECT 2
-- end
-- script
BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM secrets WHERE id = 1; FETCH ALL FROM c; COMMIT
-- end
-- script
PREPARE p AS SELECT ssn FROM secrets WHERE id = 1; EXECUTE p
-- end
-- script
SELECT 'x' /* ; */; SELECT ssn FROM secrets WHERE id = 1;
-- end
-- script
SET search_path TO other, public; SELECT ssn FROM secrets WHERE id = 1
-- end
-- script
CREATE SCHEMA other
SET search_path TO other, public
CREATE VIEW other.secrets AS SELECT 1 AS ssn
SELECT ssn FROM public.secrets WHERE id = 1
DROP VIEW other.secrets
SELECT ssn FROM secrets WHERE id = 1
-- end
-- script
CREATE TEMP TABLE secrets (ssn text, id int)
SELECT ssn FROM public.secrets WHERE id = 1
DROP TABLE pg_temp.secrets
SELECT ssn FROM secrets WHERE id = 1
-- end
-- script
SELECT set_config('search_path', 'public, pg_catalog', false)
SELECT ssn FROM secrets WHERE id = 1
-- end
-- script
SET search_path = ''
SELECT ssn FROM public.secrets WHERE id = 1
SELECT s.ssn FROM public.secrets s ORDER BY id
-- end
-- script
SET standard_conforming_strings = off
SELECT '\'', ssn, ' -- ' FROM secrets WHERE id = 1
SELECT 'a\' || ssn || \'b' FROM secrets WHERE id = 1
-- end
-- script
SET standard_conforming_strings = off
SELECT '\\', ssn FROM secrets WHERE id = 1
-- end
-- script
SET standard_conforming_strings = off; SELECT '\', ssn, '' FROM secrets WHERE id = 1
-- end
-- script
SET backslash_quote = on
SELECT E'\'', ssn, E'\'' FROM secrets WHERE id = 1
-- end
-- script
SET client_encoding = 'LATIN1'
SELECT email FROM secrets WHERE id = 1
-- end
-- script
SET client_encoding = 'WIN1252'
SELECT email FROM secrets WHERE id = 1
-- end
-- script
SET client_encoding = 'SJIS'
SELECT email FROM secrets WHERE id = 1
-- end
-- script
SET client_encoding = 'EUC_JP'
SELECT email FROM secrets ORDER BY id
-- end
-- script
SET client_encoding = 'GBK'
SELECT email || '' FROM secrets ORDER BY id
-- end
-- script
SET client_encoding = 'KOI8R'
COPY (SELECT email FROM secrets ORDER BY id) TO STDOUT
-- end
-- script
SET NAMES 'LATIN1'
SELECT array_agg(email) FROM secrets
-- end
-- script
SELECT set_config('client_encoding', 'LATIN1', false)
SELECT s FROM secrets s WHERE id = 1
-- end
-- script
PREPARE p AS SELECT email FROM secrets WHERE id = 1
SET client_encoding = 'LATIN1'
EXECUTE p
-- end
-- script
DECLARE c CURSOR WITH HOLD FOR SELECT email FROM secrets WHERE id = 1
SET client_encoding = 'LATIN1'
FETCH ALL FROM c
-- end
-- script
SET client_encoding = 'SQL_ASCII'
SELECT email FROM secrets WHERE id = 1
-- end
-- script
SET bytea_output = 'escape'
SELECT token, token::text FROM secrets ORDER BY id
-- end
-- script
SET DateStyle = 'SQL, DMY'
SELECT born, born::text FROM secrets ORDER BY id
-- end
-- script
SET xmlbinary = 'hex'
SELECT table_to_xml('secrets', false, false, '')
-- end
-- script
SET row_security = off
SET enable_seqscan = off
SELECT ssn FROM secrets ORDER BY id
-- end
-- script
SET plan_cache_mode = force_generic_plan
PREPARE p(int) AS SELECT card FROM secrets WHERE id = $1
EXECUTE p(1)
EXECUTE p(2)
-- end
-- script
SAVEPOINT x
SELECT ssn FROM secrets WHERE id = 1
-- end
-- script
BEGIN
SAVEPOINT x
SELECT ssn::int FROM secrets WHERE id = 3
ROLLBACK TO x
SELECT ssn FROM secrets WHERE id = 1
COMMIT
-- end
-- script
BEGIN ISOLATION LEVEL SERIALIZABLE
SELECT card FROM secrets WHERE id = 1
COMMIT
-- end
-- script
BEGIN
CREATE TEMP TABLE kept (x text)
INSERT INTO kept SELECT ssn FROM public.secrets
SELECT x FROM kept
ROLLBACK
-- end
-- script
BEGIN
ALTER TABLE secrets RENAME ssn TO harmless
SELECT harmless FROM secrets ORDER BY id
ROLLBACK
-- end
SELECT U&"\0073sn" FROM secrets WHERE id = 1
SELECT U&"!0073sn" UESCAPE '!' AS x FROM secrets WHERE id = 1
SELECT "ssn" FROM "public"."secrets" WHERE "id" = 1
SELECT SSN FROM SECRETS WHERE ID = 1
SELECT/**/ssn/**/FROM/**/secrets/**/WHERE/**/id=1
SELECT /* /* nested */ ' */ ssn /* ' */ FROM secrets WHERE id = 1
SELECT $$x$$, ssn, $q$ FROM notes $q$ FROM secrets WHERE id = 1
SELECT $a$ $b$ $a$ || ssn FROM secrets WHERE id = 1
SELECT E'\x41' || ssn, U&'\0041' || ssn, N'x' || ssn FROM secrets WHERE id = 1
-- direct-same: a syntax error
SELECT 'a' 'b', ssn FROM secrets WHERE id = 1
SELECT ssn+0 FROM (SELECT salary AS ssn FROM secrets WHERE id = 1) t
SELECT(ssn)FROM secrets WHERE id=1
SELECT ALL ssn FROM ONLY (secrets) WHERE id = 1
SELECT ssn FROM secrets* WHERE id = 1
SELECT secrets.* FROM secrets, notes WHERE secrets.id = notes.id ORDER BY notes.id
SELECT 1 + 1 AS id, ssn AS "FROM notes --" FROM secrets WHERE id = 1
-- script
BEGIN
SET LOCAL client_encoding = 'LATIN1'
SELECT email FROM secrets WHERE id = 1
ROLLBACK
-- end
-- script
SET client_encoding = 'LATIN1'; SELECT email FROM secrets WHERE id = 1
-- end
-- script
SELECT set_config('client_encoding', 'LATIN1', true); SELECT email FROM secrets WHERE id = 1
-- end
-- script
BEGIN
DECLARE c CURSOR FOR SELECT email FROM secrets ORDER BY id
SET client_encoding = 'WIN1251'
FETCH 1 FROM c
COMMIT
-- end
-- script
UPDATE pg_settings SET setting = 'LATIN1' WHERE name = 'client_encoding'
SELECT email FROM secrets WHERE id = 1
-- end
-- script
SET client_encoding = 'LATIN1'
UPDATE secrets SET name = name WHERE id = 1 RETURNING email
-- end
-- script
SET client_encoding = 'LATIN1'
SELECT u FROM (SELECT email AS u FROM secrets) t
-- end
-- script
SET client_encoding = 'LATIN1'
SELECT count(email), max(id) FROM secrets
SELECT name FROM secrets WHERE email IS NULL
SELECT ssn_of(1) IS NULL, (SELECT email FROM secrets WHERE id = 1)
-- end
-- Names of schemas with blanks and quotes in them, and relations that others hide.
-- script
CREATE TEMP TABLE v_bang (id int, bang text)
SET search_path TO "pg_temp ", public, pg_temp
SELECT bang || '' FROM v_bang ORDER BY id
-- end
-- script
CREATE SCHEMA kept
CREATE TABLE kept.v_bang (id int, bang text)
SET search_path = 'kept ', public
SELECT bang || '' FROM v_bang
-- end
-- script
CREATE SCHEMA kept
CREATE TABLE kept.v_bang (id int, bang text)
SET search_path = '"kept"', public
SELECT bang || '' FROM v_bang
-- end
-- script
CREATE SCHEMA kept
CREATE TABLE kept.v_bang (id int, bang text)
SET search_path = 'kept, x', public
SELECT bang || '' FROM v_bang
-- end
-- script
CREATE SCHEMA kept
SET search_path = kept, public
PREPARE p AS SELECT bang || '' FROM v_bang
EXECUTE p
CREATE TABLE kept.v_bang (id int, bang text)
EXECUTE p
-- end
-- script
CREATE SCHEMA kept
CREATE TABLE kept.v_bang (id int, bang text)
CREATE VIEW kept.ps AS SELECT * FROM pg_settings
SET search_path = kept, public
UPDATE kept.ps SET setting = 'public' WHERE name = 'search_path'
SELECT bang || '' FROM v_bang
-- end
-- Tables of one's own that are taken back, or end with their transaction; settings that are kept.
-- script
BEGIN
CREATE TEMP TABLE tt (id int)
INSERT INTO tt VALUES (1)
SAVEPOINT s
DROP TABLE tt
CREATE TEMP TABLE tt (id int, ssn text)
ROLLBACK TO s
SELECT (SELECT ssn FROM tt LIMIT 1) FROM secrets ORDER BY id
ROLLBACK
-- end
-- script
BEGIN
CREATE TEMP TABLE tt (id int)
INSERT INTO tt VALUES (1)
COMMIT AND CHAIN
DROP TABLE tt
CREATE TEMP TABLE tt (id int, ssn text)
ROLLBACK AND CHAIN
SELECT (SELECT ssn FROM tt LIMIT 1) || '' FROM secrets ORDER BY id
ROLLBACK
-- end
-- script
BEGIN
CREATE TEMP TABLE tt (id int, ssn text)
PREPARE p AS SELECT (SELECT ssn FROM tt LIMIT 1) FROM secrets ORDER BY id
DROP TABLE tt
CREATE TEMP TABLE tt (id int)
INSERT INTO tt VALUES (1)
EXECUTE p
ROLLBACK
-- end
-- script
CREATE SCHEMA kept
CREATE TABLE kept.v_bang (id int, bang text)
CREATE VIEW kept.vv AS SELECT set_config('search_path', 'public', false)
SET search_path = kept
SELECT * FROM kept.vv
SELECT bang || '' FROM v_bang
-- end
-- script
CREATE SCHEMA kept
CREATE TABLE kept.v_bang (id int, bang text)
CREATE TABLE kept.dd (a text DEFAULT set_config('search_path', 'public', false), id int)
SET search_path = kept
INSERT INTO kept.dd (id) VALUES (1)
SELECT bang || '' FROM v_bang
-- end
-- script
CREATE TABLE kept (id int, ssn text)
INSERT INTO kept VALUES (1, 'x')
ALTER TABLE kept RENAME COLUMN ssn TO x; SELECT (SELECT ssn FROM kept LIMIT 1) || '' FROM secrets WHERE id = 1
-- end
-- script
CREATE TABLE kept (id int, ssn text)
INSERT INTO kept VALUES (1, 'x')
ALTER TABLE kept DROP COLUMN ssn; SELECT (SELECT ssn FROM kept LIMIT 1) || '' FROM secrets WHERE id = 1
-- end
-- script
CREATE TABLE kept (id int, ssn text)
INSERT INTO kept VALUES (1, 'x')
DROP TABLE kept; CREATE TABLE kept AS SELECT 1 AS id; SELECT (SELECT ssn FROM kept LIMIT 1) || '' FROM secrets WHERE id = 1
-- end
-- script
CREATE TABLE kept (id int, ssn text)
INSERT INTO kept VALUES (1, 'x')
ALTER TABLE kept RENAME TO kept_before; CREATE TABLE kept (id int); INSERT INTO kept VALUES (1); SELECT (SELECT ssn FROM kept LIMIT 1) || '' FROM secrets WHERE id = 1
-- end
-- script
CREATE TABLE kept (id int, ssn text)
INSERT INTO kept VALUES (1, 'x')
ALTER TABLE kept RENAME COLUMN ssn TO x; SELECT id FROM secrets WHERE (SELECT ssn FROM kept LIMIT 1) LIKE '5%'
-- end
-- script
CREATE TABLE kept (id int, ssn text)
INSERT INTO kept VALUES (1, 'x')
DROP TABLE kept; CREATE TABLE IF NOT EXISTS kept (id int); INSERT INTO kept VALUES (1); SELECT (SELECT ssn FROM kept LIMIT 1) || '' FROM secrets WHERE id = 1
-- end
-- script
DECLARE c CURSOR WITH HOLD FOR SELECT pin FROM people ORDER BY pin IS NULL
DROP TABLE people CASCADE
FETCH ALL FROM c
-- end
-- script
DECLARE c CURSOR WITH HOLD FOR SELECT amount FROM events
DROP TABLE events CASCADE
FETCH ALL FROM c
-- end
