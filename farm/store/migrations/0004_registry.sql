-- +goose Up

-- Deprecation: 0 or when, and why. A module that is deleted keeps its row, and so do its versions: what was published
-- once never comes to mean other bytes.
ALTER TABLE modules ADD COLUMN deprecated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE modules ADD COLUMN deprecated_why TEXT NOT NULL DEFAULT '';
ALTER TABLE modules ADD COLUMN deleted_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE modules ADD COLUMN deleted_by TEXT NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN deprecated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN deprecated_why TEXT NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN deleted_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN deleted_by TEXT NOT NULL DEFAULT '';

-- The pages of a listing: what is public by name, across organizations.
CREATE INDEX modules_listed ON modules (lower(name), org_id)
    WHERE visibility = 'public' AND deleted_at = 0 AND deprecated_at = 0;
CREATE INDEX releases_by_platform ON releases (module_key, platform);

-- One row per upload that was deleted: its place is never filled again.
CREATE TABLE deleted_releases (
    module_key TEXT   NOT NULL REFERENCES modules (module_key),
    version    TEXT   NOT NULL,
    platform   TEXT   NOT NULL,
    tags       TEXT   NOT NULL,
    sha256     TEXT   NOT NULL, -- of bytes that may be gone
    deleted_at BIGINT NOT NULL,
    deleted_by TEXT   NOT NULL,
    PRIMARY KEY (module_key, version, platform, tags)
);

-- Who fetched what, last: one row per key and upload.
CREATE TABLE uses (
    module_key TEXT    NOT NULL REFERENCES modules (module_key),
    version    TEXT    NOT NULL,
    platform   TEXT    NOT NULL,
    org_id     TEXT    NOT NULL,
    key_id     TEXT    NOT NULL,
    machine    INTEGER NOT NULL, -- 1: the key is a machine's
    last_at    BIGINT  NOT NULL,
    PRIMARY KEY (module_key, key_id, version, platform)
);

-- What was done to a module, by whom; never updated.
CREATE TABLE module_events (
    id         TEXT   NOT NULL PRIMARY KEY,
    module_key TEXT   NOT NULL REFERENCES modules (module_key),
    at         BIGINT NOT NULL,
    actor      TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    version    TEXT   NOT NULL, -- '' for the module as a whole
    detail     TEXT   NOT NULL
);
CREATE INDEX module_events_by_module ON module_events (module_key, at);

-- The words that a module is found by, in lower case. Bytes, so that both databases put them in the same order.
CREATE TABLE module_words (
    word       BLOB NOT NULL,
    module_key TEXT NOT NULL REFERENCES modules (module_key),
    PRIMARY KEY (word, module_key)
);
CREATE INDEX module_words_by_module ON module_words (module_key, word);

-- +goose Down
DROP TABLE module_words;
DROP TABLE module_events;
DROP TABLE uses;
DROP TABLE deleted_releases;
DROP INDEX releases_by_platform;
DROP INDEX modules_listed;
ALTER TABLE versions DROP COLUMN deleted_by;
ALTER TABLE versions DROP COLUMN deleted_at;
ALTER TABLE versions DROP COLUMN deprecated_why;
ALTER TABLE versions DROP COLUMN deprecated_at;
ALTER TABLE modules DROP COLUMN deleted_by;
ALTER TABLE modules DROP COLUMN deleted_at;
ALTER TABLE modules DROP COLUMN deprecated_why;
ALTER TABLE modules DROP COLUMN deprecated_at;
