-- +goose Up

-- Every resolve asks which versions are deprecated; most modules have none, and the answer must not read their rows.
CREATE INDEX versions_deprecated ON versions (module_key, version) WHERE deprecated_at <> 0;

-- +goose Down
DROP INDEX versions_deprecated;
