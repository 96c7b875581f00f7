package module

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Version is a SemVer 2.0.0 version without decoration, such as "1.4.0-rc.1".
// The zero value is "no version": such a build publishes nothing. Versions compare
// with ==; Compare orders them.
type Version struct {
	text string
}

// ParseVersion reads a strict SemVer 2.0.0 version; "v1.0.0" and "1.0" are refused.
// The error is a Fault without a Path.
func ParseVersion(s string) (Version, error) {
	parsed, err := semver.StrictNewVersion(s)
	// The parser tolerates what it can print back differently; a version is also a
	// file name and a key, so it has to be the very same text.
	if err == nil && parsed.String() == s {
		return Version{text: s}, nil
	}
	return Version{}, Fault{Value: s, Problem: "not a semantic version", Advice: versionAdvice(s)}
}

// ParseTag reads a version out of a git tag: one leading "v" is dropped.
// The error is a Fault without a Path.
func ParseTag(tag string) (Version, error) {
	return ParseVersion(strings.TrimPrefix(tag, "v"))
}

// SplitTag reads the tags that name a version: "v1.2.3", and "widget/v1.2.3" of one module in a repository of several, by
// its name or its folder. The error is of no kind: what a tag that names none means is the caller's to say.
func SplitTag(name string) (what string, v Version, err error) {
	text := name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		what, text = name[:i], name[i+1:]
	}
	v, err = ParseTag(text)
	if err != nil || strings.ContainsAny(what, "/\\ $`\"'") {
		return "", Version{}, fmt.Errorf("%.60q is no version: tags such as v1.2.3, or widget/v1.2.3 in a repository of several modules, are built", name)
	}
	return what, v, nil
}

// versionAdvice offers the nearest strict spelling, when there is one.
func versionAdvice(s string) string {
	const rule = "write MAJOR.MINOR.PATCH, with -prerelease where needed, such as 1.4.0 or 1.4.0-rc.1"
	// An unbounded number of digits would make the lenient parser's answer unreadable.
	if len(s) > maxFaultValue {
		return rule
	}
	loose, err := semver.NewVersion(strings.TrimSpace(s))
	if err != nil {
		return rule
	}
	return "write " + loose.String()
}

// String is the version as written; empty for the zero Version.
func (v Version) String() string { return v.text }

// IsZero reports whether this is "no version".
func (v Version) IsZero() bool { return v.text == "" }

// IsPrerelease reports whether the version has a pre-release part, such as "-rc.1".
func (v Version) IsPrerelease() bool {
	core, _, _ := strings.Cut(v.text, "+")
	return strings.Contains(core, "-")
}

// Compare orders by SemVer precedence: negative when v comes before other. Versions
// that differ only in build metadata, which SemVer does not order, are ordered by
// their text so that a sorted list is always the same. No version comes first.
func (v Version) Compare(other Version) int {
	if v.IsZero() || other.IsZero() {
		return strings.Compare(v.text, other.text)
	}
	// Both texts went through the strict parser, so neither call can fail.
	a, errA := semver.StrictNewVersion(v.text)
	b, errB := semver.StrictNewVersion(other.text)
	if errA != nil || errB != nil {
		return strings.Compare(v.text, other.text)
	}
	if c := a.Compare(b); c != 0 {
		return c
	}
	return strings.Compare(v.text, other.text)
}

// Equal reports whether both are the same text; it is ==, for go-cmp and its like.
func (v Version) Equal(other Version) bool { return v == other }

// MarshalText prints the version; the zero Version becomes the empty text.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.text), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is no version.
func (v *Version) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*v = Version{}
		return nil
	}
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
