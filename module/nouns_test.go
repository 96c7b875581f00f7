package module_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
)

func TestPlatforms(t *testing.T) {
	t.Parallel()
	type row struct {
		Wire, Container, GOOS, GOARCH, GOARM, Dashed string
		Wildcard, Buildable                          bool
	}
	want := []row{
		{"linux/amd64", "linux/amd64", "linux", "amd64", "", "linux-amd64", false, true},
		{"linux/arm64", "linux/arm64", "linux", "arm64", "", "linux-arm64", false, true},
		{"linux/arm32v7", "linux/arm/v7", "linux", "arm", "7", "linux-arm32v7", false, true},
		{"linux/arm32v6", "linux/arm/v6", "linux", "arm", "6", "linux-arm32v6", false, true},
		{"darwin/amd64", "darwin/amd64", "darwin", "amd64", "", "darwin-amd64", false, false},
		{"darwin/arm64", "darwin/arm64", "darwin", "arm64", "", "darwin-arm64", false, false},
		{"windows/amd64", "windows/amd64", "windows", "amd64", "", "windows-amd64", false, false},
		{"linux/any", "linux/any", "linux", "", "", "linux-any", true, false},
		{"darwin/any", "darwin/any", "darwin", "", "", "darwin-any", true, false},
		{"any/amd64", "any/amd64", "", "amd64", "", "any-amd64", true, false},
		{"any/arm64", "any/arm64", "", "arm64", "", "any-arm64", true, false},
		{"any", "any", "", "", "", "any", true, false},
	}
	var got []row
	for _, p := range module.Platforms() {
		got = append(got, row{p.String(), p.Container(), p.GOOS(), p.GOARCH(), p.GOARM(), p.Dashed(), p.IsWildcard(), p.Buildable()})
		for _, spelling := range []string{p.String(), p.Container()} {
			if back, err := module.ParsePlatform(spelling); err != nil || back != p {
				t.Errorf("ParsePlatform(%q) = %v, %v", spelling, back, err)
			}
		}
		version, back, ok := module.SplitPackageVersion("1.2.6-rc.1-" + p.Dashed())
		if !ok || version != "1.2.6-rc.1" || back != p {
			t.Errorf("split of %s: %q %v %v", p.Dashed(), version, back, ok)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}

func TestParsePlatformRefuses(t *testing.T) {
	t.Parallel()
	for in, advice := range map[string]string{
		"":              "use one of linux/amd64",
		"linux":         "use one of",
		"linux/":        "use one of",
		"/amd64":        "use one of",
		"linux/386":     "use one of",
		"Linux/AMD64":   "write linux/amd64",
		"linux/aarch64": "write linux/arm64",
		"linux-arm64":   "write linux/arm64",
		"linux/armhf":   "write linux/arm32v7",
		"linux/armv6l":  "write linux/arm32v6",
		"linux/arm":     "write linux/arm32v7 or linux/arm32v6",
		"macos/arm64":   "write darwin/arm64",
		"any/arm32v7":   "use one of",
	} {
		p, err := module.ParsePlatform(in)
		var f module.Fault
		if !errors.As(err, &f) || !strings.HasPrefix(f.Advice, advice) {
			t.Errorf("ParsePlatform(%q) = %v, %v; want advice %q", in, p, err, advice)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	arm64 := module.Platform{OS: "linux", Arch: "arm64"}
	var covering []string
	for _, p := range module.Platforms() {
		if p.Covers(arm64) {
			covering = append(covering, p.String())
		}
	}
	if diff := cmp.Diff([]string{"linux/arm64", "linux/any", "any/arm64", "any"}, covering); diff != "" {
		t.Errorf("what covers linux/arm64 (-want +got):\n%s", diff)
	}
	v6, v7 := module.Platform{OS: "linux", Arch: "arm32v6"}, module.Platform{OS: "linux", Arch: "arm32v7"}
	if v6.Covers(v7) || arm64.Covers(module.Platform{OS: "linux", Arch: "any"}) || arm64.Covers(module.Platform{}) || (module.Platform{}).Covers(arm64) {
		t.Error("Covers widens more than wildcards")
	}
}

func TestHostPlatformIsKnown(t *testing.T) {
	t.Parallel()
	if !slices.Contains(module.Platforms(), module.HostPlatform()) {
		t.Skipf("tests run on %s, which is no module platform", module.HostPlatform())
	}
	if module.HostPlatform().IsWildcard() {
		t.Error("a machine is no wildcard")
	}
}

func TestSplitPackageVersion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in, version, platform string
		ok                    bool
	}{
		{"1.0.0-linux-amd64", "1.0.0", "linux/amd64", true},
		{"1.0.0-any-amd64", "1.0.0", "any/amd64", true},
		{"1.0.0-any", "1.0.0", "any", true},
		{"1.0.0-linux-any", "1.0.0", "linux/any", true},
		{"reload-part-1700000000-linux-arm64", "reload-part-1700000000", "linux/arm64", true},
		{"1.0.0", "", "", false},
		{"-any", "", "", false},
		{"any", "", "", false},
		{"1.0.0-linux-sparc", "", "", false},
		{"", "", "", false},
	} {
		version, p, ok := module.SplitPackageVersion(tc.in)
		if version != tc.version || p.String() != tc.platform || ok != tc.ok {
			t.Errorf("%q: %q %q %v", tc.in, version, p, ok)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	ascending := []string{
		"", "0.0.0", "0.1.0-alpha", "0.1.0-alpha.1", "0.1.0-alpha.beta", "0.1.0-rc.2", "0.1.0-rc.10",
		"0.1.0", "0.1.0+a", "0.1.0+b", "0.10.0", "1.0.0--", "1.0.0", "18446744073709551615.0.0",
	}
	var versions []module.Version
	for _, s := range ascending {
		var v module.Version
		if err := v.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if v.String() != s || v.IsZero() != (s == "") {
			t.Errorf("%q reads as %q", s, v)
		}
		versions = append(versions, v)
	}
	for i, a := range versions {
		for j, b := range versions {
			if got := a.Compare(b); got != compareInt(i, j) {
				t.Errorf("%q compared with %q: %d", a, b, got)
			}
			if (a == b) != (i == j) {
				t.Errorf("%q == %q", a, b)
			}
		}
	}
	if !versions[2].IsPrerelease() || versions[7].IsPrerelease() || versions[8].IsPrerelease() {
		t.Error("IsPrerelease is wrong")
	}
}

func compareInt(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

func TestParseVersionRefuses(t *testing.T) {
	t.Parallel()
	for in, advice := range map[string]string{
		"": "write MAJOR", "v1.0.0": "write 1.0.0", "1.0": "write 1.0.0", "1": "write 1.0.0", "01.0.0": "write 1.0.0", " 1.0.0": "write 1.0.0",
		"1.0.0-": "write MAJOR", "1.0.0-01": "write MAJOR", "1.0.0+": "write MAJOR", "1.0.0-a..b": "write MAJOR", "latest": "write MAJOR",
		"1.0.0\n": "write 1.0.0", "1.0.0-ä": "write MAJOR", "../1.0.0": "write MAJOR", "1.0.0/x": "write MAJOR",
	} {
		v, err := module.ParseVersion(in)
		var f module.Fault
		if !errors.As(err, &f) || !strings.HasPrefix(f.Advice, advice) || !v.IsZero() {
			t.Errorf("ParseVersion(%q) = %q, %v; want advice %q", in, v, err, advice)
		}
	}
}

func TestParseTag(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"v0.1.0": "0.1.0", "0.1.0": "0.1.0", "v1.2.3-rc4": "1.2.3-rc4"} {
		if v, err := module.ParseTag(in); err != nil || v.String() != want {
			t.Errorf("ParseTag(%q) = %q, %v", in, v, err)
		}
	}
	for _, in := range []string{"vv1.0.0", "v", "release-1.0.0", "V1.0.0"} {
		if v, err := module.ParseTag(in); err == nil {
			t.Errorf("ParseTag(%q) = %q", in, v)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	id, err := module.ParseID("acme:widget_2-x")
	if err != nil {
		t.Fatal(err)
	}
	if id.String() != "acme:widget_2-x" || id.PackageID() != "acme/widget_2-x" {
		t.Errorf("%q, %q", id, id.PackageID())
	}
	if back, err := module.ParsePackageID(id.PackageID()); err != nil || back != id {
		t.Errorf("ParsePackageID = %v, %v", back, err)
	}
	for _, in := range []string{"", "widget", "acme:widget:x", ":widget", "acme:", "a b:c", "a:b/c", "-a:b", "a:../b", "a:b\n"} {
		if id, err := module.ParseID(in); err == nil || !errors.Is(err, module.ErrInvalid) {
			t.Errorf("ParseID(%q) = %v, %v", in, id, err)
		}
	}
}

func TestStrategies(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]module.Strategy{
		"native": module.StrategyNative, "cross": module.StrategyCross, "qemu": module.StrategyQEMU,
		"auto": module.StrategyAuto, "": module.StrategyAuto,
	} {
		if got, err := module.ParseStrategy(in); err != nil || got != want {
			t.Errorf("ParseStrategy(%q) = %q, %v", in, got, err)
		}
	}
	if _, err := module.ParseStrategy("qem"); err == nil || !strings.Contains(err.Error(), "did you mean qemu?") {
		t.Errorf("qem: %v", err)
	}
}

func TestReleaseThroughJSON(t *testing.T) {
	t.Parallel()
	v, err := module.ParseVersion("1.0.0-rc.1")
	if err != nil {
		t.Fatal(err)
	}
	want := module.Release{
		ID: module.ID{Namespace: "acme", Name: "widget"}, Version: v, Platform: module.Platform{OS: "linux", Arch: "arm32v7"},
		Tags: []string{"distro:debian"}, Strategy: module.StrategyCross, Size: 7, SHA256: "ab", CRC32C: 1 << 31,
		Manifest: json.RawMessage(`{"a":1}`),
	}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"id":"acme:widget"`, `"version":"1.0.0-rc.1"`, `"platform":"linux/arm32v7"`, `"tar_sha256":""`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("%s is not in %s", part, raw)
		}
	}
	var got module.Release
	mustUnmarshal(t, raw, &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("release (-want +got):\n%s", diff)
	}
	var zero module.Release
	mustUnmarshal(t, []byte(`{"id":"","version":"","platform":""}`), &zero)
	if !zero.ID.IsZero() || !zero.Version.IsZero() || !zero.Platform.IsZero() {
		t.Errorf("empty texts are not zero: %+v", zero)
	}
}

func FuzzParsePlatform(f *testing.F) {
	for _, p := range module.Platforms() {
		f.Add(p.String())
	}
	f.Add("linux/aarch64")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := module.ParsePlatform(s)
		if err != nil {
			if !p.IsZero() || err.Error() == "" {
				t.Fatalf("%q: %v, %v", s, p, err)
			}
			return
		}
		if back, err := module.ParsePlatform(p.String()); err != nil || back != p {
			t.Fatalf("%q: %v, %v", s, back, err)
		}
	})
}

func FuzzParseVersion(f *testing.F) {
	f.Add("1.0.0-rc.1+build")
	f.Add("v1")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := module.ParseVersion(s)
		if err != nil {
			if !v.IsZero() || err.Error() == "" {
				t.Fatalf("%q: %v, %v", s, v, err)
			}
			return
		}
		if v.String() != s || v.Compare(v) != 0 || strings.ContainsAny(s, "/\\ \n") {
			t.Fatalf("%q reads as %q", s, v)
		}
	})
}

func ExampleParseTag() {
	v, _ := module.ParseTag("v1.4.0-rc.1")
	fmt.Println(v, v.IsPrerelease())
	// Output: 1.4.0-rc.1 true
}

func ExamplePlatform_Container() {
	p, _ := module.ParsePlatform("linux/arm32v7")
	fmt.Println(p, p.Container(), p.GOARCH(), p.GOARM(), p.Dashed())
	// Output: linux/arm32v7 linux/arm/v7 arm 7 linux-arm32v7
}

func ExamplePlatform_Covers() {
	everyLinux, _ := module.ParsePlatform("linux/any")
	machine, _ := module.ParsePlatform("linux/arm64")
	fmt.Println(everyLinux.Covers(machine), machine.Covers(everyLinux))
	// Output: true false
}

func ExampleParseManifest() {
	_, err := module.ParseManifest([]byte(`{
  "module_id": "acme:widget",
  "visibility": "publik",
  "build": {"arch": ["linux/aarch64"]}
}`))
	fmt.Println(err)
	// Output:
	// line 3: visibility: "publik": not a visibility; did you mean public?
	// line 4: build.arch[0]: "linux/aarch64": not a platform; write linux/arm64
}
