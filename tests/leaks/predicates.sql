-- Which rows there are, how many, in which order.
SELECT id FROM secrets WHERE ssn = '123-45-6789'
SELECT id FROM secrets WHERE '123-45-6789' = ssn
SELECT id FROM secrets WHERE ssn IN ('123-45-6789', 'x')
SELECT id FROM secrets WHERE ssn = ANY ('{123-45-6789}')
SELECT id FROM secrets WHERE ssn IN (SELECT '123-45-6789')
SELECT id FROM secrets WHERE ssn IN (VALUES ('123-45-6789'))
SELECT id FROM secrets WHERE (ssn, id) = ('123-45-6789', 1)
SELECT id FROM secrets WHERE (ssn, id) IN (('123-45-6789', 1))
SELECT id FROM secrets WHERE (id, ssn) < (1, '5') ORDER BY id
SELECT id FROM secrets WHERE ssn <> '123-45-6789' ORDER BY id
SELECT id FROM secrets WHERE NOT ssn = '123-45-6789' ORDER BY id
SELECT id FROM secrets WHERE ssn LIKE '1%'
SELECT id FROM secrets WHERE ssn NOT LIKE '1%' ORDER BY id
SELECT id FROM secrets WHERE ssn ILIKE '%A' OR ssn SIMILAR TO '1%'
SELECT id FROM secrets WHERE ssn ~ '^1' OR ssn ^@ '1'
SELECT id FROM secrets WHERE ssn > '5' ORDER BY id
SELECT id FROM secrets WHERE ssn BETWEEN '1' AND '4' ORDER BY id
SELECT id FROM secrets WHERE ssn BETWEEN SYMMETRIC '4' AND '1' ORDER BY id
SELECT id FROM secrets WHERE ssn IS DISTINCT FROM '123-45-6789' ORDER BY id
SELECT id FROM secrets WHERE ssn IS NOT DISTINCT FROM '123-45-6789'
SELECT id FROM secrets WHERE length(ssn) > 5 ORDER BY id
SELECT id FROM secrets WHERE left(ssn, 1) = '1'
SELECT id FROM secrets WHERE ascii(ssn) & 1 = 1 ORDER BY id
SELECT id FROM secrets WHERE vip ORDER BY id
SELECT id FROM secrets WHERE NOT vip ORDER BY id
SELECT id FROM secrets WHERE vip IS TRUE ORDER BY id
SELECT id FROM secrets WHERE vip = (id > 2) ORDER BY id
SELECT id FROM secrets WHERE salary > 500 ORDER BY id
SELECT id FROM secrets WHERE salary % 2 = 0 ORDER BY id
SELECT id FROM secrets WHERE salary = id * 1000 ORDER BY id
SELECT id FROM secrets WHERE salary < cap / 2 ORDER BY id
SELECT id FROM secrets WHERE born > '1981-06-01' ORDER BY id
SELECT id FROM secrets WHERE profile @> '{"k": "v1"}' ORDER BY id
SELECT id FROM secrets WHERE profile ? 'n' ORDER BY id
SELECT id FROM secrets WHERE tags = '{}' OR 'a' = ANY (tags) ORDER BY id
SELECT id FROM secrets WHERE token = '\x0011'
SELECT id FROM secrets WHERE home = ('x', 1)::pair
SELECT id FROM secrets WHERE (home).left_part IS NULL ORDER BY id
SELECT id FROM secrets WHERE grade = 'low' ORDER BY id
SELECT id FROM secrets WHERE grade > 'mid' ORDER BY id
SELECT id FROM secrets WHERE CASE WHEN ssn LIKE '1%' THEN true ELSE false END
SELECT id FROM secrets WHERE COALESCE(ssn, '') = '77'
SELECT id FROM secrets WHERE NULLIF(ssn, '77') IS NULL ORDER BY id
SELECT id FROM secrets WHERE EXISTS (SELECT 1 WHERE ssn = '77')
SELECT id FROM secrets s WHERE EXISTS (SELECT 1 FROM secrets t WHERE t.email = s.email AND t.id <> s.id) ORDER BY id
SELECT id FROM secrets s WHERE (SELECT count(*) FROM secrets t WHERE t.salary < s.salary) = 3
SELECT id FROM notes WHERE body = (SELECT CASE WHEN ssn = '77' THEN 'three' END FROM secrets WHERE id = 3)
SELECT id FROM notes WHERE n < (SELECT salary FROM secrets WHERE id = 2) ORDER BY id
SELECT EXISTS (SELECT 1 FROM secrets WHERE ssn = '77')
SELECT FROM secrets WHERE ssn LIKE '1%'
SELECT count(*) FROM secrets WHERE ssn < '5'
SELECT 1 FROM secrets HAVING max(ssn) > '6'
SELECT dept FROM secrets GROUP BY dept HAVING sum(salary) > 4000 ORDER BY dept
SELECT dept FROM secrets GROUP BY dept HAVING bool_or(vip) ORDER BY dept
SELECT dept FROM secrets GROUP BY dept ORDER BY max(ssn)
SELECT id FROM secrets ORDER BY ssn
SELECT id FROM secrets ORDER BY ssn DESC NULLS LAST
SELECT id, ssn FROM secrets ORDER BY 2
SELECT id, ssn AS z FROM secrets ORDER BY z
SELECT id FROM secrets ORDER BY salary % 7, id
SELECT id FROM secrets ORDER BY (SELECT s.salary FROM secrets s WHERE s.id = secrets.id)
SELECT id FROM secrets ORDER BY CASE WHEN vip THEN 0 ELSE 1 END, id
SELECT id FROM secrets ORDER BY ssn USING >
SELECT id FROM secrets ORDER BY ssn = '77', id
SELECT id FROM (SELECT * FROM secrets ORDER BY ssn) t
SELECT id FROM secrets UNION ALL SELECT n FROM notes ORDER BY 1 LIMIT (SELECT length(ssn) FROM secrets WHERE id = 3)
SELECT s.id FROM secrets s ORDER BY (SELECT ROW(s.ssn))
SELECT count(*) FROM secrets GROUP BY email ORDER BY 1
SELECT count(*) FROM secrets GROUP BY salary ORDER BY 1
-- direct-same: the counts happen to agree
SELECT count(*) FROM secrets GROUP BY left(ssn, 1) ORDER BY 1
SELECT count(*) FROM secrets GROUP BY GROUPING SETS ((salary), ()) ORDER BY 1
SELECT count(*) FROM secrets GROUP BY CUBE (salary, dept) ORDER BY 1
SELECT email AS e, count(*) FROM secrets GROUP BY 1 ORDER BY 2
SELECT email AS e, count(*) FROM secrets GROUP BY e ORDER BY 2
SELECT DISTINCT email FROM secrets
SELECT count(*) FROM (SELECT DISTINCT salary FROM secrets) t
SELECT DISTINCT ON (email) id FROM secrets ORDER BY email, id
SELECT DISTINCT ON (dept) id FROM secrets ORDER BY dept, salary
SELECT id FROM secrets ORDER BY id LIMIT (SELECT salary % 5 FROM secrets WHERE id = 2)
SELECT id FROM secrets ORDER BY id OFFSET (SELECT length(ssn) % 4 FROM secrets WHERE id = 1)
SELECT id FROM secrets ORDER BY id FETCH FIRST (SELECT salary % 5 FROM secrets WHERE id = 2) ROWS ONLY
SELECT id FROM secrets ORDER BY salary FETCH FIRST 1 ROWS WITH TIES
SELECT count(*) FROM secrets TABLESAMPLE BERNOULLI ((SELECT CASE WHEN vip THEN 100 ELSE 0 END FROM secrets WHERE id = 1))
SELECT count(*) FROM secrets TABLESAMPLE SYSTEM (100) REPEATABLE ((SELECT salary FROM secrets WHERE id = 2)) WHERE ssn > '5'
SELECT id FROM secrets WHERE ssn > '5' ORDER BY id FOR UPDATE SKIP LOCKED
SELECT id FROM secrets WHERE vip ORDER BY id FOR SHARE NOWAIT
UPDATE secrets SET name = name WHERE ssn = '77'
UPDATE secrets SET name = name WHERE salary > 500
UPDATE notes SET n = n FROM secrets s WHERE s.id = notes.id AND s.ssn > '5'
DELETE FROM secrets WHERE ssn = '77'
DELETE FROM notes USING secrets s WHERE s.id = notes.id AND s.vip
INSERT INTO notes SELECT id + 100, name, 0 FROM secrets WHERE ssn > '5'
MERGE INTO notes n USING secrets s ON s.id = n.id WHEN MATCHED AND s.vip THEN UPDATE SET n = 0
MERGE INTO notes n USING secrets s ON s.salary = n.n * 100 WHEN NOT MATCHED THEN INSERT VALUES (s.id + 100, 'x', 0)
MERGE INTO secrets s USING notes n ON s.id = n.id AND s.ssn > '5' WHEN MATCHED THEN DELETE
INSERT INTO secrets (id, name, ssn) VALUES (99, 'x', '77')
INSERT INTO secrets (id, name, ssn) VALUES (99, 'x', '77') ON CONFLICT DO NOTHING
INSERT INTO secrets (id, name, ssn) VALUES (99, 'x', '77') ON CONFLICT (ssn) DO NOTHING
INSERT INTO secrets (id, name, ssn) VALUES (99, 'x', '77') ON CONFLICT (ssn) DO UPDATE SET name = 'taken' RETURNING id
INSERT INTO secrets (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y' WHERE secrets.vip
INSERT INTO secrets (id, name, dept, email) VALUES (99, 'x', 'law', 'cyd@a.example')
UPDATE secrets SET ssn = '77' WHERE id = 6
UPDATE secrets SET dept = 'ops' WHERE id = 4
UPDATE secrets SET cap = 100 WHERE id = 3
UPDATE secrets SET cap = 100 WHERE id = 2
UPDATE v_writable SET ssn = '77' WHERE id = 6
UPDATE v_writable SET dept = 'ops' WHERE id = 4
UPDATE v_writable SET cap = 100 WHERE id = 3
INSERT INTO v_writable (id, name, ssn) VALUES (99, 'x', '77')
INSERT INTO refs VALUES (1, '77')
INSERT INTO refs VALUES (1, '123-45-6789')
INSERT INTO refs SELECT 1, '77'
UPDATE accounts SET id = id + 100 WHERE id = 1
DELETE FROM accounts WHERE id = 1
DELETE FROM accounts WHERE id = 5
INSERT INTO people (id, name, pin) SELECT 9, 'x', '1' WHERE EXISTS (SELECT FROM secrets WHERE vip AND id = 1)
SELECT id FROM people WHERE pin = '1111'
SELECT id FROM people_eu WHERE pin > '5' ORDER BY id
SELECT id FROM events WHERE amount > 50 ORDER BY id
SELECT id FROM events_us WHERE amount = 300
SELECT id FROM bands WHERE amount < 50 ORDER BY id
SELECT id FROM secrets WHERE plain_ssn LIKE '1%'
SELECT id FROM ssns() f JOIN notes n ON n.id = f.i WHERE f.s LIKE '1%'
SELECT id FROM mv_ssn WHERE s = '77'
SELECT id FROM secrets WHERE hashtext(ssn) % 2 = 0 ORDER BY id
SELECT id FROM secrets WHERE md5(ssn) < '8' ORDER BY id
SELECT id FROM secrets WHERE ssn < repeat('4', id) ORDER BY id
SELECT id FROM secrets WHERE ssn_of(id) > '5' ORDER BY id
SELECT id FROM notes WHERE @! id > '5' ORDER BY id
SELECT id FROM secrets WHERE row_to_json(secrets)::text LIKE '%123-45%'
SELECT id FROM secrets WHERE secrets::text LIKE '%123-45%'
SELECT a.id FROM secrets a JOIN secrets b ON a.id = b.id - 1 WHERE ROW(a.ssn) < ROW(b.ssn)
SELECT id FROM secrets WHERE hstore(secrets) @> 'ssn=>77'
SELECT id FROM secrets WHERE to_tsvector('simple', email) @@ 'cyd@a.example' ORDER BY id
SELECT id FROM secrets WHERE int4range(0, 100) @> salary ORDER BY id
-- Writes that tell by failing.
INSERT INTO secrets (id, name, ssn) SELECT 99, 'x', '77'
INSERT INTO secrets (id, name, ssn) SELECT n, body, '77' FROM notes WHERE id = 1
INSERT INTO v_writable (id, name, ssn) SELECT 99, 'x', '77'
WITH i AS (INSERT INTO secrets (id, name, ssn) VALUES (99, 'x', '77') ON CONFLICT DO NOTHING RETURNING id) SELECT count(*) FROM i
MERGE INTO secrets s USING (VALUES (99)) v(id) ON s.id = v.id WHEN NOT MATCHED THEN INSERT (id, name, ssn) VALUES (v.id, 'x', '77')
MERGE INTO secrets s USING (VALUES (3)) v(id) ON s.id = v.id WHEN MATCHED THEN UPDATE SET cap = 100
MERGE INTO accounts a USING (VALUES (5)) v(id) ON a.id = v.id WHEN MATCHED THEN DELETE
INSERT INTO secrets (id, name) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET cap = 100
INSERT INTO secrets (id, name, ssn) VALUES (99, 'x', '77') ON CONFLICT (plain_ssn) DO NOTHING
INSERT INTO secrets (id, name, ssn) VALUES (99, 'x', '7-7')
WITH u AS (UPDATE secrets SET cap = 100 WHERE id = 3 RETURNING id) SELECT count(*) FROM u
WITH d AS (DELETE FROM accounts WHERE id = 5 RETURNING id) SELECT count(*) FROM d
UPDATE accounts SET id = 105 WHERE id = 5
-- Rows that the check of a masked foreign key has locked.
SELECT id FROM accounts WHERE xmax::text <> '0'
SELECT id, xmax FROM accounts
SELECT (a).xmax::text = '0' FROM accounts a
SELECT b.xmax::text = '0' FROM accounts b (x, y)
-- A masked column copied onto itself: its keys and checks compare it all the same.
UPDATE secrets SET salary = salary, cap = 50000 WHERE id = 1
UPDATE v_writable SET salary = salary, cap = 50000 WHERE id = 1
UPDATE secrets SET dept = 'ops', email = email WHERE id = 4
UPDATE secrets SET (dept, email) = ROW('ops', email) WHERE id = 4
UPDATE secrets SET (dept, email) = (SELECT 'law', email FROM secrets WHERE id = 3) WHERE id = 6
UPDATE secrets t SET email = s.email, dept = 'law' FROM secrets s WHERE s.id = 3 AND t.id = 6
INSERT INTO secrets (id, name, salary, cap) SELECT 99, name, salary, 50000 FROM secrets WHERE id = 1
INSERT INTO v_writable (id, name, salary, cap) SELECT 99, name, salary, 50000 FROM v_writable WHERE id = 1
INSERT INTO secrets (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET salary = secrets.salary, cap = 50000
MERGE INTO secrets t USING (SELECT * FROM secrets WHERE id = 3) s ON t.id = 6 WHEN MATCHED THEN UPDATE SET email = s.email, dept = 'law'
MERGE INTO secrets t USING (SELECT * FROM secrets WHERE id = 1) s ON t.id = 99 WHEN NOT MATCHED THEN INSERT (id, name, salary, cap) VALUES (99, 'x', s.salary, 50000)
WITH u AS (UPDATE secrets SET salary = salary, cap = 50000 WHERE id = 1 RETURNING id) SELECT count(*) FROM u
-- script
INSERT INTO secrets (id, name, dept) VALUES (99, 'x', 'law')
UPDATE secrets t SET email = s.email FROM secrets s WHERE s.id = 3 AND t.id = 99
-- end
-- A name that is special elsewhere.
UPDATE secrets SET email = excluded.email FROM (VALUES ('cyd@a.example')) excluded(email) WHERE id = 5
MERGE INTO secrets t USING (VALUES ('cyd@a.example')) excluded(email) ON t.id = 5 WHEN MATCHED THEN UPDATE SET email = excluded.email
-- A part of a value is assigned: whether that can be done is by the rest of it.
UPDATE secrets SET tags[1][1] = 'x' WHERE id = 2
UPDATE secrets SET profile['n'] = '1' WHERE id = 1
INSERT INTO secrets (id, name) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET tags[1][1] = 'x'
MERGE INTO secrets t USING (VALUES (2)) v(id) ON t.id = v.id WHEN MATCHED THEN UPDATE SET tags[1][1] = 'x'
-- Operators that an administrator made, where no plain operator stands.
SELECT 1 OPERATOR(public.@!~) ANY (SELECT '1%')
SELECT 1 OPERATOR(public.@!~) ALL (SELECT '1%')
SELECT id FROM notes WHERE 1 @!~ ANY (SELECT '1%') ORDER BY id
SELECT id FROM notes WHERE NOT 1 @!~ ALL (SELECT '1%') ORDER BY id
-- Rows in the order of an index that a masked column is part of.
-- script
SET enable_seqscan = off
SET enable_bitmapscan = off
SELECT id FROM secrets WHERE dept = 'dev'
-- end
-- script
SELECT set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false)
SELECT id FROM secrets WHERE dept = 'dev'
-- end
-- script
UPDATE pg_settings SET setting = 'off' WHERE name IN ('enable_seqscan', 'enable_bitmapscan')
SELECT id FROM secrets WHERE dept = 'dev'
-- end
-- A row compared with a subquery of several columns.
SELECT id, (1, 2500) > (SELECT 1, s.salary) FROM secrets s ORDER BY id
SELECT (1, '2') < (SELECT id, ssn FROM secrets WHERE id = 1)
SELECT id FROM secrets s WHERE (1, 2500) > (SELECT 1, s.salary) ORDER BY id
SELECT name FROM secrets s ORDER BY (1, 2500) > (SELECT 1, s.salary), id
SELECT (1, '123-45-6789') = (SELECT id, ssn FROM secrets WHERE id = 1)
SELECT 1 FROM (VALUES (1, '123-45-6789')) v WHERE ROW(v.*) IN (SELECT id, ssn FROM secrets)
SELECT 1 FROM (VALUES (1, '123-45-6789')) v WHERE ROW(v.*) = ANY (SELECT id, ssn FROM secrets)
SELECT 1 FROM (VALUES (1, '123-45-6789')) v WHERE ROW(v.*) NOT IN (SELECT id, ssn FROM secrets WHERE id < 6)
