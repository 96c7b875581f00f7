-- +goose Up

-- What the key of a workflow run is bound to, as JSON; '' for every other key. Such keys go when they have expired.
ALTER TABLE api_keys ADD COLUMN workflow TEXT NOT NULL DEFAULT '';
CREATE INDEX api_keys_of_workflows ON api_keys (expires_at) WHERE workflow <> '';

-- Identities of workflow runs that were exchanged for a key: each is good once.
CREATE TABLE spent_id_tokens (
    issuer     TEXT   NOT NULL,
    token_id   TEXT   NOT NULL, -- jti
    expires_at BIGINT NOT NULL, -- nobody accepts it any more
    PRIMARY KEY (issuer, token_id)
);
CREATE INDEX spent_id_tokens_by_end ON spent_id_tokens (expires_at);

-- The code host's numbers of a linked repository and its owner, as the first workflow run told them: they survive a
-- new name, and a repository that was made anew has others. '' until then.
ALTER TABLE repo_links ADD COLUMN repo_number TEXT NOT NULL DEFAULT '';
ALTER TABLE repo_links ADD COLUMN owner_number TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE repo_links DROP COLUMN owner_number;
ALTER TABLE repo_links DROP COLUMN repo_number;
DROP TABLE spent_id_tokens;
DROP INDEX api_keys_of_workflows;
ALTER TABLE api_keys DROP COLUMN workflow;
