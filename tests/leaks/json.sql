-- JSON and XML builders and paths.
SELECT row_to_json(s) FROM secrets s WHERE id = 1
SELECT row_to_json(s, true) FROM secrets s WHERE id = 1
SELECT row_to_json(ROW(ssn, card)) FROM secrets WHERE id = 1
SELECT row_to_json(s) ->> 'ssn' FROM secrets s WHERE id = 1
SELECT to_json(s) FROM secrets s WHERE id = 1
SELECT to_json(ssn), to_jsonb(ssn), to_json(salary), to_jsonb(born) FROM secrets WHERE id = 1
SELECT to_jsonb(raw) FROM secrets WHERE id = 1
SELECT to_jsonb(s) FROM secrets s WHERE id = 1
SELECT to_jsonb(s) - 'id' FROM secrets s WHERE id = 2
SELECT to_jsonb(s) ? 'ssn', to_jsonb(ssn) #>> '{}' FROM secrets s WHERE id = 2
SELECT json_agg(s) FROM secrets s WHERE id = 1
SELECT jsonb_agg(ssn ORDER BY id), json_agg(ssn ORDER BY id) FROM secrets
SELECT jsonb_agg(raw) FROM secrets WHERE id = 1
SELECT json_object_agg(name, ssn), jsonb_object_agg(name, ssn) FROM secrets
SELECT json_object_agg(ssn, name) FROM secrets WHERE id < 6
SELECT json_build_object('a', ssn), jsonb_build_object('a', ssn) FROM secrets WHERE id = 1
SELECT json_build_object(ssn, 'a') FROM secrets WHERE id = 1
SELECT jsonb_build_object('a', raw) FROM secrets WHERE id = 1
SELECT json_build_object(VARIADIC tags) FROM secrets WHERE id = 1
SELECT jsonb_build_object(VARIADIC tags) FROM secrets WHERE id = 5
SELECT json_build_array(ssn, card), jsonb_build_array(ssn, card) FROM secrets WHERE id = 1
SELECT jsonb_build_array(raw) FROM secrets WHERE id = 1
SELECT json_build_array(VARIADIC tags) FROM secrets WHERE id = 2
SELECT json_object(tags) FROM secrets WHERE id = 1
SELECT json_object(ARRAY['a', ssn]), jsonb_object(ARRAY['a'], ARRAY[ssn]) FROM secrets WHERE id = 1
SELECT json_strip_nulls(raw), jsonb_strip_nulls(profile), jsonb_pretty(profile) FROM secrets WHERE id > 1 ORDER BY id
SELECT jsonb_set('{"a": 1}', '{a}', to_jsonb(ssn)), jsonb_insert('{"a": [1]}', '{a,0}', to_jsonb(ssn)) FROM secrets WHERE id = 1
SELECT jsonb_set(profile, '{k}', '1') FROM secrets WHERE id = 3
SELECT profile -> 'k', profile ->> 'k', profile #> '{k}', profile #>> '{k}' FROM secrets ORDER BY id
SELECT profile['k'] FROM secrets ORDER BY id
SELECT profile ? 'k', profile ?| ARRAY['k'], profile @> '{"k": "v1"}', '{"k": "v1"}' <@ profile FROM secrets ORDER BY id
SELECT profile @? '$.k', profile @@ '$.n > 5' FROM secrets ORDER BY id
SELECT profile - 'k', profile #- '{k}' FROM secrets WHERE id = 1
SELECT profile || '{"z": 1}' FROM secrets ORDER BY id
SELECT profile || '1'::jsonb FROM secrets WHERE id < 4 ORDER BY id
SELECT to_jsonb(raw) || '{"a": 1}' FROM secrets WHERE id = 2
SELECT jsonb_path_query(profile, '$.k') FROM secrets ORDER BY id
SELECT jsonb_path_exists(profile, '$.n ? (@ > 5)'), jsonb_path_query_first(profile, '$.k'), jsonb_path_query_array(profile, '$.k'), jsonb_path_match(profile, 'exists($.k)') FROM secrets ORDER BY id
SELECT jsonb_path_query('{"a": 1}', '$ ? (@.a == $x)', jsonb_build_object('x', vip::int)) FROM secrets WHERE id = 1
SELECT jsonb_typeof(profile), json_typeof(raw) FROM secrets ORDER BY id
SELECT jsonb_array_length(profile) FROM secrets WHERE id = 1
SELECT json_array_length(raw) FROM secrets WHERE id = 2
SELECT jsonb_object_keys(profile) FROM secrets WHERE id = 1
SELECT jsonb_each(profile), jsonb_each_text(profile) FROM secrets WHERE id = 3
SELECT json_extract_path(raw, 'k'), json_extract_path_text(raw, 'k'), jsonb_extract_path(profile, 'k') FROM secrets ORDER BY id
SELECT e.key, e.value FROM secrets s, jsonb_each(to_jsonb(s)) e WHERE s.id = 1 ORDER BY 1
SELECT e.value FROM secrets s, jsonb_each_text(to_jsonb(s)) e WHERE s.id = 1 AND e.key = 'ssn'
SELECT x.ssn FROM secrets s, json_to_record(row_to_json(s)) AS x(ssn text) WHERE s.id = 1
SELECT x.ssn FROM secrets s, jsonb_populate_record(NULL::secrets, to_jsonb(s)) AS x WHERE s.id = 2
SELECT (json_populate_record(NULL::secrets, row_to_json(s))).ssn FROM secrets s WHERE id = 2
SELECT * FROM json_array_elements_text((SELECT json_agg(ssn) FROM secrets))
SELECT value FROM jsonb_array_elements((SELECT jsonb_agg(s.ssn) FROM secrets s))
SELECT raw::jsonb FROM secrets WHERE id = 1
SELECT raw::text, profile::text FROM secrets ORDER BY id
SELECT ssn::json FROM secrets WHERE id = 3
SELECT ('"' || ssn || '"')::jsonb FROM secrets WHERE id = 1
SELECT jsonb_to_tsvector(profile, '"all"') FROM secrets WHERE id = 1
SELECT xmlelement(name a, ssn) FROM secrets ORDER BY id
SELECT xmlforest(ssn AS a, card AS b) FROM secrets ORDER BY id
SELECT xmlagg(xmlelement(name a, ssn)) FROM secrets
SELECT xmlconcat(xmlelement(name a, ssn), '<b/>') FROM secrets WHERE id = 1
SELECT xmlpi(name a, ssn), xmlcomment('c' || salary) FROM secrets WHERE id = 1
SELECT xmlparse(CONTENT ssn) FROM secrets WHERE id = 1
SELECT xmlserialize(CONTENT xmlelement(name a, ssn) AS text) FROM secrets ORDER BY id
SELECT xpath('/a/text()', xmlelement(name a, ssn)) FROM secrets ORDER BY id
SELECT xpath_exists('/a[text()="77"]', xmlelement(name a, ssn)) FROM secrets ORDER BY id
SELECT x.v FROM secrets s, XMLTABLE('/a' PASSING xmlelement(name a, s.ssn) COLUMNS v text PATH '.') x ORDER BY s.id
SELECT xml_is_well_formed_content(translate(ssn, '-1', '<')), xml_is_well_formed(ssn) FROM secrets WHERE id = 1
SELECT xpath_string('<a>' || ssn || '</a>', '/a'), xpath_number('<a>' || salary || '</a>', '/a') FROM secrets WHERE id = 3
SELECT query_to_xml('SELECT ssn FROM secrets ORDER BY id', true, true, '')
SELECT query_to_xml_and_xmlschema('SELECT ssn FROM secrets', true, true, '')
SELECT table_to_xml('secrets', true, true, '')
SELECT schema_to_xml('public', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT * FROM xpath_table('id', '(''<a>'' || ssn || ''</a>'')', 'secrets', '/a', 'true') AS t(id int, v text)
SELECT query_to_xml(format('SELECT %I FROM secrets ORDER BY id', 's' || 'sn'), true, true, '')
-- What is no jsonb, within other types.
-- direct-same: every pair is jsonb
SELECT to_jsonb(home) IS NULL FROM secrets
SELECT to_jsonb(ARRAY[raw]) IS NULL FROM secrets
SELECT to_jsonb(ARRAY[raw, raw]) IS NULL FROM secrets
