-- `badge` with a `hash` mask: in each world all its values differ, and equal hashes must tell no more than
-- that equal values are equal. So nothing may differ but which 32 digits stand for a value.
SELECT badge FROM secrets ORDER BY id
SELECT badge || '' FROM secrets ORDER BY id
SELECT badge::varchar(1) FROM secrets ORDER BY id
SELECT badge::char(2) FROM secrets ORDER BY id
SELECT left(badge, 1) FROM secrets ORDER BY id
SELECT max(badge) FROM secrets
SELECT badge FROM secrets WHERE id IN (1, 2, 3) UNION ALL SELECT max(badge) FROM secrets WHERE id IN (1, 2, 3)
SELECT s.badge, (SELECT min(t.badge) FROM secrets t) FROM secrets s ORDER BY id
SELECT badge, first_value(badge) OVER (ORDER BY id) FROM secrets ORDER BY id
SELECT badge, GREATEST(badge, 'm') FROM secrets ORDER BY id
SELECT badge FROM secrets ORDER BY badge
SELECT DISTINCT left(badge, 2) FROM secrets
SELECT string_agg(badge, '' ORDER BY id) FROM secrets
COPY secrets (badge) TO STDOUT
SELECT dept, max(badge) FROM secrets GROUP BY dept ORDER BY dept
SELECT a.badge, b.m FROM secrets a, LATERAL (SELECT max(x) AS m FROM (VALUES (a.badge), ('m')) v(x)) b ORDER BY a.id
SELECT whole FROM v_start ORDER BY id
SELECT start FROM v_start ORDER BY id
SELECT x.start FROM (SELECT * FROM v_start) x ORDER BY id
