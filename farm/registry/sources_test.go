package registry_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	builds "github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

const (
	hour = time.Hour
	week = 7 * 24 * time.Hour
)

// TestSourceIsKeptForItsBuild holds that uploaded source stays as long as a build of it has not ended, and
// for the grace period behind that.
func TestSourceIsKeptForItsBuild(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 1000)
			source, err := f.ReceiveSource(t.Context(), bytes.NewReader(body))
			if err != nil || source != digest(body) {
				t.Fatalf("received %q, %v", source, err)
			}
			build := builds.Build{
				ID: uuid.NewString(), Module: module.ID{Namespace: "acme", Name: "widget"}, Commit: source,
				Publish: module.PublishEach, CreatedAt: time.Now(),
			}
			_, _, err = f.store.AddBuild(t.Context(), &builds.Record{Build: build}, func([]*builds.Record) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			if done := f.collected(t, 3*week); done.Blobs != 0 {
				t.Fatalf("the source of an active build is collected: %+v", done)
			}
			if _, err := f.ReadSource(t.Context(), source, []string{"meta.json"}); err != nil {
				t.Fatal(err)
			}
			end := func(r *builds.Record) error { r.Build.EndedAt = time.Now(); return nil }
			if err := f.store.Update(t.Context(), build.ID, end); err != nil {
				t.Fatal(err)
			}
			if done := f.collected(t, 3*week+hour); done.Blobs != 0 {
				t.Errorf("within the grace period it is collected: %+v", done)
			}
			if done := f.collected(t, 4*week); done.Blobs != 1 {
				t.Errorf("behind the grace period: %+v", done)
			}
			if _, err := f.ReadSource(t.Context(), source, nil); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("read when collected: %v", err)
			}
		})
	}
}

// TestSourceIsKeptForARetry holds that uploaded source stays for the grace period behind the end of its build, however
// long the build took and although no collection ran meanwhile. A retry keeps it for as long again, or says that it is gone.
func TestSourceIsKeptForARetry(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 1000)
			source, err := f.ReceiveSource(t.Context(), bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			const day = 24 * hour
			now := time.Now()
			build := builds.Build{
				ID: uuid.NewString(), Module: module.ID{Namespace: "acme", Name: "widget"}, Commit: source,
				Publish: module.PublishEach, CreatedAt: now, EndedAt: now.Add(10 * day),
			}
			if _, _, err = f.store.AddBuild(t.Context(), &builds.Record{Build: build}, func([]*builds.Record) string { return "" }); err != nil {
				t.Fatal(err)
			}
			if done := f.collected(t, 11*day-hour); done.Blobs != 0 {
				t.Fatalf("a build that ended within the grace period lost its source: %+v", done)
			}
			later := &registry.Registry{Store: f.store, Blobs: f.Blobs, Now: func() time.Time { return now.Add(12 * day) }}
			if err := later.KeepSource(t.Context(), source); err != nil {
				t.Fatal(err)
			}
			if done := f.collected(t, 13*day-hour); done.Blobs != 0 {
				t.Errorf("source that was kept for a retry is collected: %+v", done)
			}
			if done := f.collected(t, 13*day+hour); done.Blobs != 1 {
				t.Errorf("behind both grace periods: %+v", done)
			}
			if err := later.KeepSource(t.Context(), source); !errors.Is(err, module.ErrNotFound) || !strings.Contains(err.Error(), "upload it again") {
				t.Errorf("kept when collected: %v", err)
			}
		})
	}
}

// TestSourcePackages holds that packages are found by their name, stay for a week behind their last use, and
// never change.
func TestSourcePackages(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 1000)
			source, err := f.ReceiveSource(t.Context(), bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			p := registry.SourcePackage{OrgID: f.acme.ID, Name: "widget", Version: "one", SHA256: source}
			for range 2 {
				if got, err := f.AddSourcePackage(t.Context(), p); err != nil || got.SHA256 != source {
					t.Fatalf("added %+v, %v", got, err)
				}
			}
			other := p
			other.SHA256 = digest([]byte("other"))
			if _, err := f.AddSourcePackage(t.Context(), other); !errors.Is(err, module.ErrConflict) {
				t.Errorf("other bytes: %v", err)
			}
			if _, err := f.SourcePackage(t.Context(), f.acme.ID, "widget", "two"); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("another version: %v", err)
			}
			later := &registry.Registry{Store: f.store, Blobs: f.Blobs, Now: func() time.Time { return time.Now().Add(week - hour) }}
			if got, err := later.SourcePackage(t.Context(), f.acme.ID, "widget", "one"); err != nil || got.SHA256 != source {
				t.Errorf("found %+v, %v", got, err)
			}
			if done := f.collected(t, week+hour); done.Blobs != 0 {
				t.Errorf("a package that was used is collected: %+v", done)
			}
			if done := f.collected(t, 3*week); done.Blobs != 1 {
				t.Errorf("a package of long ago stays: %+v", done)
			}
			if _, err := f.SourcePackage(t.Context(), f.acme.ID, "widget", "one"); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("a package of long ago: %v", err)
			}
			if err := f.DeleteSourcePackage(t.Context(), f.acme.ID, "widget", "one"); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("delete what is gone: %v", err)
			}
		})
	}
}
