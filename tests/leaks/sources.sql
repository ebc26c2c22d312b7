-- CTEs, LATERAL, VALUES, set operations, joins, views, functions, windows, aggregates.
WITH c AS (SELECT ssn AS s FROM secrets WHERE id = 1) SELECT s FROM c
WITH c(x) AS (SELECT ssn FROM secrets WHERE id = 1) SELECT x || '' FROM c
WITH c AS MATERIALIZED (SELECT * FROM secrets) SELECT ssn FROM c ORDER BY id
WITH c AS NOT MATERIALIZED (SELECT * FROM secrets) SELECT card FROM c ORDER BY id
WITH a AS (SELECT ssn s FROM secrets WHERE id = 1), b AS (SELECT s t FROM a), c AS (SELECT t u FROM b) SELECT u FROM c
WITH RECURSIVE r(n, v) AS (SELECT 1, ssn FROM secrets WHERE id = 1 UNION ALL SELECT n + 1, v FROM r WHERE n < 3) SELECT v FROM r
WITH RECURSIVE r(n, v, rest) AS (SELECT 0, '', ssn FROM secrets WHERE id = 1 UNION ALL SELECT n + 1, left(rest, 1), substr(rest, 2) FROM r WHERE n < 4) SELECT v FROM r ORDER BY n
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < (SELECT length(ssn) FROM secrets WHERE id = 1)) SELECT count(*) FROM r
WITH RECURSIVE r(id, v) AS (SELECT id, ssn FROM secrets WHERE id = 1 UNION SELECT s.id, s.ssn FROM secrets s JOIN r ON s.id = r.id + 1) SEARCH DEPTH FIRST BY v SET o SELECT id, o FROM r
WITH RECURSIVE r(id, v) AS (SELECT id, ssn FROM secrets WHERE id = 1 UNION ALL SELECT s.id, s.ssn FROM secrets s JOIN r ON s.id = r.id + 1) CYCLE v SET looped USING path SELECT id, looped, path FROM r
WITH secrets AS (SELECT ssn AS name FROM public.secrets WHERE id = 1) SELECT name FROM secrets
WITH u AS (UPDATE secrets SET name = name WHERE id = 1 RETURNING *) SELECT ssn FROM u
WITH d AS (DELETE FROM secrets WHERE id = 6 RETURNING id), s AS (SELECT ssn FROM secrets WHERE id = 1) SELECT s.ssn FROM s, d
WITH i AS (INSERT INTO notes SELECT 100, ssn, 0 FROM secrets WHERE id = 1 RETURNING body) SELECT body FROM i
SELECT x.v FROM secrets s, LATERAL (VALUES (s.ssn)) AS x(v) WHERE s.id = 1
SELECT x.v FROM secrets s CROSS JOIN LATERAL (SELECT s.ssn || s.name) AS x(v) ORDER BY s.id
SELECT x.* FROM secrets s JOIN LATERAL (SELECT s.card AS c) x ON true ORDER BY s.id
SELECT x FROM secrets s, LATERAL unnest(ARRAY[s.ssn]) AS x WHERE id = 1
SELECT g FROM secrets s, LATERAL generate_series(1, length(s.ssn)) g WHERE id = 1
SELECT x FROM secrets s, LATERAL regexp_split_to_table(s.ssn, '') x WHERE id = 1
SELECT x, o FROM secrets s, LATERAL string_to_table(s.ssn, NULL) WITH ORDINALITY t(x, o) WHERE id = 1
SELECT count(*) FROM secrets s, LATERAL generate_series(1, s.salary % 7) g
SELECT t.x FROM secrets s, ROWS FROM (unnest(s.tags), generate_series(1, 2)) AS t(x, y) WHERE s.id = 1
VALUES ((SELECT ssn FROM secrets WHERE id = 1), 1), ('x', 2)
SELECT column1 FROM (VALUES ((SELECT ssn FROM secrets WHERE id = 1))) v
SELECT ssn FROM secrets WHERE id = 1 UNION ALL SELECT 'x'
SELECT 'x' UNION ALL SELECT ssn FROM secrets WHERE id = 1
SELECT name FROM secrets WHERE id = 1 UNION ALL (SELECT ssn FROM secrets WHERE id = 2)
SELECT ssn FROM secrets UNION SELECT '77'
SELECT '77' INTERSECT SELECT ssn FROM secrets
SELECT '77' EXCEPT SELECT ssn FROM secrets
SELECT '77' EXCEPT ALL SELECT ssn FROM secrets
SELECT ssn FROM secrets EXCEPT ALL SELECT ssn FROM secrets WHERE ssn IS NULL
SELECT a FROM (SELECT id, ssn FROM secrets UNION ALL SELECT 9, 'x') AS t(id, a) ORDER BY id
SELECT 1::oid UNION ALL SELECT card FROM secrets WHERE id = 1
SELECT 1::regclass UNION ALL SELECT card FROM secrets WHERE id = 1
SELECT balance FROM secrets WHERE id = 1 UNION ALL SELECT 1::real
SELECT born FROM secrets WHERE id = 2 UNION ALL SELECT timestamptz '2020-01-01'
SELECT COALESCE(NULL::oid, card) FROM secrets WHERE id = 1
SELECT ARRAY[1::oid, card] FROM secrets WHERE id = 1
SELECT x FROM secrets s, LATERAL (VALUES (1::oid), (s.card)) v(x) WHERE id = 1
SELECT lag(card, 1, 5::oid) OVER (ORDER BY id) FROM secrets
SELECT ssn FROM secrets a JOIN notes b USING (id) ORDER BY a.id
SELECT * FROM secrets NATURAL JOIN depts ORDER BY id
SELECT a.id FROM secrets a JOIN secrets b USING (email) ORDER BY a.id, b.id
SELECT s.id, p.id FROM secrets s JOIN people p ON s.ssn = p.pin
SELECT count(*) FROM secrets a JOIN secrets b ON a.email = b.email
SELECT count(*) FROM secrets s JOIN notes n ON n.n = s.salary / 100
SELECT n.id FROM notes n LEFT JOIN secrets s ON s.salary = n.n * 100 WHERE s.id IS NULL ORDER BY 1
SELECT j.ssn FROM (secrets s JOIN notes n USING (id)) AS j ORDER BY j.id
SELECT u.id, s.ssn FROM secrets s JOIN notes n USING (id) AS u ORDER BY 1
SELECT * FROM secrets s FULL JOIN notes n ON s.id = n.id ORDER BY s.id, n.id
SELECT x.a FROM (secrets CROSS JOIN (VALUES (1)) v(k)) AS x(i, nm, d, c, a) ORDER BY i
SELECT pan FROM v_cards ORDER BY id
SELECT number FROM v_nested ORDER BY i
SELECT bang FROM v_bang ORDER BY id
SELECT left(bang, 2) FROM v_bang ORDER BY id
SELECT v FROM v_union ORDER BY id
SELECT v_cards FROM v_cards WHERE id = 1
SELECT s FROM mv_ssn ORDER BY id
SELECT mv_ssn FROM mv_ssn WHERE id = 1
SELECT id FROM v_cards WHERE pan = 42
SELECT ssn_of(1)
SELECT ssn_of(id) FROM notes ORDER BY id
SELECT ssn_named(whose => 1), ssn_atomic(1), ssn_constant(2)
SELECT ssn_named(1) || '', upper(ssn_of(1))
SELECT * FROM ssn_of(1)
SELECT x FROM ssn_of(1) AS x
SELECT * FROM ssns()
SELECT s AS name FROM ssns() WHERE i = 1
SELECT ssns()
SELECT (ssns()).s
SELECT (rows_of()).ssn
SELECT ssn FROM rows_of()
SELECT r FROM rows_of() r LIMIT 1
SELECT f.s FROM notes n, LATERAL ssns() f WHERE f.i = n.id ORDER BY 1
SELECT ssn_pl(1)
SELECT n.id FROM notes n WHERE ssn_pl(n.id) LIKE '1%'
SELECT is_known('77'), is_known('123-45-6789')
SELECT id FROM notes WHERE is_known('77') ORDER BY id
SELECT length(ssn_of(1)), ssn_of(1) = '77'
CALL ssn_proc(1, NULL)
SELECT first_value(ssn) OVER (ORDER BY id) FROM secrets
SELECT last_value(ssn) OVER (ORDER BY id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM secrets
SELECT lag(ssn) OVER w, lead(ssn, 1, 'none') OVER w, nth_value(ssn, 2) OVER w FROM secrets WINDOW w AS (ORDER BY id)
SELECT lag(name, salary % 3) OVER (ORDER BY id) FROM secrets WHERE id < 6
SELECT lag('x'::text, (card % 3)::int) OVER (ORDER BY id) IS NULL FROM secrets WHERE id < 6
SELECT lag(name, salary) OVER (ORDER BY id) IS NULL FROM secrets WHERE id < 6
SELECT lead(name, salary) OVER (ORDER BY id) IS NULL FROM secrets WHERE id < 6
SELECT nth_value(name, salary) OVER () FROM secrets WHERE id = 5
SELECT nth_value(name, account) OVER () IS NULL FROM secrets WHERE id IN (2, 3)
SELECT ntile(salary) OVER (ORDER BY id) FROM secrets WHERE id = 5
SELECT rank() OVER (ORDER BY ssn), id FROM secrets ORDER BY id
SELECT dense_rank() OVER (ORDER BY salary), id FROM secrets ORDER BY id
SELECT row_number() OVER (ORDER BY ssn), id FROM secrets ORDER BY id
SELECT count(*) OVER (PARTITION BY email), id FROM secrets ORDER BY id
SELECT count(*) OVER (ORDER BY salary RANGE BETWEEN 1000 PRECEDING AND CURRENT ROW), id FROM secrets ORDER BY id
-- direct-same: both offsets are larger than the table
SELECT count(*) OVER (ORDER BY id ROWS BETWEEN (SELECT salary FROM secrets WHERE id = 2) PRECEDING AND CURRENT ROW), id FROM secrets ORDER BY id
SELECT sum(salary) OVER (ORDER BY id), avg(salary) OVER () FROM secrets ORDER BY id
SELECT string_agg(ssn, '') OVER (ORDER BY id) FROM secrets
SELECT percent_rank() OVER w, cume_dist() OVER w, id FROM secrets WINDOW w AS (PARTITION BY dept ORDER BY balance) ORDER BY id
SELECT max(ssn), min(ssn), max(salary), min(salary), max(born), min(card) FROM secrets
SELECT sum(salary), avg(salary), stddev(salary), variance(balance), sum(card) FROM secrets
SELECT count(DISTINCT email), count(DISTINCT salary) FROM secrets
SELECT count(*) FILTER (WHERE vip), count(*) FILTER (WHERE ssn LIKE '1%') FROM secrets
SELECT count(NULLIF(vip, false)), count(CASE WHEN salary > 100 THEN 1 END) FROM secrets
SELECT bool_and(vip), bool_or(vip), every(vip) FROM secrets WHERE id = 1
SELECT bit_and(salary), bit_or(salary), bit_xor(salary) FROM secrets
SELECT array_agg(ssn ORDER BY id), array_agg(DISTINCT email) FROM secrets
SELECT string_agg(ssn, ',' ORDER BY id), string_agg(DISTINCT email, ',') FROM secrets
SELECT string_agg(name, ssn ORDER BY id) FROM secrets
SELECT string_agg(token, '' ORDER BY id) FROM secrets
SELECT mode() WITHIN GROUP (ORDER BY salary) FROM secrets
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY salary), percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn) FROM secrets
SELECT percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY salary) FROM secrets
SELECT rank('5') WITHIN GROUP (ORDER BY ssn), dense_rank(500) WITHIN GROUP (ORDER BY salary), cume_dist(500) WITHIN GROUP (ORDER BY salary) FROM secrets
SELECT corr(salary, id), regr_slope(salary, id), covar_pop(salary, id) FROM secrets
SELECT range_agg(int4range(0, salary)) FROM secrets WHERE salary < 100000
SELECT dept, max(ssn) FROM secrets GROUP BY dept ORDER BY dept
SELECT dept, grouping(dept), max(ssn) FROM secrets GROUP BY ROLLUP (dept) ORDER BY 1, 2
SELECT xmlagg(xmlelement(name x, email) ORDER BY id) FROM secrets
SELECT pin FROM people ORDER BY id
SELECT pin FROM ONLY people ORDER BY id
SELECT pin FROM people_eu ORDER BY id
SELECT p::people FROM people_eu p ORDER BY id
SELECT (p::people).pin FROM people_eu p ORDER BY id
SELECT pin FROM people* ORDER BY id
SELECT amount FROM events ORDER BY id
SELECT amount FROM events_eu ORDER BY id
SELECT amount, tableoid::regclass FROM events ORDER BY id
SELECT amount FROM bands ORDER BY id
SELECT plain_ssn FROM secrets ORDER BY id
SELECT left(plain_ssn, 2) FROM secrets ORDER BY id
SELECT * FROM crosstab('SELECT id, name, ssn FROM secrets ORDER BY 1') AS t(id int, a text)
-- direct-same: the password of the role is not known to the statement
SELECT * FROM dblink('dbname=' || current_database(), 'SELECT ssn FROM secrets') AS t(s text)
-- Ways that need two steps of thought: what a value is cast to, who else has its name, what a key says.
SELECT max(x) FROM (SELECT card AS x FROM secrets WHERE id = 1 UNION ALL SELECT 1::oid) t
SELECT (SELECT card FROM secrets WHERE id = 1 UNION ALL SELECT 5::regclass LIMIT 1) IS NULL
WITH c(x) AS (SELECT 1::oid UNION ALL SELECT card FROM secrets WHERE id = 1) SELECT count(x) FROM c
WITH RECURSIVE r(x, n) AS (SELECT 1::oid, 1 UNION ALL SELECT s.card, n + 1 FROM r, secrets s WHERE n < 2 AND s.id = 1) SELECT count(*) FROM r
SELECT count(COALESCE(NULL::regtype, card)) FROM secrets WHERE id = 1
SELECT count(x) FROM secrets s, LATERAL (SELECT 1::oid UNION ALL SELECT s.card) v(x) WHERE s.id = 1
SELECT array_agg(x) FROM (SELECT tags AS x FROM secrets WHERE id IN (3, 4)) t
SELECT array_agg(x) FROM (SELECT COALESCE(tags, '{}') AS x FROM secrets WHERE id IN (3, 4)) t
SELECT count(x) FROM (SELECT ARRAY[tags, '{x,y}'] AS x FROM secrets WHERE id = 1 OFFSET 0) t
SELECT count(x) FROM (SELECT tags || '{{x,y}}' AS x FROM secrets WHERE id = 1) t
SELECT to_jsonb(t) FROM (SELECT raw FROM secrets WHERE id = 1) t
SELECT jsonb_agg(t) FROM (SELECT id, raw FROM secrets WHERE id = 1) t
SELECT count((x).left_part) FROM (SELECT home AS x FROM secrets) t
SELECT (t.s).home.left_part IS NULL FROM (SELECT s FROM secrets s ORDER BY id) t
SELECT ((s.*)::secrets).home IS NULL FROM secrets s ORDER BY id
SELECT t IS NULL FROM (SELECT (home).* FROM secrets ORDER BY id) t
SELECT count(x) FROM (SELECT lag(name, account) OVER (ORDER BY id) AS x FROM secrets WHERE id < 6) t
SELECT count(x) FROM (SELECT nth_value(name, account) OVER () AS x FROM secrets WHERE id IN (1, 2)) t
-- In FROM a row is as many columns as it has fields, and `unnest` of several arrays as many as they are:
-- columns named by position are others than a count of functions would say.
SELECT c5 || '' FROM (SELECT * FROM unnest(ARRAY[1], ARRAY[2]) u, people, notes) s(c1, c2, c3, c4, c5, c6) ORDER BY c6, c5 LIMIT 3
SELECT c5 || '' FROM (SELECT * FROM unnest(ARRAY[ROW('x', 1)::pair]) u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT c6 || '' FROM (SELECT * FROM unnest('a b'::tsvector) u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT c5 || '' FROM (SELECT * FROM COALESCE(ROW('x', 1)::pair) u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT c5 || '' FROM (SELECT * FROM CAST(ROW('x', 1) AS pair) u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT c5 || '' FROM (SELECT * FROM NULLIF(ROW('x', 1)::pair, NULL) u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT c5 || '' FROM (SELECT * FROM json_populate_record(NULL::pair, '{}') u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT c5 || '' FROM (SELECT * FROM same(ROW('x', 1)::pair) u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT c5 || '' FROM (SELECT * FROM one_pair() u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT c5 || '' FROM (SELECT * FROM ROWS FROM (unnest(ARRAY[ROW('x', 1)::pair])) u, people, notes) s(c1, c2, c3, c4, c5, c6) LIMIT 3
SELECT s.c3 || '' FROM people a, LATERAL (VALUES ((ROW('x', 1)::pair).*, a.pin, 'z')) s(c1, c2, c3, c4)
UPDATE secrets SET (name, email, dept) = ROW((ROW('x', 1)::pair).*, email) WHERE id = 1 RETURNING dept || ''
-- A name means a column, of a query around too, before it means a row.
SELECT (home).* FROM secrets, (SELECT 1, 2) AS home WHERE id = 1
SELECT (home).left_part FROM secrets, (SELECT 'x' AS left_part) AS home WHERE id = 1
SELECT c2 || '' FROM (SELECT (a).*, b.pin, n.body FROM (SELECT 1, 2, 3) a, (SELECT ROW('x', 1)::pair AS a) z, people b, notes n) s(c0, c1, c2, c3) LIMIT 3
SELECT (SELECT pin::text FROM notes AS pin WHERE id = 1) FROM people
SELECT (SELECT pin || '' FROM unnest(ARRAY[ROW('x', 1)::pair]) AS pin) FROM people
SELECT (SELECT ctid::text FROM v_nested LIMIT 1) FROM (SELECT pin AS ctid FROM people) a
SELECT pin AS z, count(*) FROM people, (SELECT 1) z GROUP BY z ORDER BY 1
-- Any function of one argument can be written like a field.
SELECT (1).ssn_of
SELECT (id).ssn_of FROM notes ORDER BY id
SELECT (n.id).ssn_of FROM notes n ORDER BY n.id
SELECT u.ssn_of FROM abs(1) AS u
SELECT (CASE WHEN true THEN 1 END).ssn_of || ''
-- An unnamed value is called as PostgreSQL calls it: a subquery like its first column.
SELECT y FROM (SELECT (SELECT u.* FROM (SELECT ssn AS y FROM secrets WHERE id = 1) u), (SELECT y.* FROM (SELECT 'c' AS z) y)) q
SELECT (SELECT int4 || '' FROM (SELECT (SELECT 1 + 1)::int4) q) FROM (SELECT ssn AS int4 FROM secrets WHERE id = 1) t
SELECT (SELECT "case" || '' FROM (SELECT CASE WHEN true THEN 1 ELSE (SELECT 1 + 1) END) q) FROM (SELECT ssn AS "case" FROM secrets WHERE id = 1) t
SELECT (SELECT "?column?" || '' FROM (SELECT xmlelement(name a)) q) FROM (SELECT ssn AS "?column?" FROM secrets WHERE id = 1) t
SELECT (SELECT "?column?" || '' FROM (SELECT xmlforest('a' AS b)) q) FROM (SELECT ssn AS "?column?" FROM secrets WHERE id = 1) t
SELECT (SELECT "xml" || '' FROM (SELECT xmlparse(content 'a')::xml) q) FROM (SELECT ssn AS "xml" FROM secrets WHERE id = 1) t
SELECT (SELECT date_part || '' FROM (SELECT EXTRACT(year FROM now())) q) FROM (SELECT ssn AS date_part FROM secrets WHERE id = 1) t
SELECT (SELECT bool || '' FROM (SELECT true) q) FROM (SELECT ssn AS bool FROM secrets WHERE id = 1) t
SELECT (SELECT v || '' FROM (SELECT (SELECT t.* FROM (SELECT (ROW(ssn)::box_of_text).* FROM secrets WHERE id = 1) t)) q) FROM (SELECT 'a' AS v) o
SELECT name FROM (SELECT (SELECT u.* FROM (SELECT s.ssn AS y) u), s.name FROM secrets s) q ORDER BY y
SELECT DISTINCT ON (y) name FROM (SELECT (SELECT u.* FROM (SELECT s.ssn AS y) u), s.name FROM secrets s) q
SELECT (SELECT u.* FROM (SELECT s.ssn AS y) u), name FROM secrets s ORDER BY y
SELECT system_user || '' FROM (SELECT ssn AS system_user FROM secrets WHERE id = 1) t
WITH "system_user" AS (SELECT ssn || '' FROM secrets) SELECT * FROM system_user
-- In FROM too what is no call has the name that it would have as a column.
SELECT function || '' FROM CAST('a' AS text), (SELECT ssn AS function FROM secrets WHERE id = 1) t
SELECT function || '' FROM NULLIF('a', 'b'), (SELECT ssn AS function FROM secrets WHERE id = 1) t
SELECT function || '' FROM xmlserialize(content '<a/>' AS text), (SELECT ssn AS function FROM secrets WHERE id = 1) t
SELECT (SELECT function || '' FROM ROWS FROM (CAST('a' AS text), CAST('b' AS text)) x) FROM (SELECT ssn AS function FROM secrets WHERE id = 1) t
SELECT (SELECT function.z || '' FROM CAST('a' AS text) LIMIT 1) FROM (SELECT ssn AS z FROM secrets WHERE id = 1) function
SELECT v.v || '' FROM CAST((SELECT t.* FROM (SELECT (ROW(ssn)::box_of_text).* FROM secrets WHERE id = 1) t) AS text)
-- Behind the fields of a row no place is certain.
SELECT column3 || '' FROM (VALUES ((ROW('x', 1)::pair).*, (SELECT ssn FROM secrets WHERE id = 1))) q
SELECT y || '' FROM (SELECT (ROW('x', 1)::pair).*, (SELECT u.* FROM (SELECT ssn AS y FROM secrets WHERE id = 1) u)) q
SELECT q.to_json FROM (SELECT ssn, (ROW('x', 1)::pair).* FROM secrets) q
-- What SEARCH and CYCLE add is in `*` at the level of the WITH only.
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1) SEARCH BREADTH FIRST BY n SET o SELECT c3 || '' FROM (SELECT r.*, t.* FROM r, (SELECT id, ssn FROM secrets WHERE id = 1) t) s(c1, c2, c3)
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1) SEARCH BREADTH FIRST BY n SET o SELECT c3 || '' FROM (SELECT * FROM (r CROSS JOIN (SELECT id, ssn FROM secrets WHERE id = 1) t) j) s(c1, c2, c3)
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1) CYCLE n SET c USING p SELECT (SELECT p || '' FROM (SELECT * FROM r) z) FROM (SELECT ssn AS p FROM secrets WHERE id = 1) t
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1) CYCLE n SET c USING p, s AS (TABLE r) SELECT (SELECT p || '' FROM s) FROM (SELECT ssn AS p FROM secrets WHERE id = 1) t
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1) CYCLE n SET c USING p SELECT c2 || '' FROM (SELECT * FROM r JOIN (SELECT false AS c, ssn FROM secrets) f USING (c)) z(c1, c2) ORDER BY 1
-- A column goes before a row in functional notation.
SELECT ssn(s) FROM (SELECT 'h' AS ssn) s, (SELECT x AS s FROM secrets x WHERE id = 1) z
SELECT (SELECT ssn(s) FROM (SELECT 'h' AS ssn) s) FROM (SELECT x AS s FROM secrets x WHERE id = 1) z
-- Namespaces of XMLTABLE are expressions.
SELECT 1 FROM XMLTABLE(XMLNAMESPACES((SELECT ssn::int::text FROM secrets WHERE id = 1) AS x), '/a' PASSING (xml('<a/>')) COLUMNS v text PATH '.') x
SELECT x.v FROM XMLTABLE(XMLNAMESPACES((SELECT ssn FROM secrets WHERE id = 1) AS x), '/x:a' PASSING (xml('<a xmlns="123-45-6789">y</a>')) COLUMNS v text PATH '.') x
