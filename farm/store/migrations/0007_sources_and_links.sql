-- +goose Up

-- Builds of uploaded source have no repo, and their commit is the SHA-256 of the source, which must be kept until
-- they end.
CREATE INDEX builds_of_source ON builds (commit_sha) WHERE repo = '' AND ended_at = 0;

-- Source that was uploaded as a package of its own, to be built by name later. Never a release.
CREATE TABLE source_packages (
    org_id     TEXT   NOT NULL REFERENCES orgs (id),
    name       TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    sha256     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL, -- when it was last uploaded or built
    PRIMARY KEY (org_id, name, version)
);
CREATE INDEX source_packages_by_use ON source_packages (used_at);

-- Which account of a code host speaks for whom. It is made when somebody installs the app there.
CREATE TABLE app_links (
    id            TEXT   NOT NULL PRIMARY KEY,
    owner_org     TEXT   NOT NULL REFERENCES orgs (id), -- whose key made it
    farm_user     TEXT   NOT NULL, -- who made it here
    external_user TEXT   NOT NULL, -- the account there
    created_at    BIGINT NOT NULL
);
CREATE INDEX app_links_by_owner ON app_links (owner_org);

-- The organizations that may use the repositories of an app link.
CREATE TABLE app_link_orgs (
    link_id TEXT NOT NULL REFERENCES app_links (id) ON DELETE CASCADE,
    org_id  TEXT NOT NULL REFERENCES orgs (id),
    PRIMARY KEY (link_id, org_id)
);
CREATE INDEX app_link_orgs_by_org ON app_link_orgs (org_id);

-- Which repository a module is built from when a tag is pushed.
CREATE TABLE repo_links (
    id          TEXT   NOT NULL PRIMARY KEY,
    org_id      TEXT   NOT NULL REFERENCES orgs (id),
    module_name TEXT   NOT NULL, -- as the registry spells it
    app_link_id TEXT   NOT NULL, -- '' while no app link is named
    repo        TEXT   NOT NULL, -- https address, as it is compared
    farm_user   TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    UNIQUE (org_id, module_name, repo)
);
CREATE INDEX repo_links_by_app ON repo_links (app_link_id);
CREATE INDEX repo_links_by_repo ON repo_links (repo);

-- +goose Down
DROP TABLE repo_links;
DROP TABLE app_link_orgs;
DROP TABLE app_links;
DROP TABLE source_packages;
DROP INDEX builds_of_source;
