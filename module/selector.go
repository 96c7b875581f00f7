package module

import (
	"strings"

	"github.com/Masterminds/semver/v3"
)

// The selectors that are words.
const (
	selectLatest           = "latest"
	selectLatestPrerelease = "latest-with-prerelease"
)

// maxSelector is the longest selector, in bytes; what a person writes has a tenth of it.
const maxSelector = 256

// Selector says which versions of a module somebody wants: the latest, one exact
// version, or a range such as "1.2", "^1.2", "~1.2.3" or ">=1.2 <2". The zero
// Selector is "latest". Compare Selectors by their String.
//
// A range takes prereleases only when it names one itself, as ">=1.3.0-rc.1 <2"
// does, and the prereleases of a bound belong to what lies above it: "<2" ends
// before 2.0.0-rc.1.
type Selector struct {
	text  string
	exact Version
	anyOf []span // any of these; nil unless it is a range
}

// Latest selects the newest version that is no prerelease.
func Latest() Selector { return Selector{} }

// LatestWithPrerelease selects the newest version, prereleases included.
func LatestWithPrerelease() Selector { return Selector{text: selectLatestPrerelease} }

// Exactly selects one version.
func Exactly(v Version) Selector { return Selector{text: v.String(), exact: v} }

// ParseSelector reads a selector. "v1.2.3" and "=1.2.3" are the exact version 1.2.3.
// A range is comparisons (= != > >= < <= ~ ^, or none) with spaces or commas between
// those that all have to hold, and "||" between alternatives; "*" is every version.
// The error is a Fault without a Path.
func ParseSelector(s string) (Selector, error) {
	text := strings.TrimSpace(s)
	switch {
	case text == "":
		return Selector{}, Fault{Problem: "the version is empty", Advice: "write latest, a version such as 1.2.3, or a range such as ^1.2"}
	case len(text) > maxSelector:
		return Selector{}, Fault{Value: text, Problem: "the version is longer than any range has to be", Advice: "write a range such as ^1.2"}
	case text == selectLatest:
		return Latest(), nil
	case text == selectLatestPrerelease:
		return LatestWithPrerelease(), nil
	}
	if v, err := ParseTag(strings.TrimSpace(strings.TrimPrefix(text, "="))); err == nil {
		return Exactly(v), nil
	}
	spans, ok := parseRange(text)
	if !ok {
		return Selector{}, Fault{Value: text, Problem: "neither a version nor a range of versions", Advice: selectorAdvice(text)}
	}
	return Selector{text: text, anyOf: spans}, nil
}

// selectorAdvice knows the spellings of other tools.
func selectorAdvice(s string) string {
	lower := strings.ToLower(s)
	switch {
	case lower == selectLatest, lower == "newest", lower == "stable":
		return "write latest"
	case strings.Contains(lower, "latest"), lower == "prerelease", lower == "next":
		return "write latest or latest-with-prerelease"
	case strings.Contains(s, " - "):
		return "write the bounds with signs, such as >=1.2 <=1.4"
	case strings.Contains(s, "=>"), strings.Contains(s, "=<"), strings.Contains(s, "~>"), strings.Contains(s, "=="):
		return "write >=, <=, ~ or ="
	}
	return "write latest, a version such as 1.2.3, or a range such as 1.2, ^1.2, ~1.2.3 or >=1.2 <2"
}

// String is the selector as it was written, but for spaces around it and the "v" of
// an exact version.
func (s Selector) String() string {
	if s.text == "" {
		return selectLatest
	}
	return s.text
}

// Exact is the one version that the selector names, or the zero Version.
func (s Selector) Exact() Version { return s.exact }

// IsLatest reports whether the selector is "latest".
func (s Selector) IsLatest() bool { return s.text == "" }

// Matches reports whether the selector takes a version.
func (s Selector) Matches(v Version) bool {
	if v.IsZero() {
		return false
	}
	parsed, err := semver.StrictNewVersion(v.String())
	return err == nil && s.judge(v, parsed) == ""
}

// judge says why the selector does not take a version, and nothing when it does.
// parsed is the same version.
func (s Selector) judge(v Version, parsed *semver.Version) Refusal {
	switch {
	case !s.exact.IsZero():
		if v != s.exact {
			return RefusedVersion
		}
	case s.anyOf != nil:
		return judgeRange(s.anyOf, parsed)
	case s.IsLatest() && parsed.Prerelease() != "":
		return RefusedPrerelease
	}
	return ""
}

// MarshalText prints the selector.
func (s Selector) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is "latest".
func (s *Selector) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Selector{}
		return nil
	}
	parsed, err := ParseSelector(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
