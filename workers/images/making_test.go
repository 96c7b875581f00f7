package images_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/images"
)

// tiny is a recipe that is made in seconds: what a pulled Debian image has, for this
// machine's platform.
func tiny(t *testing.T, packages ...string) images.Recipe {
	t.Helper()
	r, err := images.Run(module.HostPlatform(), "")
	if err != nil {
		t.Skip(err)
	}
	r.Kind = images.KindBuilder
	r.Packages = append([]string{"apt", "debian-archive-keyring", "usr-is-merged"}, packages...)
	return r
}

// forget removes an image when the test ends.
func forget(t *testing.T, m *images.Maker, ref string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		_, err := m.Docker.ImageRemove(ctx, ref, client.ImageRemoveOptions{Force: true})
		if err != nil && !strings.Contains(err.Error(), "No such image") {
			t.Errorf("cannot remove %s: %v", ref, err)
		}
	})
}

// listed checks that an image of this machine is listed with its record.
func listed(t *testing.T, m *images.Maker, want images.Record) {
	t.Helper()
	all, err := m.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(l images.Listed) bool { return l.Ref == want.Ref })
	if i < 0 {
		t.Fatalf("%s is not listed", want.Ref)
	}
	if l := all[i]; l.ImageID != want.ImageID || l.Kind != want.Recipe.Kind || l.Platform != want.Recipe.Platform.String() ||
		l.Source != want.Source || l.Current || l.Size == 0 || l.Record == nil || len(l.Record.Packages) != len(want.Packages) {
		t.Errorf("listed as %+v", l)
	}
}

// A registry that runs in this test serves what a bootstrap made; the second image is
// pulled from there. This covers both ways on any machine.
func TestBothWaysFromOneRecipe(t *testing.T) {
	if testing.Short() {
		t.Skip("makes two images")
	}
	t.Parallel()
	m := maker(t)
	m.Mirror = "127.0.0.1:1" // nobody there, so that it is a bootstrap everywhere
	base := tiny(t)
	img := ensure(t, m, base)
	forget(t, m, base.Ref())
	rec, err := m.Record(base)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Source != "bootstrap" || rec.ImageID != img.ID || rec.Packages["apt:"+module.HostPlatform().GOARCH()] == "" {
		t.Errorf("the record says %s of %s with %d packages", rec.Source, rec.ImageID, len(rec.Packages))
	}
	listed(t, m, rec)

	host := serveBase(t, m, base.Ref())
	pulled := tiny(t, "jq")
	m = maker(t)
	m.Mirror, m.Env.NoProxy = host, "not-in-the-image.example"
	forget(t, m, pulled.Ref())
	img = ensure(t, m, pulled)
	if rec, err = m.Record(pulled); err != nil {
		t.Fatal(err)
	}
	if rec.Source != "pull" || !strings.Contains(rec.Base, "@sha256:") {
		t.Errorf("the record says %s of base %q, want a pull by digest", rec.Source, rec.Base)
	}
	const script = `echo '"jq runs"' | jq -r .; env | grep -c not-in-the-image || true`
	if diff := cmp.Diff("jq runs\n0", inContainer(t, img, script)); diff != "" {
		t.Error(diff)
	}
}

// serveBase starts a registry and puts the image there as Debian's own.
func serveBase(t *testing.T, m *images.Maker, ref string) string {
	t.Helper()
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	target := host + "/library/debian:bookworm-slim"
	if _, err := m.Docker.ImageTag(t.Context(), client.ImageTagOptions{Source: ref, Target: target}); err != nil {
		t.Fatal(err)
	}
	forget(t, m, target)
	push, err := m.Docker.ImagePush(t.Context(), target, client.ImagePushOptions{RegistryAuth: "e30="})
	if err != nil {
		t.Fatal(err)
	}
	if err := push.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return host
}

func TestCancelLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	m := maker(t)
	m.Mirror = "127.0.0.1:1"
	ctx, cancel := context.WithCancel(t.Context())
	var reached atomic.Bool
	m.Progress = func(s string) {
		if strings.HasPrefix(s, "unpacking") {
			reached.Store(true)
			cancel()
		}
	}
	r := tiny(t, "hello")
	_, err := m.Ensure(ctx, r)
	if errors.Is(err, module.ErrUnavailable) {
		t.Skip(err)
	}
	if err == nil || !reached.Load() {
		t.Fatalf("got %v, want an end amid unpacking", err)
	}
	left, err := filepath.Glob(filepath.Join(m.CacheDir, "work", "*"+r.Hash()[:12]))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), r.Hash()[:12]) {
		t.Error("something is still mounted in the cache folder")
	}
}

func TestNoWayNamesTheCures(t *testing.T) {
	m := maker(t)
	m.Mirror = "127.0.0.1:1"
	t.Setenv("PATH", t.TempDir())
	_, err := m.Ensure(t.Context(), tiny(t, "hello"))
	if !errors.Is(err, module.ErrUnavailable) {
		t.Fatalf("got %v, want unavailable", err)
	}
	for _, cure := range []string{"apt-get install apt dpkg", "registry mirror", "127.0.0.1:1"} {
		if !strings.Contains(err.Error(), cure) {
			t.Errorf("the error does not name %q: %v", cure, err)
		}
	}
}
