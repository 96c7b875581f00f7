package module

import (
	"fmt"
	"slices"
	"strings"
)

// reason is one sentence on a candidate that does not fit, with the next step where
// there is one.
func (r Resolution) reason(j judged) string {
	u := j.upload
	switch j.Refusal {
	case RefusedVersion:
		if !r.Selector.exact.IsZero() {
			return "is not " + r.Selector.String()
		}
		return "is outside of " + r.Selector.String()
	case RefusedPrerelease:
		if r.Selector.IsLatest() {
			return "is a prerelease; ask for " + selectLatestPrerelease + " or for " + u.Version.String()
		}
		return "is a prerelease, which the range does not name; ask for " + u.Version.String() + ", or for a range that names a prerelease"
	case RefusedDeprecated:
		return u.deprecation() + "; ask for " + u.Version.String() + " to get it all the same"
	case RefusedPlatform:
		return "is for " + u.Platform.String() + ", and the machine is " + r.Machine.Platform.String()
	case RefusedTags:
		return "needs " + strings.Join(r.missing(u), ", ") + ", which the machine does not have"
	}
	return ""
}

func (u Upload) deprecation() string {
	if u.DeprecationMessage == "" {
		return "is deprecated"
	}
	return "is deprecated: " + strings.TrimRight(u.DeprecationMessage, " .\n")
}

// Warning is what somebody who gets the upload should know; empty for nothing.
func (u Upload) Warning() string {
	if !u.Deprecated {
		return ""
	}
	return u.Version.String() + " " + u.deprecation()
}

// shownReasons bounds how many candidates a message goes through.
const shownReasons = 3

// Err is nil when an upload was taken, and otherwise says, of the candidates that came
// nearest, why not. It wraps ErrNotFound.
func (r Resolution) Err(id ID) error {
	if len(r.fits) > 0 {
		return nil
	}
	if len(r.refused) == 0 {
		return fmt.Errorf("%w: module %q has no published version yet", ErrNotFound, id)
	}
	list := r.sortedRefused()
	// Those that failed later rules came nearer; among equals the newest stays first.
	slices.SortStableFunc(list, func(a, b judged) int { return b.Refusal.stage() - a.Refusal.stage() })
	var reasons []string
	for _, j := range list[:min(len(list), shownReasons)] {
		reasons = append(reasons, j.upload.String()+" "+r.reason(j))
	}
	text := strings.Join(reasons, "; ")
	if more := len(list) - len(reasons); more > 0 {
		text += fmt.Sprintf("; and %d more do not", more)
	}
	on := ""
	if !r.Machine.Platform.IsZero() {
		on = " on " + r.Machine.String()
	}
	return fmt.Errorf("%w: no upload of %s fits %s%s: %s", ErrNotFound, id, r.Selector, on, text)
}

// stage is how far a candidate came.
func (f Refusal) stage() int {
	return slices.Index([]Refusal{RefusedVersion, RefusedPrerelease, RefusedDeprecated, RefusedPlatform, RefusedTags}, f)
}

// String is the machine in a sentence: "linux/arm64 (distro:debian)".
func (m Machine) String() string {
	if len(m.Tags) == 0 {
		return m.Platform.String()
	}
	return m.Platform.String() + " (" + strings.Join(m.Tags, ", ") + ")"
}
