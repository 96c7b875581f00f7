-- +goose Up

-- What the order of claims is decided by.
ALTER TABLE jobs ADD COLUMN org_id TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN queued_at BIGINT NOT NULL DEFAULT 0; -- unix ms: since when it may be claimed
ALTER TABLE jobs ADD COLUMN memory BIGINT NOT NULL DEFAULT 0;    -- bytes that building it takes
ALTER TABLE jobs ADD COLUMN report TEXT;                         -- JSON of what the worker told about how it built
UPDATE jobs SET org_id = (SELECT b.org_id FROM builds b WHERE b.id = jobs.build_id), queued_at = created_at;

-- The checkout token is wiped when a build ends; a retry has to know that there was one.
ALTER TABLE builds ADD COLUMN had_token INTEGER NOT NULL DEFAULT 0;

ALTER TABLE releases ADD COLUMN report TEXT; -- JSON, as of the job

-- One index a state: SQLite does not see that one state is among several of an index.
DROP INDEX jobs_queued;
DROP INDEX jobs_active;
CREATE INDEX jobs_resolving ON jobs (build_id) WHERE state = 'resolving';
CREATE INDEX jobs_queued ON jobs (platform, org_id, created_at, build_id) WHERE state = 'queued';
CREATE INDEX jobs_unrung ON jobs (rung_at) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (org_id, platform) WHERE state = 'running';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_publishing ON jobs (lease_until) WHERE state = 'publishing';
-- When an organization got its last worker: of two with equal shares the one that waits longer goes first.
CREATE INDEX jobs_by_start ON jobs (org_id, started_at);

-- +goose Down
DROP INDEX jobs_by_start;
DROP INDEX jobs_publishing;
DROP INDEX jobs_leased;
DROP INDEX jobs_running;
DROP INDEX jobs_unrung;
DROP INDEX jobs_queued;
DROP INDEX jobs_resolving;
CREATE INDEX jobs_queued ON jobs (platform, rung_at) WHERE state = 'queued';
CREATE INDEX jobs_active ON jobs (state, lease_until) WHERE state IN ('resolving', 'running', 'publishing');
ALTER TABLE releases DROP COLUMN report;
ALTER TABLE builds DROP COLUMN had_token;
ALTER TABLE jobs DROP COLUMN report;
ALTER TABLE jobs DROP COLUMN memory;
ALTER TABLE jobs DROP COLUMN queued_at;
ALTER TABLE jobs DROP COLUMN org_id;
