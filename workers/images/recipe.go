package images

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Kind says what an image is for.
type Kind string

const (
	// KindBuilder images run setup and build steps.
	KindBuilder Kind = "builder"
	// KindRun images run a built archive, as a machine would.
	KindRun Kind = "run"
)

// DefaultDistro is the Debian release that images are made of when nothing else is asked.
const DefaultDistro = module.DefaultDistro

// finishScript configures the root file system after its packages; both ways of making
// an image run it, and it is part of the recipe's hash.
//
//go:embed finish.sh
var finishScript string

// Recipe says all that decides what is in an image, except the versions that Debian has
// on the day it is made. Equal recipes have equal hashes on every machine.
type Recipe struct {
	// Kind is what the image is for.
	Kind Kind `json:"kind"`
	// Platform is what runs in it.
	Platform module.Platform `json:"platform"`
	// Distro is the Debian release, "bookworm".
	Distro string `json:"distro"`
	// Packages are the Debian packages asked for, without what they depend on.
	Packages []string `json:"packages"`
	// Go is the Go release under /usr/local/go; empty for none.
	Go string `json:"go,omitempty"`
}

// Builder is the recipe of the full image that builds for p run in. The builder of this
// machine's own platform has the cross compilers too. An empty distro is DefaultDistro.
// The error wraps module.ErrInvalid when there is no such image.
func Builder(p module.Platform, distro string) (Recipe, error) {
	r, err := newRecipe(KindBuilder, p, distro)
	if err != nil {
		return Recipe{}, err
	}
	r.Packages = append(r.Packages,
		"apt", "binutils", "bzip2", "cmake", "curl", "debian-archive-keyring", "file", "g++",
		"gcc", "git", "jq", "less", "libc6-dev", "make", "patch", "pkg-config", "procps",
		"python-is-python3", "python3-dev", "python3-grpc-tools", "python3-grpcio",
		"python3-pip", "python3-protobuf", "python3-venv", "sudo", "unzip", "wget",
		"xz-utils", "zip",
	)
	if p == module.HostPlatform() {
		r.Packages = append(r.Packages, crossCompilers(p)...)
	}
	r.Go = goRelease
	slices.Sort(r.Packages)
	return r, nil
}

// Run is the recipe of the small image that archives for p are tried in. An empty distro
// is DefaultDistro. The error wraps module.ErrInvalid when there is no such image.
func Run(p module.Platform, distro string) (Recipe, error) {
	return newRecipe(KindRun, p, distro)
}

// newRecipe checks what both kinds share and fills in the packages of both.
func newRecipe(kind Kind, p module.Platform, distro string) (Recipe, error) {
	if distro == "" {
		distro = DefaultDistro
	}
	if err := module.CheckDistro(distro); err != nil {
		return Recipe{}, fmt.Errorf("distro: %w", err)
	}
	if debianArch(p) == "" {
		return Recipe{}, fmt.Errorf("%w: there is no %s image for %s; images exist for %s", module.ErrInvalid, kind, p, platformList())
	}
	return Recipe{
		Kind:     kind,
		Platform: p,
		Distro:   distro,
		Packages: []string{"bash", "ca-certificates", "libstdc++6", "python3", "tar", "usr-is-merged"},
	}, nil
}

// crossCompilers lists what the builder of platform host needs to compile C for the others.
func crossCompilers(host module.Platform) []string {
	switch host.Arch {
	case "amd64":
		return []string{"g++-aarch64-linux-gnu", "gcc-aarch64-linux-gnu", "gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"}
	case "arm64":
		return []string{"g++-x86-64-linux-gnu", "gcc-x86-64-linux-gnu", "gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"}
	}
	return nil
}

// Platforms are those that images exist for.
func Platforms() []module.Platform {
	return slices.DeleteFunc(module.Platforms(), func(p module.Platform) bool { return debianArch(p) == "" })
}

func platformList() string {
	var names []string
	for _, p := range Platforms() {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}

// debianArch is Debian's name of a platform's architecture; empty when no image is made
// for it. Debian's armhf needs ARMv7, so linux/arm32v6 has none.
func debianArch(p module.Platform) string {
	if p.OS != "linux" {
		return ""
	}
	switch p.Arch {
	case "amd64", "arm64":
		return p.Arch
	case "arm32v7":
		return "armhf"
	}
	return ""
}

// Hash is the hexadecimal SHA-256 of everything that decides what the image holds.
func (r Recipe) Hash() string {
	data, err := json.Marshal(r)
	if err != nil {
		panic("images: " + err.Error()) //nolint:forbidigo // strings only, so that it cannot fail; an error here would be in every signature
	}
	sum := sha256.New()
	for _, part := range []string{string(data), goSum(r.Platform), strings.Join(r.env(), "\n"), finishScript} {
		fmt.Fprintf(sum, "%d\n%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Ref is the image's name, "modfarm/builder-linux-arm64:bookworm-" and the first twelve
// digits of the hash. The platform is in the name because older engines cannot keep
// images of several platforms under one.
func (r Recipe) Ref() string {
	return fmt.Sprintf("modfarm/%s-%s:%s-%s", r.Kind, r.Platform.Dashed(), r.Distro, r.Hash()[:12])
}

// fileName is the part of the file and folder names that belong to this recipe.
func (r Recipe) fileName() string {
	return fmt.Sprintf("%s-%s-%s-%s", r.Kind, r.Platform.Dashed(), r.Distro, r.Hash()[:12])
}

// env is the environment that the image gives to its containers.
func (r Recipe) env() []string {
	const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if r.Kind == KindRun {
		return []string{"PATH=" + path, "LANG=C.UTF-8"}
	}
	return []string{
		"PATH=/usr/local/go/bin:" + path,
		"LANG=C.UTF-8",
		"DEBIAN_FRONTEND=noninteractive",
		// The Go command is not to fetch another toolchain than the image's.
		"GOTOOLCHAIN=local",
	}
}

// labels say in the image itself what it was made of; source is "pull" or "bootstrap".
func (r Recipe) labels(source string) map[string]string {
	return map[string]string{
		labelRecipe:                      r.Hash(),
		labelKind:                        string(r.Kind),
		labelPlatform:                    r.Platform.String(),
		labelDistro:                      r.Distro,
		labelSource:                      source,
		"org.opencontainers.image.title": fmt.Sprintf("modfarm %s image for %s", r.Kind, r.Platform),
	}
}

// The labels of an image; labelRecipe is the recipe's hash.
const (
	labelRecipe   = "io.modfarm.image.recipe"
	labelKind     = "io.modfarm.image.kind"
	labelPlatform = "io.modfarm.image.platform"
	labelDistro   = "io.modfarm.image.distro"
	labelSource   = "io.modfarm.image.source"
)
