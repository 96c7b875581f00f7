package docker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

func TestCachesAreListedAndPruned(t *testing.T) {
	t.Parallel()
	var opts docker.Options
	r, work := newRunner(t, func(o *docker.Options) { opts = *o })
	caches := &docker.Caches{Engine: opts.Engine, WorkDir: opts.WorkDir, Worker: opts.Name}
	caches.WorkDir = work
	list := func() (names []string) {
		t.Helper()
		all, err := caches.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.Module != "acme:widget" || c.Platform != "linux/amd64" || c.Scope != "other" || c.Worker != opts.Name || c.Size < 1<<20 {
				t.Errorf("%+v", c)
			}
			names = append(names, strings.TrimPrefix(c.Name, "modfarm-cache-"+strings.ToLower(t.Name())+"-"))
		}
		return names
	}
	dir := folder(t, work)
	use := func(key string) workers.Container {
		t.Helper()
		c := start(t, r, workers.Room{Folder: dir, Cache: workers.Cache{
			Key: strings.ToLower(t.Name()) + "-" + key, Module: "acme:widget", Platform: "linux/amd64", Scope: "other",
		}})
		run(t, c, workers.Command{Script: "dd if=/dev/zero of=/cache/x bs=1M count=2 2>/dev/null", Dir: "/"})
		return c
	}
	for _, key := range []string{"a", "b"} {
		if err := use(key).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	running := use("c")
	if got := list(); !slices.Equal(got, []string{"c", "b", "a"}) {
		t.Errorf("caches %q, want the one used last first", got)
	}
	if _, err := caches.Prune(t.Context(), 5<<20, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := list(); !slices.Equal(got, []string{"c", "b"}) {
		t.Errorf("caches %q, want those that were used last", got)
	}
	removed, err := caches.Prune(t.Context(), 0, time.Time{})
	if err != nil || len(removed) != 1 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if got := list(); !slices.Equal(got, []string{"c"}) {
		t.Errorf("caches %q, want the one in use", got)
	}
	if err := running.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := caches.Prune(t.Context(), 1<<40, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := list(); len(got) > 0 {
		t.Errorf("caches %q, want none that was not used for long", got)
	}
}
