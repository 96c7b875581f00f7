-- +goose Up

-- One row per build: what was asked for, and what its commit said.
CREATE TABLE builds (
    id            TEXT    NOT NULL PRIMARY KEY,
    org_id        TEXT    NOT NULL,
    module_id     TEXT    NOT NULL,
    version       TEXT    NOT NULL, -- '' builds and publishes nothing
    repo          TEXT    NOT NULL,
    ref           TEXT    NOT NULL,
    commit_sha    TEXT    NOT NULL, -- '' until resolved
    workdir       TEXT    NOT NULL,
    distro        TEXT    NOT NULL,
    publish       TEXT    NOT NULL,
    manifest      TEXT,             -- JSON of meta.json, once resolved
    settings      TEXT,             -- JSON of modfarm.yaml, once resolved
    requested_by  TEXT    NOT NULL,
    token         BLOB,             -- checkout token, sealed; wiped when the build ends
    resolve_after BIGINT  NOT NULL, -- unix ms: not before then
    resolve_tries INTEGER NOT NULL,
    created_at    BIGINT  NOT NULL,
    ended_at      BIGINT  NOT NULL  -- 0: a job is still under way
);
CREATE INDEX builds_by_module ON builds (module_id, version, created_at);
CREATE INDEX builds_by_org ON builds (org_id, created_at);
CREATE INDEX builds_by_time ON builds (created_at);

-- One row per platform of a build. state follows the table in farm/state.go.
CREATE TABLE jobs (
    id            TEXT    NOT NULL PRIMARY KEY,
    build_id      TEXT    NOT NULL REFERENCES builds (id),
    platform      TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    step          TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    attempt       INTEGER NOT NULL,
    worker        TEXT    NOT NULL,
    strategy      TEXT    NOT NULL,
    pin           TEXT    NOT NULL, -- the one strategy modfarm.yaml allows; '' for any
    fallback_from TEXT    NOT NULL,
    release       TEXT,             -- JSON of the staged or published release
    lease_hash    TEXT    NOT NULL, -- SHA-256 of the lease token that was given last; '' for none
    lease_until   BIGINT  NOT NULL, -- unix ms, by the farm's clock
    cancel        INTEGER NOT NULL,
    rung_at       BIGINT  NOT NULL,
    log_size      BIGINT  NOT NULL,
    created_at    BIGINT  NOT NULL,
    started_at    BIGINT  NOT NULL,
    ended_at      BIGINT  NOT NULL,
    UNIQUE (build_id, platform)
);
CREATE INDEX jobs_queued ON jobs (platform, rung_at) WHERE state = 'queued';
CREATE INDEX jobs_active ON jobs (state, lease_until) WHERE state IN ('resolving', 'running', 'publishing');

-- The log of a job, in the chunks it arrived in; offsets are bytes and leave no gap.
CREATE TABLE log_chunks (
    job_id   TEXT   NOT NULL REFERENCES jobs (id),
    position BIGINT NOT NULL,
    step     TEXT   NOT NULL,
    data     BLOB   NOT NULL,
    PRIMARY KEY (job_id, position)
);

-- Strategies that cannot build a module for a platform: a cross attempt falls back once and is not tried again.
CREATE TABLE failed_strategies (
    module_id TEXT   NOT NULL,
    platform  TEXT   NOT NULL,
    strategy  TEXT   NOT NULL,
    failed_at BIGINT NOT NULL,
    PRIMARY KEY (module_id, platform, strategy)
);

-- A row to lock while builds of one module and version are compared and added, so that two equal requests that
-- arrive together become one build.
CREATE TABLE submissions (
    module_id  TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    touched_at BIGINT NOT NULL,
    PRIMARY KEY (module_id, version)
);

-- +goose Down
DROP TABLE submissions;
DROP TABLE failed_strategies;
DROP TABLE log_chunks;
DROP TABLE jobs;
DROP TABLE builds;
