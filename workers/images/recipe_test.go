package images_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/images"
)

func platform(t *testing.T, s string) module.Platform {
	t.Helper()
	p, err := module.ParsePlatform(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRecipeNamesPlatformAndHash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		platform string
		make     func(module.Platform, string) (images.Recipe, error)
		want     string
	}{
		{"linux/amd64", images.Builder, `^modfarm/builder-linux-amd64:bookworm-[0-9a-f]{12}$`},
		{"linux/arm64", images.Builder, `^modfarm/builder-linux-arm64:bookworm-[0-9a-f]{12}$`},
		{"linux/arm32v7", images.Builder, `^modfarm/builder-linux-arm32v7:bookworm-[0-9a-f]{12}$`},
		{"linux/arm64", images.Run, `^modfarm/run-linux-arm64:bookworm-[0-9a-f]{12}$`},
	} {
		r, err := tt.make(platform(t, tt.platform), "")
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(tt.want).MatchString(r.Ref()) {
			t.Errorf("%s: ref %q does not match %s", tt.platform, r.Ref(), tt.want)
		}
		if !strings.HasSuffix(r.Ref(), r.Hash()[:12]) {
			t.Errorf("ref %q does not end in the hash %s", r.Ref(), r.Hash())
		}
	}
}

func TestRecipeHashFollowsContent(t *testing.T) {
	t.Parallel()
	base, err := images.Builder(platform(t, "linux/arm64"), "bookworm")
	if err != nil {
		t.Fatal(err)
	}
	again, err := images.Builder(platform(t, "linux/arm64"), "")
	if err != nil {
		t.Fatal(err)
	}
	if base.Hash() != again.Hash() {
		t.Errorf("equal recipes have hashes %s and %s", base.Hash(), again.Hash())
	}
	for name, change := range map[string]func(*images.Recipe){
		"kind":     func(r *images.Recipe) { r.Kind = images.KindRun },
		"platform": func(r *images.Recipe) { r.Platform.Arch = "amd64" },
		"distro":   func(r *images.Recipe) { r.Distro = "trixie" },
		"packages": func(r *images.Recipe) { r.Packages = append(slices.Clone(r.Packages), "ninja-build") },
		"go":       func(r *images.Recipe) { r.Go = "1.27.0" },
	} {
		changed := base
		change(&changed)
		if changed.Hash() == base.Hash() {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

func TestRecipeHoldsWhatModulesExpect(t *testing.T) {
	t.Parallel()
	builder, err := images.Builder(module.HostPlatform(), "")
	if err != nil {
		t.Skip(err)
	}
	for _, pkg := range []string{"bash", "make", "tar", "jq", "binutils", "git", "gcc", "python3-venv", "python3-pip", "python3-grpcio", "sudo", "apt", "cmake"} {
		if !slices.Contains(builder.Packages, pkg) {
			t.Errorf("the builder lacks %s", pkg)
		}
	}
	cross := func(r images.Recipe) bool {
		return slices.ContainsFunc(r.Packages, func(pkg string) bool { return strings.HasPrefix(pkg, "gcc-") })
	}
	if !cross(builder) {
		t.Error("the builder of this machine's platform has no cross compiler")
	}
	for _, other := range []string{"linux/amd64", "linux/arm64", "linux/arm32v7"} {
		r, err := images.Builder(platform(t, other), "")
		if err != nil {
			t.Fatal(err)
		}
		if r.Platform != module.HostPlatform() && cross(r) {
			t.Errorf("the emulated builder for %s has cross compilers", other)
		}
	}
}

func TestRecipeRefusesWhatCannotBeMade(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ platform, distro, says string }{
		{"linux/arm32v6", "", "linux/arm32v6"},
		{"darwin/arm64", "", "darwin/arm64"},
		{"any", "", "any"},
		{"linux/amd64", "warty", `"warty"`},
	} {
		for _, recipe := range []func(module.Platform, string) (images.Recipe, error){images.Builder, images.Run} {
			_, err := recipe(platform(t, tt.platform), tt.distro)
			if !errors.Is(err, module.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s %s: got %v, want an invalid-input error naming %s", tt.platform, tt.distro, err, tt.says)
			}
		}
	}
}

func TestFinishScriptWritesTheSourcesOfTheBootstrap(t *testing.T) {
	t.Parallel()
	for line := range strings.Lines(images.AptSources("$1")) {
		line = strings.ReplaceAll(line, "/usr/share/keyrings/debian-archive-keyring.gpg", "$key")
		if !strings.Contains(images.FinishScript(), line) {
			t.Errorf("finish.sh lacks the source %q", line)
		}
	}
}
