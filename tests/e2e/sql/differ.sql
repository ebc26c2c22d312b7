-- What the differential fuzzer's statements run on. `src/differ/schema.rs` describes it to the
-- generator, and `src/differ/worlds.rs` fills it.
SET ROLE keeper;

CREATE TYPE mood AS ENUM ('low', 'mid', 'high', 'top');
CREATE TYPE pair AS (l text, r int8);
CREATE DOMAIN code AS varchar(30) CHECK (length(VALUE) > 2);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);

CREATE TABLE dept (dept text PRIMARY KEY, head text, budget int NOT NULL CHECK (budget > 0));
CREATE TABLE plain (
    id int PRIMARY KEY, body text NOT NULL, n int UNIQUE, amount numeric(10, 2), d date, at timestamptz,
    j jsonb, tags text[], small positive, kind mood, ok bool, u uuid, raw bytea, spot pair, big int8
);

-- Masked: from `ssn` to `vip`.
CREATE TABLE person (
    id int PRIMARY KEY,
    name text NOT NULL,
    dept text REFERENCES dept,
    cap int NOT NULL DEFAULT 1000000000,
    note text,
    joined date,
    ssn text UNIQUE,
    email varchar(40),
    phone varchar(20),
    badge code,
    pin int,
    card int8,
    salary numeric(14, 2),
    born date,
    seen timestamptz,
    token uuid,
    profile jsonb,
    raw bytea,
    tags text[],
    grade mood,
    home pair,
    vip bool,
    twin text GENERATED ALWAYS AS (lower(ssn)) STORED,
    CONSTRAINT below_cap CHECK (pin <= cap)
);
CREATE INDEX ON person (name);

-- Masked: memo, fee.
CREATE TABLE orders (
    id int PRIMARY KEY, person int REFERENCES person, amount numeric(10, 2), state mood, placed timestamptz,
    memo text, fee int8
);
-- Masked, as the column it references.
CREATE TABLE refs (id int PRIMARY KEY, label text, ssn_ref text REFERENCES person (ssn));
-- Masked: amount.
CREATE TABLE event (id int, region text, amount int, label text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE event_eu PARTITION OF event FOR VALUES IN ('eu');
CREATE TABLE event_us PARTITION OF event FOR VALUES IN ('us');
-- Masked: chip.
CREATE TABLE animal (id int PRIMARY KEY, name text, chip text);
CREATE TABLE dog (breed text) INHERITS (animal);

CREATE VIEW v_person AS SELECT id, name, ssn AS s, salary, pin AS p, dept FROM person;
CREATE VIEW v_nested AS SELECT v.id AS i, v.s AS word, v.name || '.' AS dotted, d.head FROM v_person v LEFT JOIN dept d USING (dept);
CREATE VIEW v_open AS SELECT p.id, p.name, d.head, p.cap FROM person p JOIN dept d ON d.dept = p.dept;
CREATE VIEW v_made AS SELECT id, upper(ssn) AS up, email || '!' AS bang, pin AS half, name FROM person;
CREATE VIEW v_union AS SELECT id, ssn AS v FROM person UNION ALL SELECT id + 100, body FROM plain;
CREATE MATERIALIZED VIEW mv_person AS SELECT id, ssn AS s, name, card FROM person WITH NO DATA;

CREATE FUNCTION ssn_of(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM person WHERE id = $1';
CREATE FUNCTION name_of(whose int) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC SELECT p.name FROM person p WHERE p.id = whose; END;
CREATE FUNCTION names() RETURNS TABLE (i int, who text) LANGUAGE sql STABLE AS 'SELECT id, name FROM person ORDER BY id';
CREATE FUNCTION ssns() RETURNS TABLE (i int, s text) LANGUAGE sql STABLE AS 'SELECT id, ssn FROM person ORDER BY id';
CREATE FUNCTION people() RETURNS SETOF person LANGUAGE sql STABLE AS 'SELECT * FROM person ORDER BY id';
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION ssn_pl(int) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT ssn FROM person WHERE id = $1); END';
CREATE FUNCTION say(text) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN 1; END';
-- Composite values in FROM are as many columns as they have fields.
CREATE FUNCTION one_pair(OUT p pair) LANGUAGE sql STABLE AS 'SELECT ROW(''x'', 1)::pair';
CREATE FUNCTION table_pair() RETURNS TABLE (p pair) LANGUAGE sql STABLE AS 'SELECT ROW(''x'', 1)::pair';
CREATE FUNCTION set_pair() RETURNS SETOF pair LANGUAGE sql STABLE AS 'SELECT ROW(''x'', 1)::pair';
CREATE FUNCTION pl_pair() RETURNS pair LANGUAGE plpgsql STABLE AS 'BEGIN RETURN ROW(''x'', 1)::pair; END';
CREATE FUNCTION same(anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT $1';
RESET ROLE;
