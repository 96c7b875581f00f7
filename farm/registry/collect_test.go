package registry_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/registry"
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

// collected runs one round, by a clock that is ahead of the real one.
func (f *farm) collected(t *testing.T, ahead time.Duration) registry.Collected {
	t.Helper()
	later := &registry.Registry{Store: f.store, Blobs: f.Blobs, Now: func() time.Time { return time.Now().Add(ahead) }}
	done, err := later.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestCollect(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			kept, _ := packed(t, 1000)
			unneeded, _ := packed(t, 2000)
			for _, body := range [][]byte{kept, unneeded} {
				if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); err != nil {
					t.Fatal(err)
				}
			}
			f.publish(t, f.release(t, m, "1.0.0", "", func(rel *module.Release) { rel.SHA256 = digest(kept) }))
			abandoned := f.begin(t, unneeded)
			if _, err := f.send(t.Context(), abandoned, 0, bytes.NewReader(unneeded[:500])); err != nil {
				t.Fatal(err)
			}
			ended := f.begin(t, kept)
			if _, err := f.send(t.Context(), ended, 0, bytes.NewReader(kept)); err != nil {
				t.Fatal(err)
			}
			if _, err := f.finish(t, ended); err != nil {
				t.Fatal(err)
			}
			if err := f.CompleteUpload(t.Context(), ended.ID, []byte("done")); err != nil {
				t.Fatal(err)
			}
			if done := f.collected(t, 23*time.Hour); done != (registry.Collected{}) {
				t.Errorf("within the grace period: %+v", done)
			}
			f = f.again()
			// Two blobs: the row that f.release made for no bytes is none that a release names.
			want := registry.Collected{Blobs: 2, Uploads: 2, Bytes: int64(len(unneeded))}
			if diff := cmp.Diff(want, f.collected(t, 25*time.Hour)); diff != "" {
				t.Errorf("behind the grace period (-want +got):\n%s", diff)
			}
			if got := files(t, f.dir); len(got) != 1 {
				t.Errorf("files: %q, want one", got)
			}
			if !bytes.Equal(f.content(t, digest(kept)), kept) {
				t.Error("the release has other bytes")
			}
			if done := f.collected(t, 25*time.Hour); done != (registry.Collected{}) {
				t.Errorf("once more: %+v", done)
			}
		})
	}
}

// A collector that dies between its steps leaves nothing that the next round does
// not finish.
func TestCollectAfterACrash(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			for name, crash := range map[string]func(t *testing.T, f *farm, b registry.Blob){
				"before the object": func(*testing.T, *farm, registry.Blob) {},
				"before the row": func(t *testing.T, f *farm, b registry.Blob) {
					t.Helper()
					if err := f.Blobs.Delete(t.Context(), b.Key); err != nil {
						t.Fatal(err)
					}
				},
			} {
				f := newFarm(t, servers.Open(t, dialect))
				body, _ := packed(t, 1000)
				if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); err != nil {
					t.Fatal(err)
				}
				b, err := f.store.Blob(t.Context(), digest(body))
				if err != nil {
					t.Fatal(err)
				}
				before := time.Now().Add(time.Hour)
				if marked, err := f.store.MarkBlob(t.Context(), b.SHA256, before, before); err != nil || !marked {
					t.Fatalf("%s: marked %t, %v", name, marked, err)
				}
				if marked, err := f.store.MarkBlob(t.Context(), b.SHA256, before, before); err != nil || marked {
					t.Errorf("%s: marked twice, %v", name, err)
				}
				crash(t, f, b)
				if done := f.collected(t, 0); done.Blobs != 1 {
					t.Errorf("%s: %+v", name, done)
				}
				if got := files(t, f.dir); len(got) != 0 {
					t.Errorf("%s: left %q", name, got)
				}
				if _, err := f.store.Blob(t.Context(), b.SHA256); !errors.Is(err, module.ErrNotFound) {
					t.Errorf("%s: row: %v", name, err)
				}
			}
		})
	}
}

// Publishing and collecting the same blob at once never leaves a release without bytes.
func TestPublishingAgainstCollecting(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			for i := range 20 {
				body, _ := packed(t, 1000+i)
				if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); err != nil {
					t.Fatal(err)
				}
				rel := f.release(t, m, fmt.Sprintf("1.0.%d", i), "", func(rel *module.Release) { rel.SHA256 = digest(body) })
				var published error
				var wg sync.WaitGroup
				wg.Go(func() { published = f.Publish(t.Context(), []module.Release{rel}) })
				wg.Go(func() { f.collected(t, 25*time.Hour) })
				wg.Wait()
				_, err := f.store.Blob(t.Context(), digest(body))
				switch {
				case published == nil && err == nil:
					f.content(t, digest(body))
				case errors.Is(published, module.ErrNotFound) && errors.Is(err, module.ErrNotFound):
				default:
					t.Fatalf("published: %v, row: %v", published, err)
				}
			}
		})
	}
}
