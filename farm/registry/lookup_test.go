package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

func TestVersionsAscend(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			for _, version := range []string{"1.10.0", "1.2.0", "1.10.0-rc.2", "1.10.0-rc.10", "0.9.0", "1.10.0-rc.1", "2.0.0-alpha"} {
				f.publish(t, f.release(t, m, version, version+" arm64", onARM64))
				f.publish(t, f.release(t, m, version, version, nil))
			}
			versions, err := f.Versions(t.Context(), registry.ForOrg(f.acme.ID), m.ID())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range versions {
				var platforms []string
				for _, file := range v.Files {
					platforms = append(platforms, file.Platform.String())
				}
				got = append(got, v.Version.String())
				if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, platforms); diff != "" {
					t.Errorf("platforms of %s (-want +got):\n%s", v.Version, diff)
				}
				if v.Commit != strings.Repeat("c1", 20) || v.Files[0].UploadedAt.IsZero() {
					t.Errorf("%s: commit %q, uploaded at %v", v.Version, v.Commit, v.Files[0].UploadedAt)
				}
			}
			want := []string{"0.9.0", "1.2.0", "1.10.0-rc.1", "1.10.0-rc.2", "1.10.0-rc.10", "1.10.0", "2.0.0-alpha"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("versions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			debian := func(rel *module.Release) { rel.Tags = []string{"distro:debian", "cuda:12"} }
			f.publish(t, f.release(t, m, "1.0.0", "old", nil))
			f.publish(t, f.release(t, m, "1.2.0-rc.1-linux", "odd", nil))
			f.publish(t, f.release(t, m, "1.1.0", "amd64", nil), f.release(t, m, "1.1.0", "arm64", onARM64))
			f.publish(t, f.release(t, m, "1.1.0", "tagged", debian))
			f.publish(t, f.release(t, m, "1.1.0", "any", func(rel *module.Release) { rel.Platform = module.Platform{OS: "any", Arch: "any"} }))
			f.publish(t, f.release(t, m, "1.1.0", "only tagged", func(rel *module.Release) {
				rel.Platform = module.Platform{OS: "darwin", Arch: "arm64"}
				debian(rel)
			}))
			const tag = "-tbcd2214c" // SHA-256 of "cuda:12\ndistro:debian"
			tests := map[string]struct {
				query   registry.Query
				content string // of the release that must be found
				says    string // in the error, otherwise
			}{
				"plain":                       {registry.Query{Package: "acme/widget", Version: "1.1.0-linux-arm64"}, "arm64", ""},
				"by organization":             {registry.Query{Package: f.acme.ID + "/widget", Version: "1.1.0-linux-arm64"}, "arm64", ""},
				"beside a tagged one":         {registry.Query{Package: "acme/widget", Version: "1.1.0-linux-amd64"}, "amd64", ""},
				"tagged":                      {registry.Query{Package: "acme/widget", Version: "1.1.0-linux-amd64" + tag}, "tagged", ""},
				"any":                         {registry.Query{Package: "acme/widget", Version: "1.1.0-any"}, "any", ""},
				"prerelease like a platform":  {registry.Query{Package: "acme/widget", Version: "1.2.0-rc.1-linux-linux-amd64"}, "odd", ""},
				"latest with platform":        {registry.Query{Package: "acme/widget", Version: "latest-linux-arm64"}, "arm64", ""},
				"latest and platform":         {registry.Query{Package: "acme/widget", Version: "latest", Platform: linuxAMD64()}, "amd64", ""},
				"version and platform":        {registry.Query{Package: "acme/widget", Version: "1.0.0", Platform: linuxAMD64()}, "old", ""},
				"version with one archive":    {registry.Query{Package: "acme/widget", Version: "1.0.0"}, "old", ""},
				"latest without platform":     {registry.Query{Package: "acme/widget", Version: "latest"}, "", "1.1.0-<platform>, with any, linux/amd64, linux/arm64"},
				"platform that is not there":  {registry.Query{Package: "acme/widget", Version: "1.1.0-linux-arm32v7"}, "", "it has any, linux/amd64, linux/arm64"},
				"only with tags":              {registry.Query{Package: "acme/widget", Version: "1.1.0-darwin-arm64"}, "", "1.1.0-darwin-arm64" + tag + " (cuda:12, distro:debian)"},
				"other tags":                  {registry.Query{Package: "acme/widget", Version: "1.1.0-linux-amd64-t00000000"}, "", tag},
				"version that is not there":   {registry.Query{Package: "acme/widget", Version: "3.0.0-linux-amd64"}, "", "it has 1.2.0-rc.1-linux (linux/amd64), 1.1.0 (any, darwin/arm64, linux/amd64, linux/arm64), 1.0.0 (linux/amd64)"},
				"no version at all":           {registry.Query{Package: "acme/widget"}, "", "it has 1.2.0-rc.1-linux (linux/amd64), 1.1.0 (any, darwin/arm64, linux/amd64, linux/arm64), 1.0.0 (linux/amd64)"},
				"module that is not there":    {registry.Query{Package: "acme/gadget", Version: "latest"}, "", "module create"},
				"a module id, not a package":  {registry.Query{Package: "acme:widget", Version: "latest"}, "", "acme/widget"},
				"organization that is absent": {registry.Query{Package: "/widget", Version: "latest"}, "", "empty"},
			}
			for name, tt := range tests {
				rel, err := f.Lookup(t.Context(), registry.ForOrg(f.acme.ID), tt.query)
				if tt.content != "" {
					if err != nil || rel.SHA256 != f.blob(t, tt.content) {
						t.Errorf("%s: found %s %s, error %v", name, rel.Version, rel.Platform, err)
					}
					continue
				}
				if !errors.Is(err, module.ErrNotFound) && !errors.Is(err, module.ErrInvalid) {
					t.Errorf("%s: %v, want ErrNotFound", name, err)
				}
				mustContain(t, err, tt.says)
			}
		})
	}
}

// Every release is found under the package version that it is published as.
func TestPackageVersionRoundTrip(t *testing.T) {
	t.Parallel()
	f := newFarm(t, servers.Open(t, "sqlite"))
	m := f.module(t, "widget")
	for _, platform := range module.Platforms() {
		for _, tags := range [][]string{nil, {"a:b"}, {"a:b", "c:d"}} {
			f.publish(t, f.release(t, m, "1.0.0-any", platform.String()+strings.Join(tags, " "), func(rel *module.Release) {
				rel.Platform, rel.Tags = platform, tags
			}))
		}
	}
	releases, err := f.Releases(t.Context(), m.ID())
	if err != nil || len(releases) != 3*len(module.Platforms()) {
		t.Fatalf("%d releases, error %v", len(releases), err)
	}
	for _, rel := range releases {
		got, err := f.Lookup(t.Context(), registry.ForFarm(), registry.Query{Package: m.ID().PackageID(), Version: registry.PackageVersion(rel)})
		if err != nil {
			t.Errorf("%s: %v", registry.PackageVersion(rel), err)
		}
		if diff := cmp.Diff(rel, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", registry.PackageVersion(rel), diff)
		}
	}
}
