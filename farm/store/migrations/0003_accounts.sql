-- +goose Up

-- A key may be for one module of its organization, end at a time, and be rotated: the secret before the last rotation
-- is good until old_until. Times are unix ms; 0 is never.
ALTER TABLE api_keys ADD COLUMN module_name TEXT NOT NULL DEFAULT ''; -- '' for the whole organization
ALTER TABLE api_keys ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN rotated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN old_hash BLOB;
ALTER TABLE api_keys ADD COLUMN old_until BIGINT NOT NULL DEFAULT 0;

-- The organization that the farm was made with: its owners run the farm.
ALTER TABLE founding ADD COLUMN org_id TEXT NOT NULL DEFAULT '';
UPDATE founding SET org_id = COALESCE((SELECT id FROM orgs ORDER BY created_at, id LIMIT 1), '');

-- +goose Down
ALTER TABLE founding DROP COLUMN org_id;
ALTER TABLE api_keys DROP COLUMN old_until;
ALTER TABLE api_keys DROP COLUMN old_hash;
ALTER TABLE api_keys DROP COLUMN used_at;
ALTER TABLE api_keys DROP COLUMN rotated_at;
ALTER TABLE api_keys DROP COLUMN expires_at;
ALTER TABLE api_keys DROP COLUMN module_name;
