-- What a request and a grant are of, so that those of one operation are found without reading all.

ALTER TABLE approvals ADD COLUMN digest TEXT NOT NULL DEFAULT '';
UPDATE approvals SET digest = coalesce(json_extract(body, '$.digest'), '');
CREATE INDEX approvals_by_digest ON approvals (digest) WHERE status = 'pending';

ALTER TABLE grants ADD COLUMN digest TEXT NOT NULL DEFAULT '';
UPDATE grants SET digest = coalesce(json_extract(body, '$.digest'), '');
CREATE INDEX grants_by_digest ON grants (digest);
