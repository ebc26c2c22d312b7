-- What is kept in the catalog and run later: functions in views, defaults, domains, checks.
SELECT since FROM late
SELECT attmissingval FROM pg_attribute WHERE attrelid = 'late'::regclass AND attname = 'since'
SELECT attmissingval::text LIKE '%hidden%' AS is_a FROM pg_attribute WHERE attname = 'since'
SELECT * FROM pg_attribute WHERE attrelid = 'late'::regclass AND attname = 'since'
SELECT a FROM pg_attribute a WHERE attrelid = 'late'::regclass AND attname = 'since'
SELECT row_to_json(a) FROM pg_catalog.pg_attribute a WHERE attname = 'since'
-- script
SET search_path = tenant, public
SELECT * FROM v_letters ORDER BY id
SELECT id FROM v_letters WHERE b LIKE 'hidden%'
-- end
-- script
SET search_path = tenant, public
DECLARE c CURSOR WITH HOLD FOR SELECT b FROM v_letters
FETCH ALL FROM c
-- end
-- script
CREATE VIEW kept AS SELECT letter_of(1) AS x
SET search_path = tenant, public
SELECT x FROM public.kept
-- end
-- script
CREATE VIEW kept AS SELECT id FROM letters WHERE letter_of(1) LIKE 'hidden%'
SET search_path = tenant, public
SELECT count(*) FROM public.kept
-- end
-- script
SET search_path = tenant, public
REFRESH MATERIALIZED VIEW public.mv_letters
TABLE public.mv_letters
-- end
-- script
CREATE MATERIALIZED VIEW kept AS SELECT letter_of(1) AS x WITH NO DATA
SET search_path = tenant, public
REFRESH MATERIALIZED VIEW public.kept
TABLE public.kept
-- end
-- script
CREATE TABLE kept (v text, CHECK (letter_of(1) NOT LIKE v))
SET search_path = tenant, public
INSERT INTO public.kept VALUES ('hidden%')
-- end
-- script
CREATE TABLE kept (id int, x text DEFAULT letter_of(1))
SET search_path = tenant, public
INSERT INTO public.kept (id) VALUES (1) RETURNING x
-- end
-- script
SET search_path = tenant, public
INSERT INTO copied_letters VALUES (2) RETURNING *
TABLE copied_letters
-- end
-- script
SELECT set_config('search_path', 'tenant, public', false), letter_of(1)
SELECT 1
-- end
SELECT letter_of(1) WHERE set_config('search_path', 'tenant, public', false) IS NOT NULL
SELECT to_tenant(), letter_of(1)
WITH x AS MATERIALIZED (SELECT to_tenant() AS u) SELECT u, letter_of(1) FROM x
SELECT moved, letter_of(1) FROM v_to_tenant
COPY (SELECT set_config('search_path', 'tenant, public', false), letter_of(1)) TO STDOUT
INSERT INTO notes SELECT 100, set_config('search_path', 'tenant, public', true) || letter_of(1), 0 RETURNING body
-- script
SELECT count(*) FROM v_to_tenant_pl
SELECT letter_of(1)
-- end
-- script
SELECT id FROM v_notes_ssns WHERE id = 1
TABLE diary
-- end
-- script
SELECT * FROM v_notes_ssns WHERE id = 1
TABLE diary
-- end
-- script
SELECT id FROM v_where_ssns
TABLE diary
-- end
-- script
SELECT id FROM v_notes_ssns_pl
TABLE diary
-- end
-- script
SELECT id FROM v_keeps_ssns
SELECT x FROM copied ORDER BY id
-- end
-- script
SELECT id FROM v_sets_ssns
SELECT current_setting('my.x')
-- end
-- script
REFRESH MATERIALIZED VIEW mv_notes_ssns
TABLE diary
-- end
-- script
INSERT INTO noted (id) VALUES (1)
TABLE diary
-- end
-- script
INSERT INTO v_noted VALUES (1)
TABLE diary
-- end
-- script
INSERT INTO numbered_ssns (id) VALUES (1) RETURNING z
TABLE numbered_ssns
-- end
-- script
INSERT INTO firsts (id) VALUES (1) RETURNING z
TABLE firsts
-- end
-- script
CREATE TABLE kept (id int)
INSERT INTO kept VALUES (1)
ALTER TABLE kept ADD COLUMN x first_ssn
TABLE kept
-- end
-- script
CREATE TEMP TABLE kept (id int, x first_ssn)
INSERT INTO kept (id) VALUES (1)
TABLE kept
-- end
-- script
CREATE TABLE kept (id int, x first_ssn)
INSERT INTO kept (id) VALUES (1)
ALTER DOMAIN first_ssn DROP DEFAULT
TABLE kept
ALTER DOMAIN first_ssn SET DEFAULT ssn_of(1)
-- end
-- script
CREATE TABLE kept (id int, x first_ssn)
INSERT INTO kept (id) VALUES (1)
ALTER TABLE kept ALTER x TYPE text
TABLE kept
-- end
-- script
INSERT INTO v_below (id) VALUES (1)
TABLE below
-- end
-- Relations with the names of PostgreSQL's own, and what else defaults and labels can hide.
-- script
CREATE TABLE pg_stats (tablename text, attname text, most_common_vals text)
SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'secrets' AND attname = 'salary'
DROP TABLE public.pg_stats
-- end
-- script
CREATE TEMP TABLE pg_attribute (attname text, attmissingval text)
SET search_path = pg_catalog, pg_temp
SELECT attmissingval::text FROM pg_attribute WHERE attname = 'since'
-- end
-- script
CREATE TYPE pg_stats AS (tablename text, attname text, most_common_vals text)
SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'secrets' AND attname = 'salary'
DROP TYPE public.pg_stats
-- end
SELECT a.attname, a.* FROM pg_attribute a WHERE attrelid = 'late'::regclass AND attnum = 2
-- script
SELECT noted_given()
TABLE diary
-- end
-- script
SELECT id FROM v_given
TABLE diary
-- end
-- script
INSERT INTO given_rows (id) VALUES (1)
TABLE diary
-- end
SELECT path_given(), letter_of(1)
-- script
SELECT id FROM v_stable
TABLE diary
-- end
-- script
SELECT count(*) FROM v_gathered
TABLE diary
-- end
-- script
INSERT INTO own_path_rows (id) VALUES (1) RETURNING z
TABLE own_path_rows
-- end
-- script
INSERT INTO moved_rows (id) VALUES (1) RETURNING letter_of(1)
SELECT letter_of(1)
-- end
-- script
CREATE TABLE kept (id int)
INSERT INTO kept VALUES (1)
ALTER TABLE kept ADD COLUMN x noted_domain
TABLE diary
-- end
