-- A column of every built-in type, each with a value that is easy to recognise; all `secret_…` columns
-- are masked in tests. `plain` is not.

-- PostgreSQL 13 has no multiranges.
SELECT current_setting('server_version_num')::int >= 140000 AS has_multirange \gset
\if :has_multirange
    \set multirange int8multirange
    \set multirange_value '{[8987654321987654321,8987654321987654399)}'
\else
    \set multirange int8range
    \set multirange_value '[8987654321987654321,8987654321987654399)'
\endif

CREATE TYPE mood AS ENUM ('sadmarker', 'happymarker');
CREATE DOMAIN postcode AS text CHECK (length(VALUE) > 2);
CREATE TYPE pair AS (left_part text, right_part int8);

CREATE TABLE vault (
    id                 int PRIMARY KEY,
    plain              text,
    secret_bool        bool,
    secret_int2        int2,
    secret_int4        int4,
    secret_int8        int8,
    secret_float4      float4,
    secret_float8      float8,
    secret_numeric     numeric,
    secret_numeric_p   numeric(14, 3),
    secret_money       money,
    secret_text        text,
    secret_varchar     varchar(40),
    secret_varchar_s   varchar(4),
    secret_char        char(16),
    secret_name        name,
    secret_qchar       "char",
    secret_bytea       bytea,
    secret_date        date,
    secret_time        time,
    secret_timetz      timetz,
    secret_timestamp   timestamp,
    secret_timestamptz timestamptz,
    secret_interval    interval,
    secret_uuid        uuid,
    secret_json        json,
    secret_jsonb       jsonb,
    secret_jsonpath    jsonpath,
    secret_xml         xml,
    secret_inet        inet,
    secret_cidr        cidr,
    secret_macaddr     macaddr,
    secret_macaddr8    macaddr8,
    secret_bit         bit(64),
    secret_varbit      varbit,
    secret_point       point,
    secret_line        line,
    secret_lseg        lseg,
    secret_box         box,
    secret_path        path,
    secret_polygon     polygon,
    secret_circle      circle,
    secret_tsvector    tsvector,
    secret_tsquery     tsquery,
    secret_int4range   int4range,
    secret_int8range   int8range,
    secret_numrange    numrange,
    secret_tsrange     tsrange,
    secret_tstzrange   tstzrange,
    secret_daterange   daterange,
    secret_multirange  :multirange,
    secret_oid         oid,
    secret_xid         xid,
    secret_tid         tid,
    secret_lsn         pg_lsn,
    secret_snapshot    pg_snapshot,
    secret_regclass    regclass,
    secret_mood        mood,
    secret_postcode    postcode,
    secret_pair        pair,
    secret_bools       bool[],
    secret_ints        int4[],
    secret_bigints     int8[],
    secret_texts       text[],
    secret_numerics    numeric[],
    secret_uuids       uuid[],
    secret_times       timestamptz[],
    secret_jsonbs      jsonb[],
    secret_byteas      bytea[],
    secret_moods       mood[]
);

INSERT INTO vault VALUES (
    1, 'visible', true, 31337, 1987654321, 8987654321987654321, 31337.25, 31337.0009765625,
    987654321.123456789, 98765432109.876, 98765.43, 'top-marker-text', 'varchar-marker-value', 'vmrk',
    'char-marker-16ab', 'name_marker_value', 'Q', '\xdeadbeefcafef00d', '1987-06-05', '12:34:56.789123',
    '12:34:56.789123+05', '1987-06-05 04:03:02.123456', '1987-06-05 04:03:02.123456+00',
    '17 years 5 mons 3 days 04:05:06.789', 'a1b2c3d4-e5f6-4711-8899-aabbccddeeff',
    '{"json-marker": 4711471147}', '{"jsonb-marker": 4711471147}', '$."path-marker"[*]', '<xml-marker/>',
    '203.0.113.77/27', '198.51.100.64/26', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
    B'1101111010101101101111101110111111001010111111101111000000001101', B'11011110101011011011111011101111',
    '(31337.5,4711.25)', '{31337,4711,1147}', '[(31337.5,4711.25),(1147.75,7411.5)]',
    '((31337.5,4711.25),(1147.75,7411.5))', '[(31337.5,4711.25),(1147.75,7411.5)]',
    '((31337.5,4711.25),(1147.75,7411.5),(1.5,2.5))', '<(31337.5,4711.25),1147.75>',
    'vectormarker:3', 'querymarker & othermarker', '[1987654321,1987654399)', '[8987654321987654321,8987654321987654399)',
    '[31337.125,99887.625)', '["1987-06-05 04:03:02","1988-06-05 04:03:02")',
    '["1987-06-05 04:03:02+00","1988-06-05 04:03:02+00")', '[1987-06-05,1988-06-05)',
    :'multirange_value', 3987654321, '3987654321', '(398765,4321)',
    'DEADBEEF/CAFEF00D', '398765:398799:398770', 'pg_class', 'happymarker', 'PC-marker-99', '("pair-marker",8987654321987654321)',
    '{t,f,t}', '{1987654321,1987654322}', '{8987654321987654321}', '{"array-marker-one","array-marker-two"}',
    '{987654321.123456789}', '{a1b2c3d4-e5f6-4711-8899-aabbccddeeff}', '{"1987-06-05 04:03:02.123456+00"}',
    '{"{\"jsonb-array-marker\": 1}"}', '{"\\xdeadbeefcafef00d"}', '{happymarker,sadmarker}'
);
INSERT INTO vault (id, plain) VALUES (2, 'all the others are NULL here');

CREATE VIEW card_view AS SELECT id AS number, credit_card AS pan FROM customers;
CREATE FUNCTION card_of(integer) RETURNS text LANGUAGE sql STABLE AS
    'SELECT credit_card FROM customers WHERE id = $1';
CREATE TABLE notes (id serial PRIMARY KEY, body text NOT NULL);
CREATE TABLE numbers (id int8 PRIMARY KEY, label text);
