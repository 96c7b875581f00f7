-- +goose Up

-- What the request said about publishing; empty leaves it to modfarm.yaml.
ALTER TABLE builds ADD COLUMN asked_publish TEXT NOT NULL DEFAULT '';
-- The other platforms are cancelled when one fails.
ALTER TABLE builds ADD COLUMN fail_fast INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE builds DROP COLUMN fail_fast;
ALTER TABLE builds DROP COLUMN asked_publish;
