-- +goose Up

-- Uploads that can be resumed: what is sent, for what, and how far its digests are.
CREATE TABLE uploads (
    id         TEXT    NOT NULL PRIMARY KEY,
    org_id     TEXT    NOT NULL,
    module_key TEXT    NOT NULL,
    job_id     TEXT    NOT NULL, -- '' unless a worker sends it under a lease
    release    TEXT    NOT NULL, -- JSON of what the archive is to become
    lenient    INTEGER NOT NULL,
    object_key TEXT    NOT NULL UNIQUE,
    size       BIGINT  NOT NULL,
    sha256     TEXT    NOT NULL, -- as the sender says
    hash_state BLOB,             -- of the digests over the bytes that are durable
    answer     TEXT    NOT NULL, -- what the sender was told at the end; '' before
    created_at BIGINT  NOT NULL,
    touched_at BIGINT  NOT NULL  -- the grace period counts from here
);
CREATE INDEX uploads_by_digest ON uploads (module_key, sha256);
CREATE INDEX uploads_by_touch ON uploads (touched_at);

-- What a collector claimed, and the jobs whose archives it must leave.
CREATE INDEX blobs_marked ON blobs (marked_at) WHERE marked_at <> 0;
CREATE INDEX jobs_waiting ON jobs (state) WHERE state = 'waiting';

-- +goose Down
DROP INDEX jobs_waiting;
DROP INDEX blobs_marked;
DROP TABLE uploads;
