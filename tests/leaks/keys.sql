-- What keys, policies, partitions and copies tell: tables of one's own beside masked ones.
-- script
CREATE TEMP TABLE mine (y text UNIQUE, x int)
INSERT INTO mine SELECT lpad(i::text, 3, '0') || '-45-6789', i FROM generate_series(1, 999) i
ALTER TABLE mine RENAME y TO ssn
ALTER TABLE mine RENAME TO secrets
SELECT p.id, m.x FROM public.secrets p JOIN pg_temp.secrets m ON m.ssn = p.ssn
SELECT p.id, m.x FROM public.secrets p JOIN pg_temp.secrets m USING (ssn)
SELECT id FROM public.secrets WHERE ssn IN (SELECT ssn FROM pg_temp.secrets WHERE x < 300)
-- end
-- script
CREATE TABLE kid () INHERITS (secrets)
INSERT INTO kid (id, name, ssn) SELECT -i, 'k', lpad(i::text, 3, '0') || '-45-6789' FROM generate_series(1, 999) i
SELECT c.id, k.id FROM secrets c JOIN secrets k ON c.ssn = k.ssn WHERE c.id > 0 AND k.id < 0
SELECT k.id, r.id FROM secrets k JOIN refs r ON k.ssn = r.ssn_ref WHERE k.id < 0
-- end
-- script
SET search_path = tenant, public
REFRESH MATERIALIZED VIEW public.mv_letters
INSERT INTO public.copied_letters VALUES (2)
DROP VIEW tenant.v_hidden
DROP TABLE tenant.letters
SELECT * FROM public.mv_letters
SELECT * FROM public.copied_letters
-- end
-- script
DROP VIEW tenant.v_hidden
CREATE TABLE tenant.v_hidden (id int, body text)
SELECT * FROM mv_hidden
-- end
-- script
CREATE TABLE over_accounts (id int, owner text)
ALTER TABLE accounts INHERIT over_accounts
DELETE FROM over_accounts WHERE id = 1
-- end
-- script
CREATE TABLE over_accounts (id int, owner text)
ALTER TABLE accounts INHERIT over_accounts
DELETE FROM over_accounts WHERE id = 3
-- end
-- script
UPDATE key_refs SET a = 4 WHERE id = 1
-- end
-- script
UPDATE whole_rows SET pub = 50 WHERE id = 1
-- end
-- script
UPDATE allowed_rows SET pub = 50 WHERE id = 1
-- end
-- script
UPDATE ruled_rows SET pub = 50 WHERE id = 1
-- end
-- script
UPDATE routed SET pub = 950 WHERE id = 1
-- end
-- script
UPDATE routed_low SET pub = 950 WHERE id = 1
-- end
-- script
INSERT INTO nets VALUES (2, '10.0.0.0/9')
-- end
-- script
DELETE FROM chain_a WHERE id = 30
-- end
-- script
DELETE FROM chain_b WHERE id = 30
-- end
-- script
UPDATE follows SET a = 50 WHERE id = 1
-- end
-- script
UPDATE chain_a SET id = 45 WHERE id = 80
-- end
