INSERT INTO accounts SELECT n, 'owner ' || n FROM generate_series(1, 8) n;
INSERT INTO depts VALUES ('dev', 'Ada'), ('ops', 'Ben'), ('law', 'Cy'), ('art', 'Di');
INSERT INTO secrets (id, name, dept, ssn, email, code, badge, card, salary, balance, born, vip, profile, raw, token, tags, home, grade, account) VALUES
 (1, 'Ada', 'dev', '987654321987', 'ünï漢@b.example', 'ZYXWVUTS1001', 'zz-9', 42, 900001, 1e300, '0300-01-01 BC', false, '[1, 2]', '"\u0000"', '\xff', '{z}', '(,20)', 'top', 3),
 (2, 'Ben', 'dev', '887x', 'v@b.example', 'ZYXWVUTS1002', 'yy-8', 41, 7, 5, '300000-01-01', true, '"s"', '[]', '\xfe00', '{q,r,s}', '("q",)', 'top', 4),
 (3, 'Cyd', 'ops', '77', 'w@b.example', 'ZYXWVUTS1003', 'zz-7', 40, 55, 4, '1970-05-05', false, '{"k": null}', '3', '\xfd', '{}', '(,)', 'high', 3),
 (4, 'Dee', 'law', '6', 'x@b.example', 'ZYXWVUTS1004', 'xx-6', 39, 55, 3, '1969-05-05', false, '{}', 'null', '\xfc', '{t,u}', '("",8)', 'mid', 5),
 (5, 'Eve', 'ops', '', 'y@b.example', 'ZYXWVUTS1005', 'ww-5', -38, 0, 0, '1968-05-05', false, 'true', '{}', '\x', '{NULL}', '(t,)', 'low', 3),
 (6, 'Flo', 'art', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO notes VALUES (1, 'one', 10), (2, 'two', 20), (3, 'three', 30);
INSERT INTO people VALUES (1, 'Pat', '9999'), (2, 'Quin', '888');
INSERT INTO people_eu VALUES (3, 'Rob', '77', 'fr'), (4, 'Sue', '6', 'de');
INSERT INTO events VALUES (1, 'eu', 9), (2, 'eu', 8), (3, 'us', 7);
INSERT INTO bands VALUES (1, 7), (2, 8);
INSERT INTO products_of VALUES (1, 2, 3), (2, 3, 4);
INSERT INTO numbered VALUES (1, 'x', 52), (2, 'y', 53);
INSERT INTO preset VALUES (1, 'x', 17), (2, 'y', 8);
INSERT INTO joined VALUES (1, 'a', 'z'), (2, 'c', 'd');
INSERT INTO limited VALUES (1, 'x', '7'), (2, 'y', '8');
INSERT INTO paired VALUES (1, 5, 90), (2, 5, 80), (3, 5, 70), (4, 5, 10);
INSERT INTO ordered VALUES (1, 90), (2, 80), (3, 70), (4, 10);
INSERT INTO gathered VALUES (1, 2, 3), (2, 3, 4);
INSERT INTO holder VALUES (1, '(1,Pat,3)'), (2, '(2,Quin,)');
REFRESH MATERIALIZED VIEW mv_ssn;
INSERT INTO tenant.letters VALUES (1, 'covered b 1'), (2, 'covered b 2');
INSERT INTO turns VALUES (0);
INSERT INTO key_pairs SELECT n, 6 FROM generate_series(1, 3) n;
INSERT INTO key_pairs VALUES (4, 7);
INSERT INTO key_refs VALUES (1, 1, 6);
INSERT INTO whole_rows VALUES (1, 100, 60);
INSERT INTO allowed_rows VALUES (1, 100, 60);
INSERT INTO ruled_rows VALUES (1, 100, 60);
INSERT INTO routed VALUES (1, 100, 60);
INSERT INTO nets VALUES (1, '10.200.0.1');
INSERT INTO chain_a SELECT generate_series(10, 80, 10);
INSERT INTO chain_b SELECT generate_series(10, 80, 10);
INSERT INTO chain_c VALUES (1, 40);
INSERT INTO follows VALUES (1, 80, 60);
SET ROLE keeper;
REFRESH MATERIALIZED VIEW mv_letters;
REFRESH MATERIALIZED VIEW mv_hidden;
ALTER TABLE late ADD COLUMN IF NOT EXISTS since text DEFAULT 'covered b';
RESET ROLE;
