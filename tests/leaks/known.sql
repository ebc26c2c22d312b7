-- What masks are known not to hide: each is under "What masks cannot do" in docs/guide/masking.md.
-- known: an administrator's domain calls a function that reads a masked column
SELECT '77'::unknown_ssn
