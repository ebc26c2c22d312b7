-- Statistics, catalogs, files, other sessions.
SELECT most_common_vals FROM pg_stats WHERE tablename = 'secrets' AND attname IN ('salary', 'account') ORDER BY attname
SELECT attname, histogram_bounds FROM pg_stats WHERE tablename = 'secrets' ORDER BY attname
SELECT attname, n_distinct, correlation, avg_width FROM pg_stats WHERE tablename = 'secrets' ORDER BY attname
SELECT avg_width FROM pg_catalog.pg_stats WHERE attname = 'ssn' AND tablename = 'secrets'
SELECT * FROM pg_stats WHERE tablename IN ('secrets', 'people') ORDER BY tablename, attname
SELECT most_common_elems FROM pg_stats WHERE attname = 'tags'
SELECT common, bounds FROM v_stats WHERE tablename = 'secrets' ORDER BY attname
SELECT v FROM v_stats v WHERE tablename = 'secrets' AND attname = 'salary'
SELECT row_to_json(p) FROM pg_stats p WHERE tablename = 'secrets' ORDER BY attname
SELECT s.histogram_bounds FROM pg_stats s JOIN pg_class c ON c.relname = s.tablename WHERE attname = 'card'
WITH p AS (SELECT * FROM pg_stats) SELECT histogram_bounds FROM p WHERE attname = 'card'
COPY (SELECT histogram_bounds FROM pg_stats WHERE attname = 'card') TO STDOUT
-- direct-same: only superusers read it
SELECT stavalues1 FROM pg_statistic
SELECT most_common_vals FROM pg_stats_ext
-- direct-same: no statistics of this kind were made
SELECT most_common_vals FROM pg_stats_ext_exprs
-- direct-same: only superusers read it
SELECT * FROM pg_statistic_ext_data
SELECT ssn || pg_stat_get_live_tuples(1) FROM secrets WHERE id = 1
-- direct-same: only superusers and roles that were granted it read server files
SELECT pg_read_file('PG_VERSION') || ssn FROM secrets WHERE id = 1
-- direct-same: only superusers and roles that were granted it read server files
SELECT pg_read_binary_file('base/1/1259')
-- direct-same: only superusers and roles that were granted it read server files
SELECT lo_import('/etc/hostname')
-- direct-same: only superusers and roles that were granted it read server files
SELECT pg_ls_dir('base')
-- direct-same: only superusers and roles that were granted it read server files
COPY notes FROM '/etc/passwd'
-- direct-same: only superusers and roles that were granted it write server files
COPY secrets TO '/tmp/leak'
-- direct-same: only superusers and roles that were granted it run programs
COPY secrets TO PROGRAM 'cat'
-- direct-same: only superusers read pages
SELECT get_raw_page('secrets', 0)
-- direct-same: only superusers read pages
SELECT t_data FROM heap_page_items(get_raw_page('secrets', 0))
-- direct-same: only superusers read TOAST tables
SELECT * FROM pg_toast.pg_toast_1255
SELECT ts_stat('SELECT to_tsvector(''simple'', ssn) FROM public.secrets WHERE id < 3')
SELECT word FROM ts_stat('SELECT to_tsvector(''simple'', email) FROM public.secrets') ORDER BY word
SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, plainto_tsquery(''simple'', ssn) FROM public.secrets WHERE id = 1')
-- script
PREPARE p AS SELECT ssn FROM secrets
SELECT statement, ssn_of(1) FROM pg_prepared_statements
-- end
-- script
BEGIN
DECLARE c CURSOR FOR SELECT ssn FROM secrets
SELECT name, statement, ssn_of(1) FROM pg_cursors
COMMIT
-- end
-- script
BEGIN
DECLARE c CURSOR FOR SELECT ssn FROM secrets ORDER BY id
SELECT cursor_to_xml('c', 2, true, true, '')
COMMIT
-- end
SELECT query, ssn_of(1) FROM pg_stat_activity WHERE pid = pg_backend_pid()
SELECT l.mode, ssn_of(1) FROM pg_locks l WHERE l.relation = 'secrets'::regclass LIMIT 1
SELECT obj_description('secrets'::regclass), ssn_of(1)
SELECT pg_get_viewdef('v_bang'::regclass) || ssn_of(1)
SELECT version() IS NULL, current_query(), ssn FROM secrets WHERE id = 1
SELECT has_column_privilege('secrets', 'ssn', 'select'), ssn FROM secrets WHERE id = 1
SELECT pg_typeof(ssn), ssn FROM secrets WHERE id = 1
SELECT column_name, ssn_of(1) FROM information_schema.columns WHERE table_name = 'depts' ORDER BY 1
-- direct-same: the table is not partitioned by hash
SELECT satisfies_hash_partition('events'::regclass, 2, 0, salary) FROM secrets WHERE id = 1
-- How much was written, by anybody.
-- script
UPDATE secrets SET name = name || 'y'
SELECT pg_current_wal_lsn()
SELECT pg_current_wal_insert_lsn()
SELECT wal_bytes FROM pg_stat_wal
SELECT n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'secrets'
SELECT heap_blks_hit > 0 FROM pg_statio_user_tables WHERE relname = 'secrets'
-- end
