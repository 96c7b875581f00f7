-- +goose Up

CREATE TABLE orgs (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    namespace  TEXT   NOT NULL, -- '' until the organization has one
    created_at BIGINT NOT NULL
);
-- Acme and acme would be one folder on many machines, so they are one namespace.
CREATE UNIQUE INDEX orgs_by_namespace ON orgs (lower(namespace)) WHERE namespace <> '';

-- One row: which farm key the hashes and sealed values of this database belong to.
CREATE TABLE founding (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    fingerprint TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL
);

-- API keys without their secrets: hash is an HMAC under the farm key.
CREATE TABLE api_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    org_id     TEXT   NOT NULL REFERENCES orgs (id),
    name       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    hash       BLOB   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX api_keys_by_org ON api_keys (org_id, created_at);

CREATE TABLE modules (
    module_key TEXT   NOT NULL PRIMARY KEY,
    org_id     TEXT   NOT NULL REFERENCES orgs (id),
    name       TEXT   NOT NULL,
    visibility TEXT   NOT NULL,
    metadata   TEXT   NOT NULL, -- JSON, the current one
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX modules_by_name ON modules (org_id, lower(name));

-- The metadata that a version was published with; never updated.
CREATE TABLE versions (
    module_key TEXT   NOT NULL REFERENCES modules (module_key),
    version    TEXT   NOT NULL,
    metadata   TEXT   NOT NULL, -- JSON
    created_at BIGINT NOT NULL,
    PRIMARY KEY (module_key, version)
);

-- Which object of the backend holds the bytes of a digest.
CREATE TABLE blobs (
    sha256      TEXT   NOT NULL PRIMARY KEY,
    object_key  TEXT   NOT NULL UNIQUE,
    size        BIGINT NOT NULL,
    crc32c      BIGINT NOT NULL,
    tar_sha256  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    received_at BIGINT NOT NULL, -- a collector's grace period counts from here
    marked_at   BIGINT NOT NULL  -- 0, or when a collector claimed the row; publishing takes none of those
);
CREATE INDEX blobs_by_received ON blobs (received_at);

-- One row per published archive; never updated.
CREATE TABLE releases (
    module_key   TEXT   NOT NULL,
    version      TEXT   NOT NULL,
    platform     TEXT   NOT NULL,
    tags         TEXT   NOT NULL, -- sorted, one a line; '' for none
    commit_sha   TEXT   NOT NULL,
    build_id     TEXT   NOT NULL,
    strategy     TEXT   NOT NULL,
    sha256       TEXT   NOT NULL REFERENCES blobs (sha256),
    entrypoint   TEXT   NOT NULL,
    manifest     TEXT   NOT NULL, -- JSON of its meta.json, or ''
    warnings     TEXT   NOT NULL, -- JSON
    published_at BIGINT NOT NULL,
    PRIMARY KEY (module_key, version, platform, tags),
    FOREIGN KEY (module_key, version) REFERENCES versions (module_key, version)
);
CREATE INDEX releases_by_blob ON releases (sha256);

-- +goose Down
DROP TABLE releases;
DROP TABLE blobs;
DROP TABLE versions;
DROP TABLE modules;
DROP TABLE api_keys;
DROP TABLE founding;
DROP TABLE orgs;
