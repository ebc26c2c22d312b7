-- Errors and notices: that there is one, and what it says.
SELECT ssn::int FROM secrets WHERE id = 1
SELECT ssn::int FROM secrets WHERE id = 3
SELECT ssn::date, ssn::uuid FROM secrets WHERE id = 1
SELECT ssn::bool FROM secrets WHERE id = 1
SELECT ssn::regclass FROM secrets WHERE id = 1
SELECT ssn::jsonb FROM secrets WHERE id = 3
SELECT ssn::text[] FROM secrets WHERE id = 1
SELECT ssn::mood FROM secrets WHERE id = 1
SELECT ssn::xml FROM secrets WHERE id = 1
SELECT ('<' || ssn)::xml FROM secrets WHERE id = 1
SELECT ('x' || ssn)::int FROM secrets WHERE id = 1
SELECT int4(ssn) FROM secrets WHERE id = 3
SELECT CAST(ssn || 'x' AS numeric) FROM secrets WHERE id = 1
SELECT ssn::inet FROM secrets WHERE id = 1
SELECT ssn::pair FROM secrets WHERE id = 1
SELECT to_date(ssn, 'YYYY-MM-DD') FROM secrets WHERE id = 1
SELECT to_regclass(ssn), to_regtype(ssn), to_regproc(ssn) FROM secrets WHERE id = 3
SELECT set_config(ssn, 'x', true) FROM secrets WHERE id = 1
SELECT current_setting(ssn) FROM secrets WHERE id = 1
-- direct-same: no such setting either way
SELECT current_setting('a.' || ssn, true) FROM secrets WHERE id = 1
SELECT 1 / (length(ssn) - 11) FROM secrets WHERE id = 1
SELECT 1 / (salary - 1000) FROM secrets WHERE id = 1
SELECT 1 / (CASE WHEN ssn LIKE '1%' THEN 0 ELSE 1 END) FROM secrets WHERE id = 1
SELECT salary::int2 FROM secrets WHERE id = 1
SELECT card::int FROM secrets WHERE id = 1
SELECT card * card FROM secrets WHERE id = 1
SELECT sqrt(card - 10) FROM secrets WHERE id = 5
SELECT chr(salary) FROM secrets WHERE id = 1
SELECT repeat('x', salary * 100000) IS NULL FROM secrets WHERE id = 1
SELECT (ARRAY[1, 2, 3])[account] FROM secrets WHERE id = 1
SELECT salary::text::mood FROM secrets WHERE id = 1
SELECT born::timestamptz FROM secrets WHERE id = 2
SELECT balance::float4 FROM secrets WHERE id = 1
SELECT pg_sleep(0), raw::jsonb FROM secrets WHERE id = 1
SELECT get_byte(token, 1) FROM secrets WHERE id = 1
SELECT regexp_match('x', repeat('(', length(ssn) - 4) || ')))))))') FROM secrets WHERE id = 1
SELECT '6x' LIKE ssn || '\' FROM secrets WHERE id = 4
SELECT to_tsquery(ssn || ' &') FROM secrets WHERE id = 1
SELECT convert(token, 'UTF8', 'LATIN1') FROM secrets WHERE id = 1
SELECT convert_from(token, 'UTF8') FROM secrets WHERE id = 1
SELECT has_table_privilege(ssn, 'select') FROM secrets WHERE id = 1
SELECT nextval(ssn) FROM secrets WHERE id = 1
SELECT make_date(salary, 1, 1) FROM secrets WHERE id = 1
SELECT jsonb_path_query('1', ssn::jsonpath) FROM secrets WHERE id = 1
SELECT (SELECT 1 FROM generate_series(1, 2) g WHERE s.vip) FROM secrets s WHERE id = 1
SELECT (SELECT id FROM notes WHERE n < s.salary) FROM secrets s WHERE id = 2
-- direct-same: the error does not quote it
SELECT dblink_connect(ssn) FROM secrets WHERE id = 1
INSERT INTO notes SELECT account, 'x', 0 FROM secrets WHERE id = 4
INSERT INTO secrets (id, name, salary) SELECT 99, 'x', 999999 + salary FROM secrets WHERE id = 1
-- direct-same: the error is about what the client wrote
INSERT INTO secrets (id, name, cap) VALUES (1, 'x', 1)
-- direct-same: the error is about what the client wrote
INSERT INTO secrets (id, name, salary, cap) VALUES (50, 'x', 5, 1)
-- direct-same: the error is about what the client wrote
INSERT INTO secrets (id, name) VALUES (50, NULL)
UPDATE secrets SET name = NULL WHERE id = 1
UPDATE secrets SET cap = -1 WHERE id = 1
-- direct-same: the error is about what the client wrote
UPDATE secrets SET id = 2 WHERE id = 1
-- direct-same: the error is about what the client wrote
UPDATE secrets SET account = 77 WHERE id = 1
-- direct-same: the error is about what the client wrote
UPDATE secrets SET name = 1 / 0 WHERE id = 1
UPDATE secrets SET salary = 2000000 WHERE id = 1
DELETE FROM secrets WHERE id = 1 AND ssn::int > 0
DO $$ BEGIN RAISE NOTICE '%', (SELECT ssn FROM secrets WHERE id = 1); END $$
DO $$ BEGIN RAISE EXCEPTION '%', (SELECT ssn FROM secrets WHERE id = 1) USING HINT = 'h', DETAIL = 'd'; END $$
DO $$ DECLARE v text; BEGIN SELECT ssn INTO v FROM secrets WHERE id = 1; RAISE WARNING USING MESSAGE = v, COLUMN = v, TABLE = v; END $$
DO $$ BEGIN EXECUTE 'SELECT ' || quote_ident((SELECT ssn FROM secrets WHERE id = 1)); END $$
DO $$ BEGIN PERFORM pg_notify('c', ssn) FROM secrets WHERE id = 1; RAISE NOTICE 'n%', (SELECT length(ssn) FROM secrets WHERE id = 1); END $$
DO $$ BEGIN ASSERT (SELECT vip FROM secrets WHERE id = 1), 'not'; END $$
DO LANGUAGE plpgsql 'BEGIN IF (SELECT salary FROM secrets WHERE id = 1) > 5000 THEN PERFORM 1/0; END IF; END'
SELECT (ssn).uuid FROM secrets WHERE id = 1
SELECT (s.ssn).jsonb FROM secrets s WHERE id = 3
SELECT (ssn).mood FROM secrets WHERE id = 1
SELECT (ssn)._text FROM secrets WHERE id = 1
