package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Target is what to delete of a module: all of it, one version, or one platform
// of a version with all its tags.
type Target struct {
	// Version is zero for the module as a whole.
	Version module.Version
	// Platform is zero for all platforms; it needs a Version.
	Platform module.Platform

	tag *string // the suffix of one upload's package version; nil for all of the platform
}

// covers reports whether something of a version and platform falls under the
// target.
func (t Target) covers(v module.Version, p module.Platform) bool {
	return (t.Version.IsZero() || t.Version == v) && (t.Platform.IsZero() || t.Platform == p)
}

// spec is how commands name the target.
func (t Target) spec(id module.ID) string {
	if t.Version.IsZero() {
		return id.String()
	}
	return id.String() + "@" + t.Version.String()
}

// Holdings is what a module holds when somebody deletes of it.
type Holdings struct {
	// Module is the module's row.
	Module Module
	// Releases are all of the module.
	Releases []module.Release
	// Uses are the fetches since the time that was asked for.
	Uses []Use
	// Builds are those under way.
	Builds []ActiveBuild
}

// ActiveBuild is a build that has not ended.
type ActiveBuild struct {
	ID      string
	Version module.Version
}

// Removal is what deleting stores.
type Removal struct {
	// Releases go; their places are never filled again.
	Releases []module.Release
	// Versions have nothing left, or were named, and are never used again.
	Versions []module.Version
	// Module says that the module itself goes.
	Module bool
	// By and At are who and when.
	By string
	At time.Time
	// Event tells about it.
	Event Event
}

// Delete removes a module of the organization, a version, or a platform of one,
// and returns the releases that are gone. What is in use wraps
// module.ErrConflict: a build of it is under way, or a machine or another
// organization fetched it within 30 days. The number of a deleted version is
// never used again. by is who asks.
func (r *Registry) Delete(ctx context.Context, orgID string, id module.ID, t Target, by string) ([]module.Release, error) {
	if t.Version.IsZero() && !t.Platform.IsZero() {
		return nil, module.Fault{Path: "platform", Value: t.Platform.String(), Problem: "given without a version", Advice: "name the version, or leave the platform out"}
	}
	m, err := r.OwnModule(ctx, orgID, id)
	if err != nil {
		return nil, err
	}
	var gone []module.Release
	err = r.Store.Remove(ctx, m.Key, r.now().Add(-usedWithin), func(h Holdings) (Removal, error) {
		removal, err := planRemoval(h, t, by, r.now())
		gone = removal.Releases
		return removal, err
	})
	switch {
	case errors.Is(err, errNothingThere):
		releases, err := r.releases(ctx, m)
		if err != nil {
			return nil, err
		}
		return nil, nothingThere(m.ID(), t, releases)
	case err != nil:
		return nil, fmt.Errorf("delete %s: %w", t.spec(m.ID()), err)
	}
	return gone, nil
}

// DeletePackage is Delete for what a package id and version name, as in Query: one
// upload, or all of a version when the version names no platform.
func (r *Registry) DeletePackage(ctx context.Context, orgID, packageID, packageVersion, by string) error {
	id, err := module.ParsePackageID(packageID)
	if err != nil {
		return withPath("id", err)
	}
	text, platform, tag := splitVersion(packageVersion)
	version, err := module.ParseVersion(text)
	if err != nil {
		return withPath("version", err)
	}
	target := Target{Version: version, Platform: platform}
	if !platform.IsZero() {
		target.tag = &tag
	}
	_, err = r.Delete(ctx, orgID, id, target, by)
	return err
}

func withPath(path string, err error) error {
	if fault, ok := errors.AsType[module.Fault](err); ok {
		fault.Path = path
		return fault
	}
	return err
}

// errNothingThere means that the target names no release.
var errNothingThere = errors.New("nothing to delete")

func nothingThere(id module.ID, t Target, releases []module.Release) error {
	if t.Platform.IsZero() {
		return noVersion(id, t.Version.String(), releases)
	}
	releases = slices.DeleteFunc(releases, func(rel module.Release) bool { return rel.Version != t.Version })
	if len(releases) == 0 {
		return fmt.Errorf("%w: module %q has no version %q: see `modfarm module versions %s`", module.ErrNotFound, id, t.Version, id)
	}
	tag := ""
	if t.tag != nil {
		tag = *t.tag
	}
	_, err := choose(id, releases, t.Platform, tag)
	return err
}

// planRemoval decides what deleting stores. It is pure: the store calls it within
// the transaction.
func planRemoval(h Holdings, t Target, by string, now time.Time) (Removal, error) {
	removal := Removal{Module: t.Version.IsZero(), By: by, At: now}
	left := map[module.Version]int{}
	for _, rel := range sorted(h.Releases) {
		if t.covers(rel.Version, rel.Platform) && (t.tag == nil || *t.tag == tagSuffix(rel.Tags)) {
			removal.Releases = append(removal.Releases, rel)
			left[rel.Version] += 0
		} else {
			left[rel.Version]++
		}
	}
	if len(removal.Releases) == 0 && !removal.Module {
		return Removal{}, errNothingThere
	}
	if err := inUse(h, t); err != nil {
		return Removal{}, err
	}
	for v, n := range left {
		if n == 0 {
			removal.Versions = append(removal.Versions, v)
		}
	}
	removal.Event = newEvent(now, by, ActionDeleted, t.Version, slotsOf(removal.Releases, t))
	return removal, nil
}

// slotsOf names what is deleted, for the event.
func slotsOf(releases []module.Release, t Target) string {
	if t.Version.IsZero() {
		return fmt.Sprintf("the module with %d uploads", len(releases))
	}
	var slots []string
	for _, rel := range releases {
		slots = append(slots, slotOf(rel))
	}
	return strings.Join(slots, ", ")
}

// inUse returns why the target must stay, or nil.
func inUse(h Holdings, t Target) error {
	id := h.Module.ID()
	for _, b := range h.Builds {
		if t.Version.IsZero() || b.Version == t.Version {
			return fmt.Errorf("%w: build %s of version %s is under way: wait until it ends, or stop it with `modfarm module build cancel %s`",
				module.ErrConflict, b.ID, b.Version, b.ID)
		}
	}
	var uses []Use
	for _, u := range h.Uses {
		if t.covers(u.Version, u.Platform) && (u.Machine || u.OrgID != h.Module.OrgID) {
			uses = append(uses, u)
		}
	}
	if len(uses) == 0 {
		return nil
	}
	last := slices.MaxFunc(uses, func(a, b Use) int { return a.At.Compare(b.At) })
	return fmt.Errorf("%w: it is in use: %s fetched it within %d days, last version %s for %s on %s: deprecate it instead with `modfarm module deprecate %s`, or try again when nobody has fetched it for %d days",
		module.ErrConflict, users(uses, h.Module.OrgID), days(usedWithin), last.Version, last.Platform, last.At.Format(time.DateOnly),
		t.spec(id), days(usedWithin))
}

// shownUsers bounds how many machines a message names.
const shownUsers = 3

// users names the organization's own machines; of other organizations only how
// many there are is anybody's business.
func users(uses []Use, orgID string) string {
	names, others := map[string]string{}, map[string]bool{}
	for _, u := range uses {
		if u.OrgID == orgID {
			names[u.KeyID] = cmp.Or(u.KeyName, "key "+u.KeyID)
		} else {
			others[u.OrgID] = true
		}
	}
	var who []string
	for _, name := range names {
		who = append(who, name)
	}
	slices.Sort(who)
	if more := len(who) - shownUsers; more > 0 {
		who = append(who[:shownUsers], fmt.Sprintf("%d more machines", more))
	}
	if len(others) > 0 {
		who = append(who, otherOrgs(len(others)))
	}
	return strings.Join(who, ", ")
}
