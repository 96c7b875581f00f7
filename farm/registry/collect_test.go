package registry_test

import (
	"bytes"
	"database/sql"
	"errors"
	"testing"

	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

// A collector claims a row first, then deletes the object, then the row. Nothing
// that happens in between may leave a release without bytes.
func TestARowThatACollectorClaimed(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			dsn := servers.DSN(t, dialect)
			f := newFarm(t, storetest.Reopen(t, dsn))
			m := f.module(t, "widget")
			body, _ := packed(t, 1000)
			if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); err != nil {
				t.Fatal(err)
			}
			claimed, err := f.store.Blob(t.Context(), digest(body))
			if err != nil {
				t.Fatal(err)
			}
			rel := f.release(t, m, "1.0.0", "", func(rel *module.Release) { rel.SHA256 = claimed.SHA256 })
			claim(t, dialect, dsn)
			if err := f.Publish(t.Context(), []module.Release{rel}); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("publishing claimed bytes: %v, want ErrNotFound", err)
			}
			if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); err != nil {
				t.Fatal(err)
			}
			if err := f.Blobs.Delete(t.Context(), claimed.Key); err != nil { // the collector goes on
				t.Fatal(err)
			}
			f.publish(t, rel)
			if !bytes.Equal(f.content(t, rel.SHA256), body) {
				t.Error("the release has other bytes")
			}
		})
	}
}

func claim(t *testing.T, dialect, dsn string) {
	t.Helper()
	driver := map[string]string{"sqlite": "sqlite", "postgres": "pgx"}[dialect]
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE blobs SET marked_at = 1"); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
