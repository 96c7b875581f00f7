package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

func TestPublishKeepsEverything(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			rel := f.release(t, m, "1.2.3-rc.1+linux", "bytes", func(rel *module.Release) {
				rel.Tags = []string{"distro:debian", "cuda:12", "distro:debian"}
				rel.Warnings = []string{"first", "second"}
				rel.Manifest = json.RawMessage(`{"module_id":"acme:widget","x":[1, 2]}`)
				rel.Size = 99 // the registry believes what it measured itself
			})
			f.publish(t, rel)
			releases, err := f.Releases(t.Context(), m.ID())
			if err != nil || len(releases) != 1 {
				t.Fatalf("%d releases, error %v", len(releases), err)
			}
			want := rel
			want.Tags = []string{"cuda:12", "distro:debian"}
			want.Size, want.CRC32C, want.TarSHA256 = 5, 0xfedcba98, strings.Repeat("0", 64)
			want.PublishedAt = releases[0].PublishedAt
			if diff := cmp.Diff(want, releases[0]); diff != "" {
				t.Errorf("release (-want +got):\n%s", diff)
			}
			if releases[0].PublishedAt.IsZero() {
				t.Error("no time of publishing")
			}
		})
	}
}

func TestPublishRules(t *testing.T) {
	t.Parallel()
	same := func(*module.Release) {}
	tests := map[string]struct {
		content string
		change  func(*module.Release)
		want    error
		says    []string
	}{
		"same again":                  {"a", same, nil, nil},
		"same again, uploaded":        {"a", uploaded, nil, nil},
		"other bytes":                 {"b", same, module.ErrConflict, []string{"choose a new version", "linux/amd64"}},
		"other bytes, uploaded":       {"b", uploaded, module.ErrConflict, []string{"choose a new version"}},
		"same bytes, other commit":    {"a", ofCommit2, module.ErrConflict, []string{"tag the new commit with a new version", "c1c1c1", "c2c2c2"}},
		"other platform":              {"b", onARM64, nil, nil},
		"other platform, same bytes":  {"a", onARM64, nil, nil},
		"other platform and commit":   {"b", func(rel *module.Release) { onARM64(rel); ofCommit2(rel) }, module.ErrConflict, []string{"c1c1c1"}},
		"other platform, uploaded":    {"b", func(rel *module.Release) { onARM64(rel); uploaded(rel) }, nil, nil},
		"tagged":                      {"b", func(rel *module.Release) { rel.Tags = []string{"distro:debian"} }, nil, nil},
		"bytes that never came":       {"a", func(rel *module.Release) { onARM64(rel); rel.SHA256 = strings.Repeat("e", 64) }, module.ErrNotFound, []string{"upload it again"}},
		"no digest":                   {"a", func(rel *module.Release) { rel.SHA256 = "" }, module.ErrInvalid, []string{"sha256"}},
		"no version":                  {"a", func(rel *module.Release) { rel.Version = module.Version{} }, module.ErrInvalid, []string{"version"}},
		"no platform":                 {"a", func(rel *module.Release) { rel.Platform = module.Platform{} }, module.ErrInvalid, []string{"platform"}},
		"a tag with a line break":     {"a", func(rel *module.Release) { rel.Tags = []string{"a\nb"} }, module.ErrInvalid, []string{"tags[0]"}},
		"a module that is not there":  {"a", func(rel *module.Release) { rel.ID.Name = "gadget" }, module.ErrNotFound, []string{"module create"}},
		"by organization id, as well": {"a", same, nil, nil},
	}
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			for name, tt := range tests {
				m := f.module(t, strings.NewReplacer(" ", "-", ",", "").Replace(name))
				f.publish(t, f.release(t, m, "1.0.0", "a", nil))
				before, err := f.Releases(t.Context(), m.ID())
				if err != nil {
					t.Fatal(err)
				}
				err = f.Publish(t.Context(), []module.Release{f.release(t, m, "1.0.0", tt.content, tt.change)})
				if !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
					t.Errorf("%s: %v, want %v", name, err, tt.want)
				}
				mustContain(t, err, tt.says...)
				after, listErr := f.Releases(t.Context(), m.ID())
				if listErr != nil {
					t.Fatal(listErr)
				}
				if diff := cmp.Diff(before, after[:1]); diff != "" {
					t.Errorf("%s: the first release changed (-before +after):\n%s", name, diff)
				}
				if err != nil && len(after) != 1 {
					t.Errorf("%s: %d releases after a refusal, want 1", name, len(after))
				}
			}
		})
	}
}

func TestPublishIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			good := f.release(t, m, "1.0.0", "a", nil)
			tests := map[string]module.Release{
				"bytes that never came": f.release(t, m, "1.0.0", "b", func(rel *module.Release) { onARM64(rel); rel.SHA256 = strings.Repeat("e", 64) }),
				"another commit":        f.release(t, m, "1.0.0", "b", func(rel *module.Release) { onARM64(rel); ofCommit2(rel) }),
				"another version":       f.release(t, m, "1.0.1", "b", onARM64),
				"the same platform":     f.release(t, m, "1.0.0", "b", nil),
			}
			for name, bad := range tests {
				if err := f.Publish(t.Context(), []module.Release{good, bad}); err == nil {
					t.Errorf("%s: no error", name)
				}
				if versions, err := f.Versions(t.Context(), registry.ForFarm(), m.ID()); err != nil || len(versions) != 0 {
					t.Errorf("%s: %d versions afterwards, error %v, want none", name, len(versions), err)
				}
			}
			f.publish(t, good, f.release(t, m, "1.0.0", "b", onARM64))
			if releases, err := f.Releases(t.Context(), m.ID()); err != nil || len(releases) != 2 {
				t.Errorf("%d releases, error %v, want 2", len(releases), err)
			}
			if err := f.Publish(t.Context(), nil); err != nil {
				t.Errorf("publishing nothing: %v", err)
			}
		})
	}
}

func TestManyPublishOneVersion(t *testing.T) {
	t.Parallel()
	const many = 100
	tests := map[string]struct {
		content func(i int) string
		wins    int32
	}{
		"same bytes":     {func(int) string { return "a" }, many},
		"all different":  {func(i int) string { return fmt.Sprint(i) }, 1},
		"one of two":     {func(i int) string { return fmt.Sprint(i % 2) }, many / 2},
		"each with four": {func(i int) string { return fmt.Sprint(i % 4) }, many / 4},
	}
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			for name, tt := range tests {
				m := f.module(t, strings.ReplaceAll(name, " ", "-"))
				var wins atomic.Int32
				var wg sync.WaitGroup
				for i := range many {
					rel := f.release(t, m, "1.0.0", tt.content(i), nil)
					wg.Go(func() {
						switch err := f.Publish(t.Context(), []module.Release{rel}); {
						case err == nil:
							wins.Add(1)
						case !errors.Is(err, module.ErrConflict):
							t.Errorf("%s: %v", name, err)
						}
					})
				}
				wg.Wait()
				if wins.Load() != tt.wins {
					t.Errorf("%s: %d succeeded, want %d", name, wins.Load(), tt.wins)
				}
				if releases, err := f.Releases(t.Context(), m.ID()); err != nil || len(releases) != 1 {
					t.Errorf("%s: %d releases, error %v, want one", name, len(releases), err)
				}
			}
		})
	}
}

func TestManyPublishManyVersionsAtOnce(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			shared := []registry.Module{f.module(t, "a"), f.module(t, "b")}
			var wg sync.WaitGroup
			for i := range 40 {
				m := shared[i%2]
				version := fmt.Sprintf("1.0.%d", i/4)
				// The same two blobs in both orders: whoever holds them must not wait in a ring.
				pair := []module.Release{f.release(t, m, version, "x", nil), f.release(t, m, version, "y", onARM64)}
				if i%4 > 1 {
					pair[0], pair[1] = pair[1], pair[0]
				}
				wg.Go(func() {
					if err := f.Publish(t.Context(), pair); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, m := range shared {
				if versions, err := f.Versions(t.Context(), registry.ForFarm(), m.ID()); err != nil || len(versions) != 10 {
					t.Errorf("%s: %d versions, error %v, want 10", m.ID(), len(versions), err)
				}
			}
		})
	}
}

func TestMetadataIsFrozen(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			describe := func(text string) {
				t.Helper()
				u := registry.Update{Metadata: registry.Metadata{Description: text, Entrypoint: "run"}}
				if _, err := f.UpdateModule(t.Context(), f.acme.ID, m.ID(), u); err != nil {
					t.Fatal(err)
				}
			}
			describe("first")
			f.publish(t, f.release(t, m, "1.0.0", "a", nil))
			describe("second")
			f.publish(t, f.release(t, m, "1.0.0", "b", onARM64))
			f.publish(t, f.release(t, m, "1.1.0", "c", nil))
			describe("third")
			versions, err := f.Versions(t.Context(), registry.ForFarm(), m.ID())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range versions {
				got = append(got, fmt.Sprintf("%s %s %s %d", v.Version, v.Metadata.Description, v.Metadata.Entrypoint, len(v.Files)))
			}
			if diff := cmp.Diff([]string{"1.0.0 first run 2", "1.1.0 second run 1"}, got); diff != "" {
				t.Errorf("versions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			rel := f.release(t, m, "1.0.0", "a", nil)
			f.publish(t, rel, f.release(t, m, "1.0.0", "b", func(rel *module.Release) { onARM64(rel); rel.Tags = []string{"x:y"} }))
			got, err := f.Find(t.Context(), module.ID{Namespace: f.acme.ID, Name: "widget"}, rel.Version, linuxAMD64())
			if err != nil || got.SHA256 != rel.SHA256 || got.Commit != rel.Commit {
				t.Errorf("found %+v, error %v", got, err)
			}
			next, err := module.ParseVersion("1.0.1")
			if err != nil {
				t.Fatal(err)
			}
			for name, find := range map[string]func() error{
				"only tagged":   func() error { _, err := f.Find(t.Context(), m.ID(), rel.Version, linuxARM64()); return err },
				"other version": func() error { _, err := f.Find(t.Context(), m.ID(), next, linuxAMD64()); return err },
				"no module": func() error {
					_, err := f.Find(t.Context(), module.ID{Namespace: "acme", Name: "x"}, rel.Version, linuxAMD64())
					return err
				},
			} {
				if err := find(); !errors.Is(err, module.ErrNotFound) {
					t.Errorf("%s: %v, want ErrNotFound", name, err)
				}
			}
		})
	}
}

// A farm build publishes with the meta.json of its commit, not with what the
// module says at that moment.
func TestBuildsFreezeTheirManifest(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			long := "# Widget"
			before := registry.Update{Metadata: registry.Metadata{Description: "by hand"}, Markdown: &long}
			if _, err := f.UpdateModule(t.Context(), f.acme.ID, m.ID(), before); err != nil {
				t.Fatal(err)
			}
			with := func(description, visibility string) func(*module.Release) {
				return func(rel *module.Release) {
					rel.Manifest = json.RawMessage(`{"module_id": "acme:widget", "visibility": "` + visibility + `", "description": "` + description + `",
						"entrypoint": "bin/run", "first_run": "first.sh", "applications": null,
						"models": [{"api": "rdk:component:sensor", "model": "acme:widget:a", "short_description": "short"}]}`)
				}
			}
			described := func(description string) registry.Metadata {
				return registry.Metadata{
					Description: description, Markdown: long, Entrypoint: "bin/run", FirstRun: "first.sh",
					Models: []registry.Model{{API: "rdk:component:sensor", Model: "acme:widget:a", Description: "short"}},
				}
			}
			f.publish(t, f.release(t, m, "1.1.0", "a", with("new", "public")))
			f.publish(t, f.release(t, m, "1.0.1", "b", with("a fix of the old", "private")))
			versions, err := f.Versions(t.Context(), registry.ForFarm(), m.ID())
			if err != nil || len(versions) != 2 {
				t.Fatalf("%d versions, error %v", len(versions), err)
			}
			if diff := cmp.Diff(described("a fix of the old"), versions[0].Metadata); diff != "" {
				t.Errorf("1.0.1 (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(described("new"), versions[1].Metadata); diff != "" {
				t.Errorf("1.1.0 (-want +got):\n%s", diff)
			}
			now, err := f.Module(t.Context(), registry.ForFarm(), m.ID())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(described("new"), now.Metadata); diff != "" {
				t.Errorf("the module follows its newest version (-want +got):\n%s", diff)
			}
			if now.Visibility != module.VisibilityPrivate {
				t.Errorf("a build made the module %s", now.Visibility)
			}
		})
	}
}
