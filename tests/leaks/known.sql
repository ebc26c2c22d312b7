-- What masks are known not to hide: each is under "What masks cannot do" in docs/guide/masking.md.
-- known: rows come in the order of an index that a masked column is part of
-- script
SET enable_seqscan = off
SET enable_bitmapscan = off
SELECT id FROM secrets WHERE dept = 'dev'
-- end
-- known: an administrator's domain calls a function that reads a masked column
SELECT '77'::unknown_ssn
