INSERT INTO accounts SELECT n, 'owner ' || n FROM generate_series(1, 8) n;
INSERT INTO depts VALUES ('dev', 'Ada'), ('ops', 'Ben'), ('law', 'Cy'), ('art', 'Di');
INSERT INTO secrets (id, name, dept, ssn, email, code, badge, card, salary, balance, born, vip, profile, raw, token, tags, home, grade, account) VALUES
 (1, 'Ada', 'dev', '123-45-6789', 'ana@a.example', 'AAAAAAAA0001', 'aa-1', 4111111111111111, 1000, 10.5, '1980-01-01', true,  '{"k": "v1", "n": 5}', '{"k": 1}', '\x0011', '{a,b}', '("x",1)', 'low', 1),
 (2, 'Ben', 'dev', '223-45-6789', 'bea@a.example', 'AAAAAAAA0002', 'aa-2', 4222222222222222, 2000, 20.5, '1981-01-01', false, '{"k": "v2", "n": 6}', '{"k": 2}', '\x0012', '{}', '("y",2)', 'mid', 2),
 (3, 'Cyd', 'ops', '323-45-6789', 'cyd@a.example', 'AAAAAAAA0003', 'aa-3', 4333333333333333, 3000, 30.5, '1982-01-01', true,  '{"k": "v3", "n": 7}', '{"k": 3}', '\x0013', '{c}', '("z",3)', 'high', 1),
 (4, 'Dee', 'law', '423-45-6789', 'cyd@a.example', 'AAAAAAAA0004', 'aa-4', 4444444444444444, 4000, 40.5, '1983-01-01', false, '{"k": "v4", "n": 8}', '{"k": 4}', '\x0014', '{d}', '("w",4)', 'top', 2),
 (5, 'Eve', 'ops', '523-45-6789', 'eve@a.example', 'AAAAAAAA0005', 'aa-5', 4555555555555555, 5000, 50.5, '1984-01-01', true,  '{"k": "v5", "n": 9}', '{"k": 5}', '\x0015', '{e,f}', '("v",5)', 'low', 1),
 (6, 'Flo', 'art', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO notes VALUES (1, 'one', 10), (2, 'two', 20), (3, 'three', 30);
INSERT INTO people VALUES (1, 'Pat', '1111'), (2, 'Quin', '1112');
INSERT INTO people_eu VALUES (3, 'Rob', '1113', 'fr'), (4, 'Sue', '1114', 'de');
INSERT INTO events VALUES (1, 'eu', 100), (2, 'eu', 200), (3, 'us', 300);
INSERT INTO bands VALUES (1, 100), (2, 200);
INSERT INTO products_of VALUES (1, 2, 3), (2, 3, 400000);
INSERT INTO numbered VALUES (1, 'x', 42), (2, 'y', 43);
INSERT INTO preset VALUES (1, 'x', 7), (2, 'y', 8);
INSERT INTO joined VALUES (1, 'a', 'b'), (2, 'c', 'd');
INSERT INTO limited VALUES (1, 'x', '5'), (2, 'y', '6');
INSERT INTO paired VALUES (1, 5, 3), (2, 5, 80), (3, 5, 20), (4, 5, 10);
INSERT INTO ordered VALUES (1, 3), (2, 80), (3, 20), (4, 10);
INSERT INTO gathered VALUES (1, 2, 3), (2, 3, 400000);
INSERT INTO holder VALUES (1, '(1,Pat,1111)'), (2, '(2,Quin,2222)');
REFRESH MATERIALIZED VIEW mv_ssn;
INSERT INTO tenant.letters VALUES (1, 'hidden a 1'), (2, 'hidden a 2');
INSERT INTO turns VALUES (0);
INSERT INTO key_pairs SELECT n, 5 FROM generate_series(1, 3) n;
INSERT INTO key_pairs VALUES (4, 5);
INSERT INTO key_refs VALUES (1, 1, 5);
INSERT INTO whole_rows VALUES (1, 100, 40);
INSERT INTO allowed_rows VALUES (1, 100, 40);
INSERT INTO ruled_rows VALUES (1, 100, 40);
INSERT INTO routed VALUES (1, 100, 40);
INSERT INTO nets VALUES (1, '10.0.0.1');
INSERT INTO chain_a SELECT generate_series(10, 80, 10);
INSERT INTO chain_b SELECT generate_series(10, 80, 10);
INSERT INTO chain_c VALUES (1, 30);
INSERT INTO follows VALUES (1, 80, 30);
SET ROLE keeper;
REFRESH MATERIALIZED VIEW mv_letters;
REFRESH MATERIALIZED VIEW mv_hidden;
ALTER TABLE late ADD COLUMN IF NOT EXISTS since text DEFAULT 'hidden a';
RESET ROLE;
