package module

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// The comparisons of a range are kept as bounds and not as the library's constraints:
// those let "<2" take 2.0.0-rc.1, "~0.0.0" take everything and "^*" nearly nothing.
// Parsing versions and their order stay the library's.

// comparison is one sign with one possibly shortened version.
var comparison = regexp.MustCompile(`^(=|!=|>=|>|<=|<|~|\^)?\s*v?` +
	`(0|[1-9]\d*)(?:\.(0|[1-9]\d*)(?:\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?)?)?((?:\.[xX*]){0,2})` +
	`(?:[\s,]+|$)`)

// span is the comparisons that all have to hold.
type span struct {
	bounds []bound
	// prereleases says that one of them names a prerelease.
	prereleases bool
}

// bound takes the versions from low, included unless lowOpen, up to high, not included
// unless highClosed; nil is no bound. except turns it round.
type bound struct {
	low, high           *semver.Version
	lowOpen, highClosed bool
	except              bool
}

// parseRange reads a range; ok is false when it is none.
func parseRange(text string) (spans []span, ok bool) {
	for alternative := range strings.SplitSeq(text, "||") {
		s, ok := parseSpan(strings.TrimSpace(alternative))
		if !ok {
			return nil, false
		}
		spans = append(spans, s)
	}
	return spans, true
}

func parseSpan(text string) (span, bool) {
	if text == "*" || text == "x" || text == "X" {
		return span{bounds: []bound{{}}}, true
	}
	var s span
	for text != "" {
		m := comparison.FindStringSubmatch(text)
		if m == nil {
			return span{}, false
		}
		text = text[len(m[0]):]
		v, parts, ok := partial(m[2], m[3], m[4], m[5])
		// Of a whole version no part is left for a wildcard.
		if !ok || (m[6] != "" && parts+len(m[6])/len(".x") > 3) {
			return span{}, false
		}
		s.bounds = append(s.bounds, boundOf(m[1], v, parts))
		s.prereleases = s.prereleases || v.Prerelease() != ""
	}
	return s, len(s.bounds) > 0
}

// partial makes a version of its parts, with 0 for those that are not there, and counts
// those that are.
func partial(major, minor, patch, pre string) (v *semver.Version, parts int, ok bool) {
	numbers := [3]uint64{}
	for i, part := range []string{major, minor, patch} {
		if part == "" {
			break
		}
		n, err := strconv.ParseUint(part, 10, 63) // leaves room for the next one
		if err != nil {
			return nil, 0, false
		}
		numbers[i], parts = n, i+1
	}
	pre = strings.TrimPrefix(pre, "-")
	v = semver.New(numbers[0], numbers[1], numbers[2], pre, "")
	_, err := semver.StrictNewVersion(v.String())
	return v, parts, err == nil
}

// boundOf says what a comparison takes.
func boundOf(sign string, v *semver.Version, parts int) bound {
	whole := parts == 3
	switch sign {
	case ">":
		if whole {
			return bound{low: v, lowOpen: true}
		}
		return bound{low: next(v, parts)}
	case ">=":
		return bound{low: v}
	case "<":
		return bound{high: below(v)}
	case "<=":
		if whole {
			return bound{high: v, highClosed: true}
		}
		return bound{high: below(next(v, parts))}
	case "~":
		return bound{low: v, high: below(next(v, min(parts, 2)))}
	case "^":
		return bound{low: v, high: below(next(v, firstNonZero(v, parts)))}
	}
	b := bound{low: v, high: v, highClosed: true, except: sign == "!="}
	if !whole {
		b.high, b.highClosed = below(next(v, parts)), false
	}
	return b
}

// firstNonZero is the part of a version that "^" keeps.
func firstNonZero(v *semver.Version, parts int) int {
	switch {
	case v.Major() > 0 || parts == 1:
		return 1
	case v.Minor() > 0 || parts == 2:
		return 2
	}
	return 3
}

// next is the first version in which the given part, counted from 1, is one more.
func next(v *semver.Version, part int) *semver.Version {
	switch part {
	case 1:
		return semver.New(v.Major()+1, 0, 0, "", "")
	case 2:
		return semver.New(v.Major(), v.Minor()+1, 0, "", "")
	}
	return semver.New(v.Major(), v.Minor(), v.Patch()+1, "", "")
}

// below is the upper bound that leaves out a version with its prereleases: the lowest
// of them.
func below(v *semver.Version) *semver.Version {
	if v.Prerelease() != "" {
		return v
	}
	return semver.New(v.Major(), v.Minor(), v.Patch(), "0", "")
}

func (b bound) takes(v *semver.Version) bool {
	in := true
	if b.low != nil {
		c := v.Compare(b.low)
		in = c > 0 || (c == 0 && !b.lowOpen)
	}
	if in && b.high != nil {
		c := v.Compare(b.high)
		in = c < 0 || (c == 0 && b.highClosed)
	}
	return in != b.except
}

// judgeRange says why no span takes a version. A prerelease that lies within one is
// told from a version that lies outside of all.
func judgeRange(spans []span, v *semver.Version) Refusal {
	refusal := RefusedVersion
	for _, s := range spans {
		if !s.takes(v) {
			continue
		}
		if v.Prerelease() == "" || s.prereleases {
			return ""
		}
		refusal = RefusedPrerelease
	}
	return refusal
}

func (s span) takes(v *semver.Version) bool {
	for _, b := range s.bounds {
		if !b.takes(v) {
			return false
		}
	}
	return true
}
