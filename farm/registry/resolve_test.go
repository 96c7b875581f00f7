package registry_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

func parsed[T any](t *testing.T, parse func(string) (T, error), s string) T {
	t.Helper()
	v, err := parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wish(t *testing.T, id module.ID, selector, platform string, tags ...string) registry.Wish {
	t.Helper()
	return registry.Wish{
		ID: id, Selector: parsed(t, module.ParseSelector, selector),
		Machine: module.Machine{Platform: parsed(t, module.ParsePlatform, platform), Tags: tags},
	}
}

// mustResolve compares what a machine of acme's gets: "1.2.0 linux/arm64 distro:debian", or "" for nothing.
func (f *farm) mustResolve(t *testing.T, w registry.Wish, want string) registry.Resolved {
	t.Helper()
	got, err := f.Resolve(t.Context(), registry.ForOrg(f.acme.ID), w)
	if err != nil {
		t.Fatalf("%s on %s: %v", w.Selector, w.Machine, err)
	}
	text := ""
	if rel := got.Release; rel != nil {
		text = strings.Join(append([]string{rel.Version.String(), rel.Platform.String()}, rel.Tags...), " ")
	}
	if text != want || (want == "") != errors.Is(got.Err(), module.ErrNotFound) {
		t.Errorf("%s on %s gets %q (%v), want %q", w.Selector, w.Machine, text, got.Err(), want)
	}
	return got
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			latest := wish(t, m.ID(), "latest", "linux/arm64", "distro:debian", "cuda:12")
			f.mustResolve(t, latest, "")
			f.publish(t, f.release(t, m, "1.1.0-rc.1", "rc", onARM64))
			f.mustResolve(t, latest, "")
			for _, step := range []struct {
				version, platform string
				tags              []string
				want              string
			}{
				{"1.0.0", "any", nil, "1.0.0 any"},
				{"1.0.0", "linux/any", nil, "1.0.0 linux/any"},
				{"1.0.0", "linux/arm64", nil, "1.0.0 linux/arm64"},
				{"1.1.0", "linux/arm64", nil, "1.1.0 linux/arm64"},
				{"1.1.0", "linux/amd64", nil, "1.1.0 linux/arm64"},
				{"1.0.1", "linux/arm64", []string{"distro:debian"}, "1.0.1 linux/arm64 distro:debian"},
				{"1.0.1", "linux/arm64", []string{"distro:debian", "cuda:12"}, "1.0.1 linux/arm64 cuda:12 distro:debian"},
				{"1.2.0", "linux/arm64", []string{"distro:ubuntu"}, "1.0.1 linux/arm64 cuda:12 distro:debian"},
			} {
				content := step.version + step.platform + strings.Join(step.tags, " ")
				rel := f.release(t, m, step.version, content, func(rel *module.Release) {
					rel.Platform, rel.Tags = parsed(t, module.ParsePlatform, step.platform), step.tags
				})
				f.publish(t, rel)
				got := f.mustResolve(t, latest, step.want)
				if len(got.Warnings) > 0 || got.ID != m.ID() || got.Release.Size == 0 {
					t.Errorf("after %s: %+v", content, got)
				}
			}
			byOrg := latest
			byOrg.ID.Namespace = f.acme.ID
			f.mustResolve(t, byOrg, "1.0.1 linux/arm64 cuda:12 distro:debian")
			f.mustResolve(t, wish(t, m.ID(), "^1.1", "linux/arm64"), "1.1.0 linux/arm64")
			f.mustResolve(t, wish(t, m.ID(), "1.1.0-rc.1", "linux/arm64"), "1.1.0-rc.1 linux/arm64")
			f.mustResolve(t, wish(t, m.ID(), "2", "linux/arm64"), "")
		})
	}
}

func TestResolveDeprecatedAndDeleted(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			f.publish(t, f.release(t, m, "1.0.0", "old", nil))
			f.publish(t, f.release(t, m, "1.1.0", "new", nil))
			bad := parsed(t, module.ParseVersion, "1.1.0")
			latest := wish(t, m.ID(), "latest", "linux/amd64")
			exact := wish(t, m.ID(), "1.1.0", "linux/amd64")
			f.mustResolve(t, latest, "1.1.0 linux/amd64")

			if _, err := f.Deprecate(t.Context(), f.acme.ID, m.ID(), bad, "me", "loses data"); err != nil {
				t.Fatal(err)
			}
			got := f.mustResolve(t, latest, "1.0.0 linux/amd64")
			if i := slices.IndexFunc(got.Resolution.Explain(), func(c module.Candidate) bool { return c.Refused == module.RefusedDeprecated }); i < 0 ||
				!strings.Contains(got.Resolution.Explain()[i].Reason, "loses data") {
				t.Errorf("explained as %v", got.Resolution.Explain())
			}
			got = f.mustResolve(t, exact, "1.1.0 linux/amd64")
			if diff := cmp.Diff([]string{"1.1.0 is deprecated: loses data"}, got.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			for _, lookup := range []string{"latest-linux-amd64", "latest", "1-linux-amd64", "^1.0-linux-amd64"} {
				rel, err := f.Lookup(t.Context(), registry.ForFarm(), registry.Query{Package: "acme/widget", Version: lookup})
				if err != nil || rel.Version.String() != "1.0.0" {
					t.Errorf("lookup of %s finds %s, %v", lookup, rel.Version, err)
				}
			}
			if err := f.Undeprecate(t.Context(), f.acme.ID, m.ID(), bad, "me"); err != nil {
				t.Fatal(err)
			}
			f.mustResolve(t, latest, "1.1.0 linux/amd64")

			if _, err := f.Deprecate(t.Context(), f.acme.ID, m.ID(), module.Version{}, "me", "use gadget"); err != nil {
				t.Fatal(err)
			}
			got = f.mustResolve(t, latest, "1.1.0 linux/amd64")
			if diff := cmp.Diff([]string{"module acme:widget is deprecated: use gadget"}, got.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// What "latest" means to stock clients is what it means to machines.
func TestLookupLatest(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			query := registry.Query{Package: "acme/widget", Version: "latest", Platform: linuxAMD64()}
			for _, step := range []struct{ publish, want, prerelease string }{
				{"1.0.0-rc.1", "", "1.0.0-rc.1"},
				{"0.9.0", "0.9.0", "1.0.0-rc.1"},
				{"1.0.0", "1.0.0", "1.0.0"},
				{"1.1.0-rc.1", "1.0.0", "1.1.0-rc.1"},
			} {
				f.publish(t, f.release(t, m, step.publish, step.publish, nil))
				rel, err := f.Lookup(t.Context(), registry.ForFarm(), query)
				if rel.Version.String() != step.want || (err != nil) != errors.Is(err, module.ErrNotFound) {
					t.Errorf("after %s: latest is %s, error %v, want %s", step.publish, rel.Version, err, step.want)
				}
				if step.want == "" {
					mustContain(t, err, "latest-with-prerelease")
				}
				all := registry.Query{Package: "acme/widget", Version: "latest-with-prerelease-linux-amd64"}
				if rel, err := f.Lookup(t.Context(), registry.ForFarm(), all); err != nil || rel.Version.String() != step.prerelease {
					t.Errorf("after %s: with prereleases %s, %v", step.publish, rel.Version, err)
				}
			}
			f.publish(t, f.release(t, m, "1.2.0", "tagged", func(rel *module.Release) { rel.Tags = []string{"a:b"} }))
			tagged, err := f.Lookup(t.Context(), registry.ForFarm(), registry.Query{Package: "acme/widget", Version: "^1.0-linux-amd64-t" + tagDigest("a:b")})
			if err != nil || tagged.Version.String() != "1.2.0" {
				t.Errorf("with tags: %s, %v", tagged.Version, err)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	f := newFarm(t, servers.Open(t, "sqlite"))
	m := f.module(t, "widget")
	f.publish(t, f.release(t, m, "1.0.0", "old", nil))
	w := wish(t, m.ID(), "latest", "linux/amd64")
	_, hidden := f.Resolve(t.Context(), registry.ForOrg(f.plain.ID), w)
	w.ID.Name = "gadget"
	_, absent := f.Resolve(t.Context(), registry.ForOrg(f.plain.ID), w)
	if !errors.Is(hidden, module.ErrNotFound) || !errors.Is(absent, module.ErrNotFound) ||
		strings.ReplaceAll(hidden.Error(), "widget", "gadget") != absent.Error() {
		t.Errorf("a private module and one that does not exist differ:\n%v\n%v", hidden, absent)
	}
	for says, machine := range map[string]module.Machine{
		"platform: missing":  {},
		"a wildcard":         {Platform: module.Platform{OS: "linux", Arch: "any"}},
		"not a platform tag": {Platform: linuxAMD64(), Tags: []string{"no colon"}},
		"at most 100":        {Platform: linuxAMD64(), Tags: slices.Repeat([]string{"a:b"}, 101)},
	} {
		_, err := f.Resolve(t.Context(), registry.ForOrg(f.acme.ID), registry.Wish{ID: m.ID(), Machine: machine})
		if !errors.Is(err, module.ErrInvalid) {
			t.Errorf("%v: %v, want ErrInvalid", machine, err)
		}
		mustContain(t, err, says)
	}
}

func tagDigest(tag string) string {
	sum := sha256.Sum256([]byte(tag))
	return hex.EncodeToString(sum[:])[:8]
}
