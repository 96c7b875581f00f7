-- +goose Up

-- The one GitHub App of the farm: what everybody may see, and its secrets, sealed.
CREATE TABLE github_app (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    public  TEXT    NOT NULL, -- JSON
    secrets BLOB    NOT NULL
);

-- Messages of the webhook, each once. The payload is dropped when it was acted on.
CREATE TABLE github_deliveries (
    guid        TEXT    NOT NULL PRIMARY KEY,
    event       TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    payload     BLOB,
    received_at BIGINT  NOT NULL,
    tries       INTEGER NOT NULL,
    next_at     BIGINT  NOT NULL,
    done_at     BIGINT  NOT NULL, -- 0: not yet
    outcome     TEXT    NOT NULL
);
CREATE INDEX github_deliveries_due ON github_deliveries (next_at) WHERE done_at = 0;
CREATE INDEX github_deliveries_by_time ON github_deliveries (received_at);

-- The App on an account.
CREATE TABLE github_installations (
    id         BIGINT  NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL,
    org_id     TEXT    NOT NULL, -- '' until somebody said whose it is
    removed    INTEGER NOT NULL,
    updated_at BIGINT  NOT NULL
);

-- What installations cover. GitHub's number survives renaming and transfer.
CREATE TABLE github_repositories (
    id              BIGINT  NOT NULL PRIMARY KEY,
    installation_id BIGINT  NOT NULL REFERENCES github_installations (id),
    full_name       TEXT    NOT NULL,
    clone_url       TEXT    NOT NULL,
    private         INTEGER NOT NULL,
    removed         INTEGER NOT NULL,
    baseline_at     BIGINT  NOT NULL,
    swept_at        BIGINT  NOT NULL
);
CREATE INDEX github_repositories_by_name ON github_repositories (lower(full_name));
CREATE INDEX github_repositories_by_installation ON github_repositories (installation_id);

-- The ledger: what became of every tag.
CREATE TABLE github_tags (
    repo_id    BIGINT  NOT NULL REFERENCES github_repositories (id),
    name       TEXT    NOT NULL,
    object     TEXT    NOT NULL,
    commit_sha TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    moved      INTEGER NOT NULL,
    builds     TEXT    NOT NULL, -- JSON
    source     TEXT    NOT NULL,
    seen_at    BIGINT  NOT NULL,
    changed_at BIGINT  NOT NULL,
    next_at    BIGINT  NOT NULL, -- 0: not again by itself
    tries      INTEGER NOT NULL,
    PRIMARY KEY (repo_id, name)
);
CREATE INDEX github_tags_due ON github_tags (next_at) WHERE next_at > 0;
CREATE INDEX github_tags_by_change ON github_tags (changed_at);

-- What GitHub was told of each job.
CREATE TABLE github_checks (
    job_id     TEXT    NOT NULL PRIMARY KEY,
    build_id   TEXT    NOT NULL,
    repo_id    BIGINT  NOT NULL,
    commit_sha TEXT    NOT NULL,
    run_id     BIGINT  NOT NULL, -- 0 until GitHub has made one
    told       TEXT    NOT NULL,
    done       INTEGER NOT NULL,
    next_at    BIGINT  NOT NULL,
    tries      INTEGER NOT NULL
);
CREATE INDEX github_checks_due ON github_checks (next_at) WHERE done = 0;
CREATE INDEX github_checks_by_commit ON github_checks (repo_id, commit_sha);

-- +goose Down
DROP TABLE github_checks;
DROP TABLE github_tags;
DROP TABLE github_repositories;
DROP TABLE github_installations;
DROP TABLE github_deliveries;
DROP TABLE github_app;
