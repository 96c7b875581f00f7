package module

import (
	"cmp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Upload is one published archive of a module, as far as resolving looks at it.
// Version, Platform and Tags name it: a module has no two with all three the same.
type Upload struct {
	Version  Version
	Platform Platform
	// Tags narrow the machines that it fits, as "distro:debian"; sorted.
	Tags []string
	// Deprecated says that nobody should begin to use the version.
	Deprecated bool
	// DeprecationMessage says why, or what to use instead; may be empty.
	DeprecationMessage string
}

// Machine is what an upload has to fit.
type Machine struct {
	// Platform has no wildcards in it.
	Platform Platform
	// Tags are what is true of the machine, as "distro:debian", in any order.
	Tags []string
}

// Refusal is why a candidate was not taken; the empty one says that it was. The names
// are stable.
type Refusal string

// The refusals, in the order in which they are looked for.
const (
	// RefusedVersion is a version that the selector does not name.
	RefusedVersion Refusal = "version"
	// RefusedPrerelease is a prerelease within what the selector names.
	RefusedPrerelease Refusal = "prerelease"
	// RefusedDeprecated is a deprecated version that the selector does not name exactly.
	RefusedDeprecated Refusal = "deprecated"
	// RefusedPlatform is for other machines.
	RefusedPlatform Refusal = "platform"
	// RefusedTags needs a tag that the machine does not have.
	RefusedTags Refusal = "tags"
	// RefusedOutranked fits, and another one goes before it.
	RefusedOutranked Refusal = "outranked"
)

// Candidate is an upload with the verdict on it.
type Candidate struct {
	Upload
	// Refused is empty for the one that was taken.
	Refused Refusal
	// Reason is one sentence without a full stop, and empty for the one that was taken.
	Reason string
}

// Resolution is what Resolve found.
type Resolution struct {
	// Selector and Machine are what was asked for.
	Selector Selector
	Machine  Machine

	fits    []judged // best first
	refused []judged
}

type judged struct {
	upload *Upload
	parsed *semver.Version
	Refusal
}

// Resolve picks the upload that a machine gets. One is left out when the selector does
// not take its version, when it is deprecated and not named exactly, when its platform
// does not cover the machine's, or when it has a tag that the machine has not. Of those
// that are left goes first, and each rule decides only where all above it are even:
//
//  1. the exact platform, then one with a wildcard architecture ("linux/any"), then
//     one with a wildcard system ("any/arm64"), then "any";
//  2. more tags before fewer;
//  3. the newer version, by SemVer precedence and then by the text of build metadata;
//  4. the tags that come first in the alphabet.
//
// The outcome does not depend on the order of uploads.
func Resolve(uploads []Upload, selector Selector, machine Machine) Resolution {
	r := Resolution{Selector: selector, Machine: machine}
	for i := range uploads {
		u := &uploads[i]
		parsed, err := semver.StrictNewVersion(u.Version.String())
		if err != nil {
			continue // "no version" is not published
		}
		j := judged{u, parsed, r.judge(u, parsed)}
		if j.Refusal == "" {
			r.fits = append(r.fits, j)
		} else {
			r.refused = append(r.refused, j)
		}
	}
	slices.SortFunc(r.fits, func(a, b judged) int { return preferred(a, b, machine.Platform).order })
	return r
}

func (r *Resolution) judge(u *Upload, parsed *semver.Version) Refusal {
	if refusal := r.Selector.judge(u.Version, parsed); refusal != "" {
		return refusal
	}
	switch {
	case u.Deprecated && r.Selector.exact.IsZero():
		return RefusedDeprecated
	case !u.Platform.Covers(r.Machine.Platform):
		return RefusedPlatform
	case len(r.missing(u)) > 0:
		return RefusedTags
	}
	return ""
}

// missing are the tags of an upload that the machine does not have.
func (r *Resolution) missing(u *Upload) []string {
	var missing []string
	for _, tag := range u.Tags {
		if !slices.Contains(r.Machine.Tags, tag) {
			missing = append(missing, tag)
		}
	}
	return missing
}

// preference is which of two uploads goes first: order is negative when it is the
// first, and rule says why.
type preference struct {
	order int
	rule  string
}

func preferred(a, b judged, machine Platform) preference {
	if c := cmp.Compare(a.upload.Platform.vagueness(machine), b.upload.Platform.vagueness(machine)); c != 0 {
		return preference{c, "whose platform is closer to the machine's"}
	}
	if c := cmp.Compare(len(b.upload.Tags), len(a.upload.Tags)); c != 0 {
		return preference{c, "which has more tags that fit"}
	}
	if c := newer(a, b); c != 0 {
		return preference{c, "which is newer"}
	}
	return preference{slices.Compare(a.upload.Tags, b.upload.Tags), "whose tags come first in the alphabet"}
}

// newer is Version.Compare turned round, without parsing again.
func newer(a, b judged) int {
	return cmp.Or(b.parsed.Compare(a.parsed), cmp.Compare(b.upload.Version.text, a.upload.Version.text))
}

// vagueness orders the platforms that cover a machine, the closest first.
func (p Platform) vagueness(machine Platform) int {
	switch {
	case p == machine:
		return 0
	case p.OS != Any:
		return 1
	case p.Arch != Any:
		return 2
	}
	return 3
}

// Taken is the upload that the machine gets; ok is false when none fits.
func (r Resolution) Taken() (u Upload, ok bool) {
	if len(r.fits) == 0 {
		return Upload{}, false
	}
	return *r.fits[0].upload, true
}

// Explain lists every candidate: the one that was taken, then those that fit as well,
// in the order in which they would have been taken, then all others, the newest first
// and then by platform and tags.
func (r Resolution) Explain() []Candidate {
	out := make([]Candidate, 0, len(r.fits)+len(r.refused))
	for i, j := range r.fits {
		c := Candidate{Upload: *j.upload}
		if i > 0 {
			c.Refused = RefusedOutranked
			c.Reason = "fits, but comes after " + r.fits[0].upload.String() + ", " + preferred(r.fits[0], j, r.Machine.Platform).rule
		}
		out = append(out, c)
	}
	for _, j := range r.sortedRefused() {
		out = append(out, Candidate{Upload: *j.upload, Refused: j.Refusal, Reason: r.reason(j)})
	}
	return out
}

func (r Resolution) sortedRefused() []judged {
	return slices.SortedFunc(slices.Values(r.refused), func(a, b judged) int {
		return cmp.Or(newer(a, b),
			cmp.Compare(a.upload.Platform.String(), b.upload.Platform.String()),
			slices.Compare(a.upload.Tags, b.upload.Tags))
	})
}

// String is the upload in a sentence: "1.2.0 for linux/arm64 (distro:debian)".
func (u Upload) String() string {
	s := u.Version.String() + " for " + u.Platform.String()
	if len(u.Tags) > 0 {
		s += " (" + strings.Join(u.Tags, ", ") + ")"
	}
	return s
}
