-- `code` with a `partial` mask: the worlds agree in its length and in its last quarter.
SELECT code FROM secrets ORDER BY id
SELECT code || '' FROM secrets ORDER BY id
SELECT 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' || code FROM secrets ORDER BY id
SELECT code || 'x' FROM secrets ORDER BY id
SELECT code::varchar(6) FROM secrets ORDER BY id
SELECT left(code, 4) FROM secrets ORDER BY id
SELECT reverse(code) FROM secrets ORDER BY id
SELECT concat(code, name), concat_ws('', name, code) FROM secrets ORDER BY id
SELECT string_agg(code, '' ORDER BY id DESC) FROM secrets
SELECT max(code), min(code) FROM secrets
SELECT max(code) FROM secrets WHERE id IN (1, 2)
SELECT array_agg(code) FROM secrets
SELECT s FROM secrets s WHERE id = 1
SELECT to_jsonb(code), row_to_json(s) FROM secrets s WHERE id = 1
SELECT id FROM secrets ORDER BY code
SELECT id FROM secrets WHERE code LIKE 'A%'
COPY secrets (code) TO STDOUT
COPY (SELECT code || 'abc' FROM secrets ORDER BY id) TO STDOUT
SELECT ARRAY[code, code]::text FROM secrets ORDER BY id
SELECT COALESCE(code, name) FROM secrets ORDER BY id
SELECT lag(code) OVER (ORDER BY id) FROM secrets
SELECT code FROM secrets WHERE id < 3 UNION ALL SELECT name FROM secrets WHERE id = 3
SELECT made FROM v_start ORDER BY id
