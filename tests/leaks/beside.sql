-- What the server keeps and compares beside the rows: indexes, defaults, sequences, checks, counts.
-- The order of an index that nothing asked for.
-- script
BEGIN
INSERT INTO ordered SELECT 1000 + g, NULL FROM generate_series(1, 5000) g
ANALYZE ordered
SELECT id FROM ordered WHERE v IS NOT NULL
SELECT id FROM ordered WHERE v IS NOT NULL LIMIT 1
DECLARE c CURSOR FOR SELECT id FROM ordered WHERE v IS NOT NULL
FETCH 2 FROM c
ROLLBACK
-- end
-- script
BEGIN
UPDATE secrets SET dept = 'same' WHERE id <= 5
INSERT INTO secrets (id, name) SELECT 1000 + g, 'zz' || g FROM generate_series(1, 5000) g
ANALYZE secrets
SELECT id FROM secrets WHERE ssn IS NOT NULL
SELECT id FROM secrets WHERE name = 'Ada' OR name = 'Ben' ORDER BY name LIMIT 2
SELECT DISTINCT ON (name) id FROM secrets WHERE ssn IS NOT NULL ORDER BY name LIMIT 3
ROLLBACK
-- end
-- The same, where all other plans are made to look dearer.
-- script
BEGIN
INSERT INTO paired SELECT 1000 + g, 9, NULL FROM generate_series(1, 5000) g
ANALYZE paired
SELECT t.id FROM paired t, string_to_table('x', 'y') s0, string_to_table('x', 'y') s1, string_to_table('x', 'y') s2, string_to_table('x', 'y') s3, string_to_table('x', 'y') s4 WHERE t.pub >= 1 ORDER BY t.pub LIMIT 4
ROLLBACK
-- end
-- script
BEGIN
INSERT INTO paired SELECT 1000 + g, 9, NULL FROM generate_series(1, 5000) g
ANALYZE paired
SELECT t.id FROM paired t, string_to_table('x', 'y') s0, string_to_table('x', 'y') s1, string_to_table('x', 'y') s2, string_to_table('x', 'y') s3, string_to_table('x', 'y') s4, string_to_table('x', 'y') s5, string_to_table('x', 'y') s6, string_to_table('x', 'y') s7, string_to_table('x', 'y') s8, string_to_table('x', 'y') s9, string_to_table('x', 'y') s10, string_to_table('x', 'y') s11, string_to_table('x', 'y') s12, string_to_table('x', 'y') s13, string_to_table('x', 'y') s14, string_to_table('x', 'y') s15 WHERE t.pub >= 1 ORDER BY t.pub LIMIT 4
ROLLBACK
-- end
-- script
BEGIN
INSERT INTO paired SELECT 1000 + g, 9, NULL FROM generate_series(1, 5000) g
ANALYZE paired
SELECT t.id FROM paired t, string_to_table('x', 'y') s0, string_to_table('x', 'y') s1, string_to_table('x', 'y') s2, string_to_table('x', 'y') s3, string_to_table('x', 'y') s4, string_to_table('x', 'y') s5, string_to_table('x', 'y') s6, string_to_table('x', 'y') s7, string_to_table('x', 'y') s8, string_to_table('x', 'y') s9, string_to_table('x', 'y') s10, string_to_table('x', 'y') s11, string_to_table('x', 'y') s12, string_to_table('x', 'y') s13, string_to_table('x', 'y') s14, string_to_table('x', 'y') s15, string_to_table('x', 'y') s16, string_to_table('x', 'y') s17, string_to_table('x', 'y') s18, string_to_table('x', 'y') s19, string_to_table('x', 'y') s20, string_to_table('x', 'y') s21, string_to_table('x', 'y') s22, string_to_table('x', 'y') s23, string_to_table('x', 'y') s24, string_to_table('x', 'y') s25, string_to_table('x', 'y') s26, string_to_table('x', 'y') s27, string_to_table('x', 'y') s28, string_to_table('x', 'y') s29, string_to_table('x', 'y') s30, string_to_table('x', 'y') s31, string_to_table('x', 'y') s32, string_to_table('x', 'y') s33, string_to_table('x', 'y') s34, string_to_table('x', 'y') s35, string_to_table('x', 'y') s36, string_to_table('x', 'y') s37, string_to_table('x', 'y') s38, string_to_table('x', 'y') s39 WHERE t.pub >= 1 ORDER BY t.pub LIMIT 4
ROLLBACK
-- end
-- script
BEGIN
INSERT INTO paired SELECT 1000 + g, 9, NULL FROM generate_series(1, 5000) g
ANALYZE paired
SELECT t.id FROM paired t WHERE t.pub >= 1 AND (SELECT count(*) FROM generate_series(t.id, 1) a, generate_series(t.id, 1) b, generate_series(t.id, 1) c, generate_series(t.id, 1) d, generate_series(t.id, 1) e) >= 0 ORDER BY t.pub LIMIT 4
ROLLBACK
-- end
-- script
BEGIN
INSERT INTO paired SELECT 1000 + g, 9, NULL FROM generate_series(1, 5000) g
ANALYZE paired
WITH RECURSIVE w (n) AS (SELECT s0::int FROM string_to_table('1', 'y') s0, string_to_table('1', 'y') s1, string_to_table('1', 'y') s2 UNION ALL SELECT n + 1 FROM w, string_to_table('1', 'y') s3 WHERE n < 1) SELECT t.id FROM paired t, w a, w b WHERE t.pub >= 1 ORDER BY t.pub LIMIT 4
ROLLBACK
-- end
-- script
BEGIN
INSERT INTO paired SELECT 1000 + g, 9, NULL FROM generate_series(1, 5000) g
ANALYZE paired
CREATE FUNCTION many(text) RETURNS SETOF text LANGUAGE sql STABLE ROWS 1000000000 AS 'SELECT $1 OFFSET 0'
SELECT t.id FROM paired t, many('x') a, many('y') b WHERE t.pub >= 1 ORDER BY t.pub LIMIT 4
ROLLBACK
-- end
-- script
BEGIN
INSERT INTO paired SELECT 1000 + g, 9, NULL FROM generate_series(1, 5000) g
ANALYZE paired
CREATE VIEW sets_kept AS SELECT 1 AS n FROM string_to_table('1', 'y') s0, string_to_table('1', 'y') s1, string_to_table('1', 'y') s2
SELECT t.id FROM paired t, sets_kept a, sets_kept b WHERE t.pub >= 1 ORDER BY t.pub LIMIT 4
ROLLBACK
-- end
-- Which rows an update left in the index.
-- direct-same: the counts come later than the question
-- script commits
BEGIN
UPDATE ordered SET v = 3 WHERE id = 1
ROLLBACK
SELECT pg_stat_force_next_flush()
SELECT n_tup_upd >= 0, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'ordered'
-- end
SELECT reltuples FROM pg_class WHERE relname = 'ordered_low'
SELECT * FROM (SELECT relname, reltuples FROM pg_catalog.pg_class) c WHERE relname = 'ordered_low'
SELECT 1 FROM pg_class WHERE relname = 'ordered_low' AND reltuples > 1
-- script
BEGIN
DELETE FROM ordered WHERE id <> 1
ANALYZE ordered
SELECT reltuples FROM pg_class WHERE relname = 'ordered_low'
ROLLBACK
-- end
-- script commits
CLUSTER
SELECT id FROM ordered
-- end
-- Defaults that are written to keys.
INSERT INTO preset (id) VALUES (9)
INSERT INTO preset (id, v) VALUES (9, DEFAULT)
INSERT INTO preset VALUES (9) ON CONFLICT DO NOTHING
UPDATE preset SET v = DEFAULT WHERE id = 2
UPDATE preset SET (v, pub) = (DEFAULT, 'x') WHERE id = 2
INSERT INTO preset (id, v) VALUES (2, NULL) ON CONFLICT (id) DO UPDATE SET v = DEFAULT
MERGE INTO preset p USING (VALUES (9)) w (i) ON p.id = w.i WHEN NOT MATCHED THEN INSERT (id) VALUES (9)
MERGE INTO preset p USING (VALUES (2)) w (i) ON p.id = w.i WHEN MATCHED THEN UPDATE SET v = DEFAULT
-- stdin: 9
COPY preset (id) FROM STDIN
-- script
BEGIN
SELECT setval('numbered_v_seq', 41)
INSERT INTO numbered (id) VALUES (9)
ROLLBACK
-- end
-- script
BEGIN
SELECT setval('public.numbered_v_seq'::regclass, 41)
UPDATE numbered SET v = DEFAULT WHERE id = 2
ROLLBACK
-- end
-- script
BEGIN
SELECT setval(pg_get_serial_sequence('numbered', 'v'), 41)
INSERT INTO numbered (id, pub) SELECT 9, 'x' ON CONFLICT DO NOTHING
ROLLBACK
-- end
-- script
BEGIN
ALTER SEQUENCE numbered_v_seq RESTART 42
INSERT INTO numbered (id) VALUES (9)
ROLLBACK
-- end
-- Indexes that hold more than the column that is written.
UPDATE products_of SET pub = 100000 WHERE id = 2
INSERT INTO products_of SELECT 9, 100000, v FROM products_of WHERE id = 2
-- script
BEGIN
UPDATE gathered SET pub = 100000 WHERE id = 2
ANALYZE gathered
ROLLBACK
-- end
INSERT INTO joined (id, pub) VALUES (9, 'ab') ON CONFLICT DO NOTHING
INSERT INTO joined (id, pub) VALUES (9, 'ab')
-- stdin: 9	ab
COPY joined (id, pub) FROM STDIN
UPDATE secrets SET name = (SELECT left(string_agg(md5(n::text), ''), 2688) FROM generate_series(1, 90) n) WHERE id = 5
-- script
BEGIN
SET LOCAL app.most = '5'
UPDATE limited SET id = 100 WHERE id = 1
ROLLBACK
-- end
-- script
BEGIN
SET LOCAL app.most = '5'
UPDATE limited SET id = id WHERE id = 1
ROLLBACK
-- end
-- What the server says of its own work.
-- script
SET trace_sort = on
SET client_min_messages = log
SET work_mem = '64kB'
SELECT ssn, g FROM secrets, generate_series(1, 2000) g WHERE id = 5 ORDER BY g LIMIT 1
-- end
EXPLAIN UPDATE notes SET n = 1 FROM v_whole k WHERE k.id = notes.id
EXPLAIN DELETE FROM notes USING v_whole k WHERE k.id = notes.id
EXPLAIN SELECT n.id FROM notes n, v_whole k WHERE k.id = n.id FOR UPDATE OF n
-- Rows in columns.
SELECT p FROM holder ORDER BY id
SELECT (p).pin FROM holder ORDER BY id
SELECT (p).* FROM holder ORDER BY id
SELECT to_jsonb(p) FROM holder ORDER BY id
SELECT p::text FROM holder ORDER BY id
SELECT h FROM holder h ORDER BY id
SELECT id FROM holder WHERE (p).pin = '1111'
