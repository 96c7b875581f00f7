-- +goose Up

-- A job that its last worker's machine failed is kept from that worker until then, unix ms.
ALTER TABLE jobs ADD COLUMN avoid_until BIGINT NOT NULL DEFAULT 0;

-- Workers that get no more jobs because somebody said so.
CREATE TABLE drained_workers (
    name       TEXT   NOT NULL PRIMARY KEY,
    drained_at BIGINT NOT NULL -- unix ms
);

-- +goose Down
DROP TABLE drained_workers;
ALTER TABLE jobs DROP COLUMN avoid_until;
