package module

import (
	"slices"
	"strings"
)

// Distros lists the Debian releases that builder images exist for, by code name.
func Distros() []string { return []string{DefaultDistro} }

// CheckDistro says whether builds can run on a Debian release; empty stands for
// DefaultDistro. The error is a Fault without a Path.
func CheckDistro(name string) error {
	if name == "" || slices.Contains(Distros(), name) {
		return nil
	}
	return Fault{
		Value: name, Problem: "there are no builder images of this release",
		Advice: "use " + strings.Join(Distros(), " or "),
	}
}

// DistroGlibc is the version of glibc that a Debian release has, as "2.36"; empty stands for DefaultDistro, and an
// unknown release has none. Source: the release's libc6 package.
func DistroGlibc(name string) string {
	if name == "" {
		name = DefaultDistro
	}
	return map[string]string{"bookworm": "2.36"}[name]
}
