-- Time: a delay that depends on a value.
-- timed
SELECT CASE WHEN ssn LIKE '1%' THEN pg_sleep(0.3) END IS NULL FROM secrets WHERE id = 1
-- timed
SELECT count(*) FROM secrets WHERE id = 1 AND ssn LIKE '1%' AND pg_sleep(0.3) IS NULL
-- timed
SELECT id FROM secrets s WHERE id = 1 AND vip AND (SELECT pg_sleep(0.3 + s.id * 0) IS NULL)
-- timed
SELECT pg_sleep(0.3 * vip::int) FROM secrets WHERE id = 1
-- timed
SELECT (SELECT pg_sleep(0.3) WHERE salary > 5000) IS NULL FROM secrets WHERE id = 1
-- timed
SELECT COALESCE(NULLIF(vip, false)::text, pg_sleep(0.3)::text) IS NULL FROM secrets WHERE id = 1
-- timed
SELECT count(*) >= 0 FROM secrets s, LATERAL (SELECT pg_sleep(0.3) WHERE s.vip) z WHERE s.id = 1
-- timed
UPDATE secrets SET name = name WHERE id = 1 AND CASE WHEN salary < 5000 THEN pg_sleep(0.3) IS NULL END
-- timed
WITH s AS MATERIALIZED (SELECT pg_sleep(0.3) FROM secrets WHERE id = 1 AND vip) SELECT count(*) >= 0 FROM s
-- timed
SELECT count(*) >= 0 FROM generate_series(1, (SELECT CASE WHEN vip THEN 4000000 ELSE 1 END FROM secrets WHERE id = 1))
