-- Values under another name, inside an expression, or beside others.
SELECT ssn FROM secrets WHERE id = 1
SELECT ssn AS name FROM secrets WHERE id = 1
SELECT s.ssn "name" FROM secrets AS s ORDER BY id
SELECT * FROM secrets ORDER BY id
SELECT s.* FROM secrets s WHERE id = 2
SELECT public.secrets.ssn FROM public.secrets WHERE id = 1
SELECT a, b, c, d, e FROM secrets AS t(a, b, c, d, e) WHERE a = 1
SELECT x FROM (SELECT ssn FROM secrets WHERE id = 1) AS t(x)
SELECT (SELECT ssn FROM secrets WHERE id = 1)
SELECT (SELECT (SELECT s.ssn)) FROM secrets s WHERE id = 1
SELECT ARRAY(SELECT ssn FROM secrets ORDER BY id)
TABLE secrets
SELECT card, salary, balance, born, vip FROM secrets ORDER BY id
SELECT profile, raw, token, tags, home, grade FROM secrets ORDER BY id
SELECT ssn || '' FROM secrets ORDER BY id
SELECT '<' || ssn || '>' FROM secrets ORDER BY id
SELECT ssn::text FROM secrets ORDER BY id
SELECT ssn::varchar FROM secrets ORDER BY id
SELECT CAST(ssn AS text) FROM secrets ORDER BY id
SELECT ssn::varchar(3) FROM secrets ORDER BY id
SELECT ssn::char(2) FROM secrets ORDER BY id
SELECT ssn::name FROM secrets ORDER BY id
SELECT ssn::bytea FROM secrets WHERE id = 1
SELECT card::text FROM secrets ORDER BY id
SELECT salary::text FROM secrets ORDER BY id
SELECT born::text FROM secrets ORDER BY id
SELECT vip::text FROM secrets ORDER BY id
SELECT vip::int FROM secrets ORDER BY id
SELECT profile::text FROM secrets ORDER BY id
SELECT token::text FROM secrets ORDER BY id
SELECT tags::text FROM secrets ORDER BY id
SELECT home::text FROM secrets ORDER BY id
SELECT grade::text FROM secrets ORDER BY id
SELECT upper(ssn) FROM secrets ORDER BY id
SELECT lower(email) FROM secrets ORDER BY id
SELECT reverse(ssn) FROM secrets ORDER BY id
SELECT substr(ssn, 1, 1) FROM secrets ORDER BY id
SELECT substring(ssn FROM 2 FOR 2) FROM secrets ORDER BY id
SELECT substring(ssn FROM '[0-9]+') FROM secrets ORDER BY id
SELECT substring(ssn SIMILAR '%#"[0-9]#"%' ESCAPE '#') FROM secrets ORDER BY id
SELECT left(ssn, 3), right(ssn, 4) FROM secrets ORDER BY id
SELECT split_part(ssn, '-', 1) FROM secrets ORDER BY id
SELECT overlay(ssn PLACING 'x' FROM 1) FROM secrets ORDER BY id
SELECT translate(ssn, '0123456789', 'abcdefghij') FROM secrets ORDER BY id
SELECT replace(ssn, '-', '') FROM secrets ORDER BY id
SELECT repeat(ssn, 2) FROM secrets ORDER BY id
SELECT lpad(ssn, 30, 'x'), rpad(ssn, 30, 'x') FROM secrets ORDER BY id
SELECT trim(ssn), ltrim(ssn, '1'), rtrim(ssn, '9'), btrim(ssn, '19') FROM secrets ORDER BY id
SELECT initcap(email) FROM secrets ORDER BY id
SELECT position('-' IN ssn) FROM secrets ORDER BY id
SELECT strpos(ssn, '9') FROM secrets ORDER BY id
SELECT starts_with(ssn, '1') FROM secrets ORDER BY id
SELECT ascii(ssn) FROM secrets ORDER BY id
SELECT chr(ascii(ssn) + 1) FROM secrets WHERE id = 1
SELECT to_hex(card) FROM secrets ORDER BY id
SELECT to_char(salary, '999999') FROM secrets ORDER BY id
SELECT to_char(born, 'YYYY') FROM secrets WHERE id > 2 ORDER BY id
SELECT to_number(ssn, '999') FROM secrets WHERE id = 1
SELECT format('%s', ssn) FROM secrets ORDER BY id
SELECT format('%L', ssn), format('%I', ssn) FROM secrets WHERE id = 1
SELECT quote_literal(ssn), quote_ident(ssn), quote_nullable(ssn) FROM secrets ORDER BY id
SELECT concat(ssn), concat(ssn, '-', card), concat_ws('/', ssn, email) FROM secrets ORDER BY id
SELECT concat(s) FROM secrets s WHERE id = 1
SELECT concat_ws(ssn, 'a', 'b') FROM secrets ORDER BY id
SELECT encode(ssn::bytea, 'hex') FROM secrets WHERE id = 1
SELECT encode(token, 'base64'), encode(token, 'hex'), encode(token, 'escape') FROM secrets ORDER BY id
SELECT convert_to(ssn, 'UTF8') FROM secrets ORDER BY id
SELECT convert_from(token, 'LATIN1') FROM secrets WHERE id = 3
SELECT decode(replace(ssn, '-', '') || '0', 'hex') FROM secrets WHERE id = 1
SELECT md5(ssn), md5(card::text) FROM secrets ORDER BY id
SELECT sha256(convert_to(ssn, 'UTF8')), sha224(token), sha512(token) FROM secrets ORDER BY id
SELECT hashtext(ssn), hashtextextended(ssn, 1), hash_array(tags), hash_numeric(balance), hashint4(salary), hashint8(card) FROM secrets ORDER BY id
SELECT digest(ssn, 'sha1'), hmac(ssn, 'k', 'md5') FROM secrets ORDER BY id
SELECT crypt(ssn, '$1$abcdefgh$') FROM secrets ORDER BY id
SELECT pgp_sym_encrypt(ssn, 'key') IS NOT NULL, length(pgp_sym_encrypt(ssn, 'key')) FROM secrets ORDER BY id
SELECT armor(ssn::bytea) FROM secrets WHERE id = 1
SELECT crc.c FROM secrets s, LATERAL (SELECT hashtext(s.ssn) AS c) crc ORDER BY s.id
SELECT length(ssn), char_length(ssn), octet_length(ssn), bit_length(ssn) FROM secrets ORDER BY id
SELECT pg_column_size(ssn), pg_column_size(s) FROM secrets s ORDER BY id
SELECT get_byte(token, 0) FROM secrets WHERE id < 5 ORDER BY id
SELECT get_bit(token, 0) FROM secrets WHERE id < 5 ORDER BY id
SELECT set_byte(token, 0, 1), bit_count(token), substr(token, 1, 1) FROM secrets WHERE id < 5 ORDER BY id
SELECT similarity(ssn, '123'), show_trgm(ssn) FROM secrets ORDER BY id
SELECT ssn <-> '123' FROM secrets ORDER BY id
SELECT normalize(email), email IS NFC NORMALIZED FROM secrets ORDER BY id
SELECT unistr(ssn), parse_ident('a' || ssn, false) FROM secrets WHERE id = 1
SELECT string_to_array(ssn, '-') FROM secrets ORDER BY id
SELECT string_to_table(ssn, '-') FROM secrets WHERE id = 1
SELECT regexp_replace(ssn, '(.).*', '\1') FROM secrets ORDER BY id
SELECT regexp_matches(ssn, '(\d+)-(\d+)') FROM secrets ORDER BY id
SELECT regexp_match(ssn, '\d+') FROM secrets ORDER BY id
SELECT regexp_split_to_array(ssn, '') FROM secrets ORDER BY id
SELECT regexp_split_to_table(ssn, '-') FROM secrets ORDER BY id
SELECT regexp_count(ssn, '\d'), regexp_instr(ssn, '-'), regexp_like(ssn, '^1'), regexp_substr(ssn, '\d+') FROM secrets ORDER BY id
SELECT salary + 1, salary - 1, salary * 2, salary / 2, salary % 2, -salary FROM secrets ORDER BY id
SELECT salary & 1, salary | 1, salary # 1, ~salary, salary << 1, salary >> 1 FROM secrets ORDER BY id
SELECT card % 10, card / 1000 FROM secrets ORDER BY id
SELECT abs(salary), sign(salary), sqrt(salary), power(salary, 2), ceil(balance), round(balance, 1), log(salary + 1) FROM secrets WHERE id > 1 ORDER BY id
SELECT salary > 1500, salary = 1000, salary <> 7, salary BETWEEN 1 AND 3000 FROM secrets ORDER BY id
SELECT width_bucket(salary, 0, 10000, 10), div(balance, 2), mod(salary, 7), gcd(salary, 6), lcm(salary, 6) FROM secrets WHERE id > 1 ORDER BY id
SELECT salary::float8, salary::numeric, salary::bigint, salary::money FROM secrets ORDER BY id
SELECT salary::oid, salary::regclass FROM secrets ORDER BY id
SELECT born + 1, born - date '1980-01-01' FROM secrets ORDER BY id
SELECT age(born), extract(year FROM born), date_part('month', born), date_trunc('year', born) FROM secrets WHERE id > 2 ORDER BY id
SELECT (born, born) OVERLAPS (date '1970-01-01', date '1970-12-31') FROM secrets WHERE id > 2 ORDER BY id
SELECT isfinite(born), make_interval(days => salary) FROM secrets ORDER BY id
SELECT NOT vip, vip AND true, vip OR false, vip IS TRUE, vip IS NOT FALSE, vip IS UNKNOWN FROM secrets ORDER BY id
SELECT vip = true, bool(vip), vip::int * 2 FROM secrets ORDER BY id
SELECT CASE WHEN vip THEN 'yes' ELSE 'no' END FROM secrets ORDER BY id
SELECT CASE ssn WHEN '123-45-6789' THEN 1 ELSE 0 END FROM secrets ORDER BY id
SELECT CASE WHEN ssn LIKE '1%' THEN name END FROM secrets ORDER BY id
SELECT CASE WHEN id = 1 THEN ssn ELSE name END FROM secrets ORDER BY id
SELECT NULLIF(ssn, '123-45-6789') FROM secrets ORDER BY id
SELECT NULLIF(name, ssn), NULLIF(salary, 1000) IS NULL FROM secrets ORDER BY id
SELECT COALESCE(ssn, 'none') FROM secrets ORDER BY id
SELECT COALESCE(NULLIF(ssn, '887x'), name) FROM secrets ORDER BY id
SELECT GREATEST(ssn, '5'), LEAST(ssn, '5') FROM secrets ORDER BY id
SELECT GREATEST(salary, 100) FROM secrets ORDER BY id
SELECT ssn = '123-45-6789', ssn IN ('123-45-6789', '77'), ssn IS DISTINCT FROM '77' FROM secrets ORDER BY id
SELECT ssn LIKE '1%', ssn ILIKE '1%', ssn SIMILAR TO '1%', ssn ~ '^1', ssn ^@ '1' FROM secrets ORDER BY id
SELECT ssn < '5', ssn BETWEEN '1' AND '5', ssn > name FROM secrets ORDER BY id
SELECT ssn = ANY (ARRAY['77', '6']), '77' = ALL (ARRAY[ssn]) FROM secrets ORDER BY id
SELECT ssn COLLATE "C" FROM secrets ORDER BY id
SELECT ROW(ssn, id), (ssn, card) FROM secrets ORDER BY id
SELECT ROW(ssn) = ROW('77'), (ssn, id) < ('5', 1) FROM secrets ORDER BY id
SELECT ROW(s.*) FROM secrets s WHERE id = 1
SELECT s FROM secrets s WHERE id = 1
SELECT secrets FROM secrets WHERE id = 1
SELECT s::text FROM secrets s WHERE id = 1
SELECT (s).ssn FROM secrets s WHERE id = 1
SELECT (s).* FROM secrets s WHERE id = 1
SELECT (ROW(s.*)::secrets).ssn FROM secrets s WHERE id = 1
-- direct-same: there is no such notation for a whole row
SELECT s.text FROM secrets s WHERE id = 1
SELECT (x).f1 FROM (SELECT ROW(ssn) AS x FROM secrets WHERE id = 1) t
SELECT (home).left_part, (home).right_part FROM secrets ORDER BY id
SELECT (home).left_part IS NULL FROM secrets ORDER BY id
SELECT home IS NULL, home IS NOT NULL FROM secrets ORDER BY id
SELECT count((home).left_part) FROM secrets
SELECT (home).* FROM secrets ORDER BY id
SELECT ssn(s) FROM secrets s WHERE id = 1
SELECT length(s.ssn::text) FROM secrets s WHERE id = 1
-- direct-same: there is no such function of a row
SELECT s.length FROM secrets s WHERE id = 1
SELECT tags[1], tags[1:1], tags[2] IS NULL FROM secrets ORDER BY id
SELECT array_length(tags, 1), cardinality(tags), array_dims(tags), array_upper(tags, 1), array_ndims(tags) FROM secrets ORDER BY id
SELECT tags || 'x'::text, 'x'::text || tags, tags || tags FROM secrets ORDER BY id
SELECT tags || ARRAY[['x', 'y']] FROM secrets WHERE id = 1
SELECT ARRAY[tags, ARRAY['x', 'y']] FROM secrets WHERE id = 1
SELECT ARRAY[tags, tags] IS NULL, ARRAY[tags] FROM secrets WHERE id = 2
SELECT array_agg(tags) FROM secrets WHERE id = 2
SELECT array_agg(tags) FROM secrets WHERE id IN (3, 4)
SELECT ARRAY(SELECT tags FROM secrets WHERE id IN (3, 4))
SELECT array_append(tags, 'x'), array_cat(tags, tags), array_remove(tags, 'a'), array_replace(tags, 'a', 'b') FROM secrets ORDER BY id
SELECT array_position(tags, 'a'), array_positions(tags, 'a'), array_to_string(tags, ',') FROM secrets ORDER BY id
SELECT array_to_json(tags), to_json(tags), tags @> '{a}', tags && '{a}', 'a' = ANY (tags) FROM secrets ORDER BY id
SELECT unnest(tags) FROM secrets WHERE id = 1
SELECT unnest(ARRAY[ssn, email]) FROM secrets WHERE id = 1
SELECT ARRAY[ssn, email] FROM secrets WHERE id = 1
SELECT trim_array(tags, 1), array_fill(ssn, ARRAY[2]) FROM secrets WHERE id = 1
SELECT generate_subscripts(tags, 1) FROM secrets WHERE id = 1
SELECT generate_series(1, length(ssn)) FROM secrets WHERE id = 1
SELECT generate_series(1, salary % 7) FROM secrets WHERE id < 3
SELECT int4range(0, salary), int4range(salary, NULL) @> 500 FROM secrets ORDER BY id
SELECT numrange(balance, NULL), daterange(born, NULL) FROM secrets ORDER BY id
SELECT lower(int4range(salary, NULL)), isempty(int4range(7, salary)) FROM secrets WHERE id = 1
SELECT point(salary, 1), box(point(salary, 1), point(0, 0)) FROM secrets ORDER BY id
SELECT to_tsvector('simple', ssn), to_tsquery('simple', '''' || ssn || ''''), plainto_tsquery('simple', ssn) FROM secrets WHERE id = 1
SELECT to_tsvector('simple', ssn) @@ to_tsquery('simple', '123'), ts_rank(to_tsvector(ssn), to_tsquery('123')) FROM secrets ORDER BY id
SELECT ts_headline('simple', ssn, to_tsquery('simple', '123')) FROM secrets ORDER BY id
SELECT grade > 'mid', enum_range(NULL, grade), enum_first(grade) FROM secrets ORDER BY id
SELECT hstore(s) -> 'ssn', hstore('a', ssn), each(hstore('a', ssn)) FROM secrets s WHERE id = 1
SELECT ssn::citext, ssn::citext = '123-45-6789' FROM secrets ORDER BY id
SELECT inet_client_addr() IS NULL, ssn::inet FROM secrets WHERE id = 1
SELECT xid8(card::text), ssn FROM secrets WHERE id = 1
SELECT bit_length(ssn), salary::bit(8) FROM secrets ORDER BY id
SELECT num_nonnulls(NULLIF(ssn, '77')), num_nulls(VARIADIC tags) FROM secrets ORDER BY id
SELECT @! 1, (@! 2) || ''
SELECT @!(id) FROM notes ORDER BY id
SELECT 1::box_of_text
SELECT (1::box_of_text).v
SELECT CAST(2 AS public.box_of_text)
-- The order of a table's rows.
SELECT string_agg(name, ',' ORDER BY ssn) FROM secrets
SELECT 'x' || ssn AS id FROM secrets s ORDER BY s.id
SELECT ARRAY[1]::_box_of_text
SELECT ARRAY[1, 2]::box_of_text[]
-- script
CREATE TYPE kept AS (b box_of_text)
SELECT ROW(1)::kept
-- end
-- script
CREATE TYPE kept AS (b box_of_text)
SELECT ARRAY[ROW(1)]::kept[]
-- end
-- Limits of the server's that a value reaches or not, by its length or shape.
SELECT ARRAY[[[[[[tags]]]]]] IS NULL FROM secrets WHERE id = 3
SELECT (ssn || repeat('x', 1073741819 - 11)) IS NULL FROM secrets WHERE id = 1
SELECT to_jsonb(ssn || repeat('x', 268435444)) IS NULL FROM secrets WHERE id = 1
