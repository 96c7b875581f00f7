-- +goose Up

-- A claim that is repeated is answered with the job of the claim before.
CREATE INDEX jobs_by_lease ON jobs (lease_hash);

-- +goose Down
DROP INDEX jobs_by_lease;
