package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/store"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

var servers *storetest.Servers

func TestMain(m *testing.M) {
	var err error
	if servers, err = storetest.Start(context.Background()); err != nil {
		panic(err)
	}
	m.Run() // its result is the exit code
	if err := servers.Stop(); err != nil {
		panic(err)
	}
}

// world is an empty database for one test.
type world struct {
	t   *testing.T
	dsn string
}

// onEach runs test on an empty store per dialect.
func onEach(t *testing.T, test func(w world)) {
	t.Helper()
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			test(world{t, servers.DSN(t, dialect)})
		})
	}
}

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// record is a build with every field filled.
func record(t *testing.T, id string) *farm.Record {
	t.Helper()
	version, err := module.ParseVersion("0.1.0-rc.1")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := module.ParseManifest([]byte(`{"module_id":"acme:widget","visibility":"public","models":[],"future":[1],
		"url":"https://git.example.com/acme/widget","description":"d","entrypoint":"run.sh","build":{"build":"make","path":"dist"}}`))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := module.ParseSettings([]byte("publish: all\nstrategy:\n  linux/arm64: cross\ntimeouts: {build: 1h}\n"))
	if err != nil {
		t.Fatal(err)
	}
	arm64 := module.Platform{OS: "linux", Arch: "arm64"}
	return &farm.Record{
		Build: farm.Build{
			ID: id, OrgID: "org", Module: module.ID{Namespace: "acme", Name: "widget"}, Version: version, Repo: "https://h/r",
			Ref: "v0.1.0-rc.1", Commit: "c0ffee", Workdir: "sub", Distro: "bookworm", Publish: module.PublishAll, Manifest: manifest,
			Settings: settings, RequestedBy: "somebody", CreatedAt: start, EndedAt: start.Add(time.Hour),
		},
		Token: []byte{0, 255, 1}, ResolveAfter: start.Add(time.Minute), ResolveTries: 3,
		Jobs: []*farm.JobRecord{{
			Job: farm.Job{
				ID: id + "-arm64", BuildID: id, Platform: arm64, State: farm.Running, Step: "build", Reason: "it's \"quoted\"; ünïcode",
				Attempt: 2, Worker: "w1", Strategy: module.StrategyQEMU, FallbackFrom: module.StrategyCross, CancelRequested: true,
				Release: &module.Release{
					ID: module.ID{Namespace: "acme", Name: "widget"}, Version: version, Platform: arm64, SHA256: "d1", Size: 1 << 40,
					Warnings: []string{"w"}, Manifest: []byte(`{"a":1}`), PublishedAt: start,
				},
				CreatedAt: start, StartedAt: start.Add(time.Second), EndedAt: start.Add(2 * time.Second), LogSize: 1 << 33,
				QueuedAt: start.Add(time.Millisecond), Memory: 4 << 30, Report: &module.BuildReport{
					Image: "builder@sha256:1", Environment: map[string]string{"A": "b"},
					Glibc: &module.GlibcNeed{Version: "2.34", Symbol: "fstat", File: "bin/main"}, Smoke: &module.SmokeRun{Verdict: "passed"},
				},
			},
			OrgID: "org", Pin: module.StrategyCross, LeaseHash: "hash", LeaseUntil: start.Add(15 * time.Second), RungAt: start.Add(3 * time.Second),
		}},
	}
}

func never([]*farm.Record) string { return "" }

func add(t testing.TB, s *store.Store, rec *farm.Record) {
	t.Helper()
	if _, added, err := s.AddBuild(t.Context(), rec, never); err != nil || !added {
		t.Fatalf("AddBuild: %t, %v", added, err)
	}
}

// TestRowsSurvive: every field comes back, also after the database was closed and opened again.
func TestRowsSurvive(t *testing.T) {
	onEach(t, func(w world) {
		t, dsn := w.t, w.dsn
		s, err := store.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		rec := record(t, "b1")
		add(t, s, rec)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := storetest.Reopen(t, dsn).Record(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rec, got); diff != "" {
			t.Errorf("record (-written +read):\n%s", diff)
		}
	})
}

func TestUpdateWritesEverything(t *testing.T) {
	onEach(t, func(w world) {
		t, dsn := w.t, w.dsn
		s := storetest.Reopen(t, dsn)
		plain := record(t, "b1")
		plain.Build.Manifest, plain.Build.Settings, plain.Token, plain.Jobs[0].Job.Release = nil, nil, nil, nil
		plain.Build.EndedAt, plain.Jobs[0].Job.EndedAt, plain.Jobs[0].Job.LogSize = time.Time{}, time.Time{}, 0
		add(t, s, plain)
		full := record(t, "b1")
		full.Jobs[0].Job.State, full.Jobs[0].Job.LogSize = farm.Failed, 4
		err := s.Update(t.Context(), "b1", func(r *farm.Record) error {
			job := *full.Jobs[0]
			job.NewLog = []farm.LogChunk{{Offset: 0, Step: "s", Data: []byte("log\n")}}
			*r.Jobs[0] = job
			r.Build, r.Token, r.ResolveAfter, r.ResolveTries = full.Build, full.Token, full.ResolveAfter, full.ResolveTries
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Record(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(full, got); diff != "" {
			t.Errorf("record (-written +read):\n%s", diff)
		}
		boom := errors.New("boom")
		if err := s.Update(t.Context(), "b1", func(r *farm.Record) error { r.Build.Ref = "changed"; return boom }); !errors.Is(err, boom) {
			t.Errorf("error of fn: %v", err)
		}
		if got, err := s.Record(t.Context(), "b1"); err != nil || got.Build.Ref != full.Build.Ref {
			t.Errorf("a refused change was written: %q, %v", got.Build.Ref, err)
		}
	})
}

func TestMissingAndTwice(t *testing.T) {
	onEach(t, func(w world) {
		t, dsn := w.t, w.dsn
		s := storetest.Reopen(t, dsn)
		add(t, s, record(t, "b1"))
		if _, _, err := s.AddBuild(t.Context(), record(t, "b1"), never); !errors.Is(err, module.ErrConflict) {
			t.Errorf("the same id twice: %v", err)
		}
		same, added, err := s.AddBuild(t.Context(), record(t, "b2"), func(r []*farm.Record) string { return r[0].Build.ID })
		if err != nil || added || same.Build.ID != "b1" {
			t.Errorf("matched: %+v, %t, %v", same, added, err)
		}
		free := record(t, "b3")
		free.Build.Version = module.Version{}
		if _, added, err := s.AddBuild(t.Context(), free, nil); err != nil || !added {
			t.Errorf("without a version: %t, %v", added, err)
		}
		for name, call := range map[string]func() error{
			"Record":  func() error { _, err := s.Record(t.Context(), "none"); return err },
			"BuildOf": func() error { _, err := s.BuildOf(t.Context(), "none"); return err },
			"Update":  func() error { return s.Update(t.Context(), "none", func(*farm.Record) error { return nil }) },
			"ClaimJob": func() error {
				_, err := s.ClaimJob(t.Context(), farm.Want{}, func(*farm.JobRecord) error { return nil })
				return err
			},
		} {
			if err := call(); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestRecordsNarrow(t *testing.T) {
	onEach(t, func(w world) {
		t, dsn := w.t, w.dsn
		s := storetest.Reopen(t, dsn)
		for i := range 4 {
			rec := record(t, fmt.Sprint("b", i))
			rec.Build.CreatedAt = start.Add(time.Duration(i) * time.Second)
			if i == 2 {
				rec.Build.Module.Name, rec.Build.OrgID = "gadget", "org2"
			}
			add(t, s, rec)
		}
		widget := module.ID{Namespace: "acme", Name: "widget"}
		for want, filter := range map[string]farm.BuildFilter{
			"b3 b2 b1 b0": {},
			"b3 b2":       {Limit: 2},
			"b3 b1 b0":    {Module: widget},
			"b2":          {OrgID: "org2"},
			"b1":          {BuildID: "b1"},
			"":            {OrgID: "org2", Module: widget},
		} {
			recs, err := s.Records(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range recs {
				got = append(got, r.Build.ID)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%+v: %q, want %q", filter, got, want)
			}
		}
	})
}

// TestUpdateIsSerial: changes of one build follow each other, whatever the dialect.
func TestUpdateIsSerial(t *testing.T) {
	onEach(t, func(w world) {
		t, dsn := w.t, w.dsn
		s := storetest.Reopen(t, dsn)
		rec := record(t, "b1")
		rec.ResolveTries = 0
		add(t, s, rec)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 5 {
					if err := s.Update(t.Context(), "b1", func(r *farm.Record) error { r.ResolveTries++; return nil }); err != nil {
						t.Error(err)
					}
					if _, err := s.Record(t.Context(), "b1"); err != nil { // readers do not stand in the way
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if got, err := s.Record(t.Context(), "b1"); err != nil || got.ResolveTries != 100 {
			t.Errorf("%d of 100 changes, %v", got.ResolveTries, err)
		}
	})
}

// TestOpenAtOnce: several nodes that start together bring the schema up to date once.
func TestOpenAtOnce(t *testing.T) {
	onEach(t, func(w world) {
		t, dsn := w.t, w.dsn
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				s, err := store.Open(t.Context(), dsn)
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(s.Ping(t.Context()), s.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("this is no database, and it is long enough to be noticed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, says := range map[string]string{
		"":                            "give a path such as",
		"mysql://u:hunter2@h/db":      "give a path such as",
		"postgres://u:hunter2@h:x/db": "postgres://",
		"postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable": "does not answer",
		filepath.Join(file, "below"):                          "folder",
		file:                                                  "not a database",
	} {
		_, err := store.Open(t.Context(), dsn)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Open(%q): %v does not say %q", dsn, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q) repeats the password: %v", dsn, err)
		}
	}
}

// TestSQLiteSettings: what was answered survives a power cut, and nobody else on the machine reads it.
func TestSQLiteSettings(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "odd name?#%", "farm.db")
	s := storetest.Reopen(t, "sqlite://"+path)
	add(t, s, record(t, "b1"))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %o", mode)
	}
	if _, err := os.Stat(path + "-wal"); err != nil {
		t.Errorf("no write-ahead log: %v", err)
	}
}
