-- The database of the leak corpus. Two worlds are made from it that differ in nothing but the values
-- of masked columns (a.sql, b.sql). Everything belongs to `keeper`, of whom the gateway's role is a
-- member, so that it may do anything to it and what it makes itself can be dropped at once.

CREATE EXTENSION hstore;
CREATE EXTENSION pgcrypto;
CREATE EXTENSION citext;
CREATE EXTENSION tablefunc;
CREATE EXTENSION dblink;
CREATE EXTENSION pageinspect;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION xml2;

SET ROLE keeper;

CREATE TYPE mood AS ENUM ('low', 'mid', 'high', 'top');
CREATE TYPE pair AS (left_part text, right_part int8);
CREATE TYPE box_of_text AS (v text);

CREATE TABLE accounts (id int PRIMARY KEY, owner text);
CREATE TABLE depts (dept text PRIMARY KEY, head text);

-- Masked: all but id, name, dept, cap.
CREATE TABLE secrets (
    id int PRIMARY KEY,
    name text NOT NULL,
    dept text,
    cap int NOT NULL DEFAULT 1000000,
    ssn text UNIQUE,
    email text,
    code text,
    badge text,
    card int8,
    salary int,
    balance numeric,
    born date,
    vip bool,
    profile jsonb,
    raw json,
    token bytea,
    tags text[],
    home pair,
    grade mood,
    account int REFERENCES accounts,
    plain_ssn text GENERATED ALWAYS AS (replace(ssn, '-', '')) STORED UNIQUE,
    CONSTRAINT below_cap CHECK (salary <= cap),
    CONSTRAINT one_email UNIQUE (dept, email)
);
CREATE INDEX ON secrets (name, ssn);

CREATE TABLE notes (id int PRIMARY KEY, body text, n int);
CREATE TABLE refs (id int PRIMARY KEY, ssn_ref text REFERENCES secrets (ssn));
CREATE TABLE inbox (id int PRIMARY KEY, body text);

-- Masked: pin.
CREATE TABLE people (id int PRIMARY KEY, name text, pin text);
CREATE TABLE people_eu (country text) INHERITS (people);

-- Masked: amount.
CREATE TABLE events (id int, region text, amount int) PARTITION BY LIST (region);
CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('eu');
CREATE TABLE events_us PARTITION OF events FOR VALUES IN ('us');
CREATE TABLE bands (id int, amount int) PARTITION BY RANGE (amount);
CREATE TABLE bands_rest PARTITION OF bands DEFAULT;

CREATE VIEW v_cards AS SELECT id, card AS pan FROM secrets;
CREATE VIEW v_nested AS SELECT id AS i, pan AS number FROM v_cards WHERE id < 100;
CREATE VIEW v_bang AS SELECT id, ssn || '!' AS bang FROM secrets;
CREATE VIEW v_start AS SELECT id, left(badge, 1) AS start, badge AS whole, left(code, 4) AS made FROM secrets;
CREATE VIEW v_writable AS SELECT id, name, dept, cap, ssn, email, salary FROM secrets;
CREATE VIEW v_union AS SELECT id, ssn AS v FROM secrets UNION ALL SELECT id, body FROM notes;
CREATE VIEW v_stats AS SELECT tablename, attname, most_common_vals::text AS common, histogram_bounds::text AS bounds FROM pg_stats;
CREATE MATERIALIZED VIEW mv_ssn AS SELECT id, ssn AS s FROM secrets WITH NO DATA;

CREATE FUNCTION ssn_of(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM secrets WHERE id = $1';
CREATE FUNCTION ssn_named(whose int) RETURNS text LANGUAGE sql STABLE AS 'SELECT s.ssn FROM secrets s WHERE s.id = ssn_named.whose';
CREATE FUNCTION ssn_atomic(whose int) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC SELECT s.ssn FROM secrets s WHERE s.id = whose; END;
CREATE FUNCTION ssn_constant(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ssn FROM secrets WHERE id = $1';
CREATE FUNCTION ssns() RETURNS TABLE (i int, s text) LANGUAGE sql STABLE AS 'SELECT id, ssn FROM secrets ORDER BY id';
CREATE FUNCTION rows_of() RETURNS SETOF secrets LANGUAGE sql STABLE AS 'SELECT * FROM secrets ORDER BY id';
CREATE FUNCTION ssn_pl(int) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT ssn FROM secrets WHERE id = $1); END';
CREATE FUNCTION is_known(text) RETURNS bool LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM secrets WHERE ssn = $1)';
CREATE FUNCTION same(anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION one_pair(OUT p pair) LANGUAGE sql IMMUTABLE AS 'SELECT ROW(''x'', 1)::pair';
CREATE PROCEDURE ssn_proc(whose int, INOUT s text) LANGUAGE sql AS 'SELECT ssn FROM secrets WHERE id = whose';
CREATE FUNCTION to_box(int) RETURNS box_of_text LANGUAGE sql STABLE AS 'SELECT ROW(ssn)::box_of_text FROM secrets WHERE id = $1';
CREATE CAST (int4 AS box_of_text) WITH FUNCTION to_box(int);
-- What an administrator made to call functions that read masked columns.
CREATE DOMAIN unknown_ssn AS text CHECK (NOT is_known(VALUE));
CREATE TABLE badges (id int PRIMARY KEY, holder text DEFAULT ssn_of(1));
CREATE OPERATOR @! (RIGHTARG = int, FUNCTION = ssn_of);
CREATE FUNCTION ssn_like(int, text) RETURNS bool LANGUAGE sql STABLE AS 'SELECT ssn LIKE $2 FROM secrets WHERE id = $1';
CREATE OPERATOR @!~ (LEFTARG = int, RIGHTARG = text, FUNCTION = ssn_like);
RESET ROLE;
