-- COPY in every format.
COPY secrets TO STDOUT
COPY secrets (ssn) TO STDOUT
COPY secrets (id, card, salary, born, vip) TO STDOUT
COPY secrets TO STDOUT (FORMAT csv)
COPY secrets TO STDOUT (FORMAT csv, HEADER, DELIMITER ';', QUOTE '''')
COPY secrets TO STDOUT (FORMAT csv, FORCE_QUOTE *)
COPY secrets TO STDOUT (FORMAT csv, FORCE_QUOTE (ssn))
COPY secrets TO STDOUT (FORMAT binary)
COPY secrets TO STDOUT WITH BINARY
COPY secrets TO STDOUT CSV HEADER
COPY secrets TO STDOUT DELIMITER '|' NULL 'x'
COPY secrets (ssn) TO STDOUT (NULL '77')
COPY secrets (ssn) TO STDOUT (NULL '')
COPY secrets (ssn) TO STDOUT (FORMAT csv, NULL '77')
COPY secrets (ssn) TO STDOUT (FORMAT csv, DELIMITER '-')
-- direct-same: a digit cannot be the delimiter
COPY secrets (ssn, id) TO STDOUT (DELIMITER '4')
COPY secrets (email) TO STDOUT (ENCODING 'LATIN1')
COPY secrets (email) TO STDOUT (ENCODING 'SQL_ASCII')
COPY secrets TO STDOUT (ENCODING 'EUC_JP')
COPY (SELECT ssn FROM secrets ORDER BY id) TO STDOUT
COPY (SELECT ssn || '', upper(ssn) FROM secrets ORDER BY id) TO STDOUT (FORMAT csv)
COPY (SELECT ssn || '' AS x FROM secrets ORDER BY id) TO STDOUT (FORMAT csv)
COPY (SELECT * FROM secrets ORDER BY id) TO STDOUT (FORMAT binary)
COPY (SELECT row_to_json(s) FROM secrets s ORDER BY id) TO STDOUT
COPY (SELECT s FROM secrets s ORDER BY id) TO STDOUT
COPY (SELECT array_agg(ssn) FROM secrets) TO STDOUT
COPY (TABLE secrets) TO STDOUT
COPY (VALUES ((SELECT ssn FROM secrets WHERE id = 1))) TO STDOUT
COPY (WITH c AS (SELECT ssn FROM secrets ORDER BY id) SELECT * FROM c) TO STDOUT
COPY (UPDATE secrets SET name = name WHERE id = 1 RETURNING ssn) TO STDOUT
COPY (DELETE FROM secrets WHERE id = 5 RETURNING *) TO STDOUT (FORMAT csv)
COPY (SELECT id FROM secrets WHERE ssn > '5' ORDER BY id) TO STDOUT
COPY (SELECT id FROM secrets ORDER BY ssn) TO STDOUT
COPY (SELECT * FROM ssns()) TO STDOUT
COPY (SELECT ssn_of(1)) TO STDOUT
COPY (SELECT pan FROM v_cards ORDER BY id) TO STDOUT
-- direct-same: a materialized view cannot be copied so
COPY mv_ssn TO STDOUT
COPY people TO STDOUT
COPY (SELECT * FROM people ORDER BY id) TO STDOUT
COPY people_eu TO STDOUT (FORMAT csv)
COPY events_eu TO STDOUT
COPY (SELECT ssn::int FROM secrets WHERE id = 3) TO STDOUT
COPY (SELECT tags, profile, home, token FROM secrets ORDER BY id) TO STDOUT
COPY (SELECT 1 UNION ALL SELECT salary FROM secrets) TO STDOUT
-- stdin: 99	x	77
COPY secrets (id, name, ssn) FROM STDIN
-- direct-same: no subqueries there
-- stdin: 100	x	0
COPY notes FROM STDIN WHERE id IN (SELECT 100 FROM secrets WHERE vip)
-- stdin: 1	77
COPY refs FROM STDIN
-- stdin: 99	x	law	cyd@a.example
COPY secrets (id, name, dept, email) FROM STDIN
