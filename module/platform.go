package module

import (
	"runtime"
	"slices"
	"strings"
)

// Any is the wildcard in either half of a Platform.
const Any = "any"

// Platform says where an archive runs, in the spelling of the wire: "linux/arm64",
// "linux/arm32v7", "any", "any/amd64", "linux/any". Platforms compare with ==; make
// them with ParsePlatform, or literally from the known ones.
type Platform struct {
	// OS is linux, darwin, windows or any.
	OS string
	// Arch is amd64, arm64, arm32v7, arm32v6 or any.
	Arch string
}

// Platforms lists every platform that exists, the wildcards last.
func Platforms() []Platform {
	return []Platform{
		{"linux", "amd64"},
		{"linux", "arm64"},
		{"linux", "arm32v7"},
		{"linux", "arm32v6"},
		{"darwin", "amd64"},
		{"darwin", "arm64"},
		{"windows", "amd64"},
		{"linux", Any},
		{"darwin", Any},
		{Any, "amd64"},
		{Any, "arm64"},
		{Any, Any},
	}
}

// ParsePlatform reads the wire's spelling and the container engines' ("linux/arm/v7",
// "linux/arm/v6", "linux/arm64/v8"). The error is a Fault without a Path.
func ParsePlatform(s string) (Platform, error) {
	// The wire's spelling first: a resolve reads many, and making each text costs more than the rest of it.
	os, arch, _ := strings.Cut(s, "/")
	if p := (Platform{OS: os, Arch: arch}); slices.Contains(Platforms(), p) {
		return p, nil
	}
	switch s {
	case Any:
		return Platform{Any, Any}, nil
	case "linux/arm64/v8":
		return Platform{"linux", "arm64"}, nil
	}
	for _, p := range Platforms() {
		if s == p.Container() {
			return p, nil
		}
	}
	return Platform{}, Fault{Value: s, Problem: "not a platform", Advice: platformAdvice(s)}
}

// platformAdvice maps the spellings of other tools to ours.
func platformAdvice(s string) string {
	names := strings.NewReplacer(
		"x86_64", "amd64", "x86-64", "amd64", "aarch64", "arm64",
		"armhf", "arm32v7", "armv7l", "arm32v7", "armv7", "arm32v7",
		"armv6l", "arm32v6", "armv6", "arm32v6", "macos", "darwin",
	)
	meant := names.Replace(strings.ToLower(strings.TrimSpace(s)))
	if !strings.Contains(meant, "/") {
		meant = strings.Replace(meant, "-", "/", 1)
	}
	if meant == "linux/arm" {
		return "write linux/arm32v7 or linux/arm32v6"
	}
	all := make([]string, 0, len(Platforms()))
	for _, p := range Platforms() {
		if p.String() == meant {
			return "write " + meant
		}
		all = append(all, p.String())
	}
	return "use one of " + strings.Join(all, ", ")
}

// HostPlatform is the platform that this program was built for. A 32-bit ARM program
// cannot tell which revision its machine has, so it answers arm32v7.
func HostPlatform() Platform {
	arch := runtime.GOARCH
	if arch == "arm" {
		arch = "arm32v7"
	}
	return Platform{OS: runtime.GOOS, Arch: arch}
}

// String is the wire's spelling; empty for the zero Platform.
func (p Platform) String() string {
	switch {
	case p.IsZero():
		return ""
	case p.OS == Any && p.Arch == Any:
		return Any
	}
	return p.OS + "/" + p.Arch
}

// Container is the spelling of container engines: "linux/amd64", "linux/arm/v7".
// Wildcards keep the wire's spelling; no engine knows them.
func (p Platform) Container() string {
	if p.GOARCH() == "arm" {
		return p.OS + "/arm/v" + p.GOARM()
	}
	return p.String()
}

// GOOS is the Go name of the operating system; empty when it is a wildcard.
func (p Platform) GOOS() string {
	if p.OS == Any {
		return ""
	}
	return p.OS
}

// GOARCH is the Go name of the architecture ("arm" for both 32-bit ones); empty when
// it is a wildcard.
func (p Platform) GOARCH() string {
	switch {
	case p.Arch == Any:
		return ""
	case strings.HasPrefix(p.Arch, "arm32"):
		return "arm"
	}
	return p.Arch
}

// GOARM is "7" or "6" for the 32-bit ARM platforms, and empty for all others.
func (p Platform) GOARM() string {
	switch p.Arch {
	case "arm32v7":
		return "7"
	case "arm32v6":
		return "6"
	}
	return ""
}

// Dashed is the spelling within file names and package versions: "linux-arm64".
func (p Platform) Dashed() string { return strings.ReplaceAll(p.String(), "/", "-") }

// IsZero reports whether no platform is named at all.
func (p Platform) IsZero() bool { return p == Platform{} }

// IsWildcard reports whether either half is "any".
func (p Platform) IsWildcard() bool { return p.OS == Any || p.Arch == Any }

// Covers reports whether an archive of platform p runs on a machine of platform
// machine. It is not symmetric: linux/any covers linux/arm64, linux/arm64 does not
// cover linux/any. Only wildcards widen a platform: arm32v6 does not cover arm32v7,
// although such a machine could run it, because the wire matches exactly.
func (p Platform) Covers(machine Platform) bool {
	if p.IsZero() || machine.IsZero() {
		return false
	}
	return (p.OS == Any || p.OS == machine.OS) && (p.Arch == Any || p.Arch == machine.Arch)
}

// Buildable reports whether a Linux worker can build for the platform.
func (p Platform) Buildable() bool {
	return p.OS == "linux" && p.Arch != Any && p.Arch != ""
}

// MarshalText prints the platform; the zero Platform becomes the empty text.
func (p Platform) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is the zero Platform.
func (p *Platform) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = Platform{}
		return nil
	}
	parsed, err := ParsePlatform(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// SplitPackageVersion takes a package version such as "1.2.6-rc.1-linux-amd64" apart.
// The platform is the longest known one at the end; the version is returned as it
// stands, because reload versions are no SemVer. ok is false when there is no
// platform at the end or nothing before it.
func SplitPackageVersion(s string) (version string, p Platform, ok bool) {
	for _, candidate := range Platforms() {
		rest, found := strings.CutSuffix(s, "-"+candidate.Dashed())
		if !found || rest == "" {
			continue
		}
		if !ok || len(rest) < len(version) {
			version, p, ok = rest, candidate, true
		}
	}
	return version, p, ok
}
