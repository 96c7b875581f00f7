-- +goose Up

-- A link that was removed is remembered, so that the GitHub App does not make it again by itself. 0: it is there.
ALTER TABLE repo_links ADD COLUMN unlinked_at BIGINT NOT NULL DEFAULT 0;

-- The organization whose modules were looked for in the repository, to be linked with it. '': none yet.
ALTER TABLE github_repositories ADD COLUMN linked_org TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE github_repositories DROP COLUMN linked_org;
DELETE FROM repo_links WHERE unlinked_at > 0;
ALTER TABLE repo_links DROP COLUMN unlinked_at;
