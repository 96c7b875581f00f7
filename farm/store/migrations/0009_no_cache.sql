-- +goose Up

-- The build finds nothing of earlier ones and leaves nothing to later ones.
ALTER TABLE builds ADD COLUMN no_cache INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE builds DROP COLUMN no_cache;
