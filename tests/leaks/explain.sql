-- Plans.
EXPLAIN SELECT ssn FROM secrets
EXPLAIN SELECT * FROM secrets
EXPLAIN SELECT s FROM secrets s
EXPLAIN SELECT count(ssn) FROM secrets
EXPLAIN SELECT name FROM secrets WHERE ssn > '5'
EXPLAIN SELECT name FROM secrets WHERE salary = 55
EXPLAIN SELECT id FROM secrets ORDER BY ssn
EXPLAIN SELECT dept, max(ssn) FROM secrets GROUP BY dept
EXPLAIN SELECT DISTINCT salary FROM secrets
EXPLAIN (FORMAT JSON) SELECT ssn FROM secrets
EXPLAIN (FORMAT XML) SELECT ssn, id FROM secrets
EXPLAIN (FORMAT YAML) SELECT ssn, name FROM secrets
EXPLAIN (VERBOSE) SELECT profile FROM secrets
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM secrets WHERE ssn > '5'
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) SELECT id FROM secrets WHERE vip
EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) SELECT ssn FROM secrets
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) UPDATE secrets SET name = name WHERE ssn = '77'
-- direct-same: a plan does not run what is not immutable
EXPLAIN SELECT @! 1
EXPLAIN (VERBOSE, COSTS OFF) SELECT ssn_constant(1)
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM notes WHERE body = ssn_constant(1)
EXPLAIN (COSTS OFF) SELECT id FROM notes WHERE body = ssn_constant(1)
-- direct-same: a plan does not run what is not immutable
EXPLAIN (VERBOSE, COSTS OFF) SELECT 1 FROM notes WHERE is_known('77')
EXPLAIN (COSTS OFF, VERBOSE) INSERT INTO notes VALUES (100, ssn_constant(1), 0)
-- direct-same: the limit is not shown
EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM notes LIMIT length(ssn_constant(1))
EXPLAIN (VERBOSE, COSTS OFF) VALUES (ssn_constant(1))
EXPLAIN CREATE TABLE kept AS SELECT ssn FROM secrets
EXPLAIN DECLARE c CURSOR FOR SELECT ssn FROM secrets
-- direct-same: 8 bytes in every row
EXPLAIN SELECT pan FROM v_cards
EXPLAIN SELECT pin FROM people
EXPLAIN SELECT s.ssn FROM notes n JOIN secrets s USING (id)
-- script
PREPARE p AS SELECT ssn FROM secrets
EXPLAIN EXECUTE p
-- end
-- script
SET work_mem = '64kB'
EXPLAIN SELECT a.ssn FROM secrets a, secrets b, secrets c, secrets d, secrets e, secrets f ORDER BY a.name, f.id
-- end
-- script
SET client_min_messages = 'log'
SET debug_print_plan = on
SELECT ssn FROM secrets WHERE id = 1
-- end
-- How much is written or gone through.
EXPLAIN (ANALYZE, WAL, COSTS OFF, TIMING OFF, SUMMARY OFF) UPDATE secrets SET name = name || 'y'
-- direct-same: one page in both
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM secrets
EXPLAIN (COSTS OFF, VERBOSE) SELECT count(ssn_constant(1)) FROM notes
EXPLAIN (COSTS OFF, VERBOSE) SELECT pg_typeof(ssn_constant(1)) FROM notes
EXPLAIN (COSTS OFF) SELECT id FROM notes WHERE num_nulls(ssn_constant(1), body) = 0
