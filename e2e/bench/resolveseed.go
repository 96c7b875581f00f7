package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	_ "modernc.org/sqlite" // the driver that the farm uses, too

	"github.com/modfarm/modfarm/module"
)

// seedVersions and seedPlatforms make the 20 uploads of each module.
func seedVersions() []string {
	return strings.Fields("0.9.0 1.0.0 1.0.1 1.1.0 1.2.0 1.2.1 1.3.0-rc.1 1.3.0 2.0.0-rc.1 2.0.0")
}

func seedPlatforms() []string { return []string{"linux/amd64", "linux/arm64"} }

func seedName(i int) string { return fmt.Sprintf("widget-%06d", i) }

// seedUploads are the uploads of any of the modules.
func seedUploads() ([]module.Upload, error) {
	var uploads []module.Upload
	for _, v := range seedVersions() {
		for _, p := range seedPlatforms() {
			var u module.Upload
			if err := errors.Join(u.Version.UnmarshalText([]byte(v)), u.Platform.UnmarshalText([]byte(p))); err != nil {
				return nil, err
			}
			uploads = append(uploads, u)
		}
	}
	return uploads, nil
}

// seedModules fills the database of a farm that is stopped. SQLite makes the rows itself,
// in the order of their indexes; all uploads share one archive that nobody downloads.
func seedModules(ctx context.Context, file, org string, modules int) (err error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=synchronous(0)&_pragma=foreign_keys(0)&_pragma=cache_size(-65536)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	digest := strings.Repeat("0", 63) + "1"
	for _, statement := range []struct {
		text string
		args []any
	}{
		{`INSERT INTO blobs (sha256, object_key, size, crc32c, tar_sha256, created_at, received_at, marked_at)
			VALUES (?, 'bench', 1, 1, '', 1, 1, 0)`, []any{digest}},
		{`WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
			INSERT INTO modules (module_key, org_id, name, visibility, metadata, created_at, updated_at)
			SELECT printf('00000000-0000-4000-8000-%012d', i), ?, printf('widget-%06d', i), 'private', '{}', 1, 1 FROM n`, []any{modules, org}},
		{`INSERT INTO versions (module_key, version, metadata, created_at)
			SELECT module_key, value, '{"description":"a module of the bench"}', 1
			FROM modules, json_each(?) ORDER BY 1, 2`, []any{jsonList(seedVersions())}},
		{`INSERT INTO releases (module_key, version, platform, tags, commit_sha, build_id, strategy, sha256, entrypoint, manifest, warnings, published_at)
			SELECT module_key, version, value, '', '', '', '', ?, 'run.sh', '', '[]', 1
			FROM versions, json_each(?) ORDER BY 1, 2, 3`, []any{digest, jsonList(seedPlatforms())}},
		{`PRAGMA wal_checkpoint(TRUNCATE)`, nil},
	} {
		if _, err := db.ExecContext(ctx, statement.text, statement.args...); err != nil {
			return err
		}
	}
	return nil
}

func jsonList(list []string) string { return `["` + strings.Join(list, `","`) + `"]` }
