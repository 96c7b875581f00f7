package registry

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// History is what is stored about one version of a module when somebody
// publishes to it.
type History struct {
	// Module is the module's row.
	Module Module
	// Releases are those of the version.
	Releases []module.Release
	// Versions are all published versions of the module.
	Versions []module.Version
	// Frozen is the metadata of the version; nil before its first release.
	Frozen *Metadata
	// Deleted is when and by whom the version as a whole was deleted; nil when it
	// was not.
	Deleted *Deleted
	// DeletedSlots are the uploads of the version that were deleted.
	DeletedSlots []DeletedSlot
	// Blobs are the rows of the digests that were asked for, held until the
	// transaction ends so that no collector takes them.
	Blobs map[string]Blob
}

// Deleted says that something was published once and is gone.
type Deleted struct {
	// At is when, in UTC; By is who.
	At time.Time
	By string
}

// DeletedSlot is the place of an upload that was deleted.
type DeletedSlot struct {
	Platform module.Platform
	Tags     []string
	Deleted
}

// Change is what publishing stores.
type Change struct {
	// Releases are the new ones.
	Releases []module.Release
	// Freeze is the metadata to freeze into the version; nil leaves it.
	Freeze *Metadata
	// Current is the module's new metadata; nil leaves it.
	Current *Metadata
	// At is when this happened.
	At time.Time
}

// Publish makes releases of one version of a module public, all or none. Their
// bytes must have come through Receive before. A release that is published
// already with the same digest is fine and changes nothing; another digest, or
// another commit for the same version, wraps module.ErrConflict and says what to
// do. The first release freezes the version's metadata: that of its manifest, or
// else the module's current one. It checks no rights: the caller does.
func (r *Registry) Publish(ctx context.Context, releases []module.Release) error {
	if len(releases) == 0 {
		return nil
	}
	if err := checkReleases(releases); err != nil {
		return err
	}
	id, version := releases[0].ID, releases[0].Version
	m, err := r.Module(ctx, ForFarm(), id)
	if err != nil {
		return err
	}
	digests := make([]string, 0, len(releases))
	for _, rel := range releases {
		digests = append(digests, rel.SHA256)
	}
	err = r.Store.Publish(ctx, m.Key, version, digests, func(h History) (Change, error) {
		return planPublish(h, releases, r.now())
	})
	if err != nil {
		return fmt.Errorf("publish %s %s: %w", id, version, err)
	}
	return nil
}

// checkReleases returns what is wrong with the releases by themselves.
func checkReleases(releases []module.Release) error {
	var faults module.Faults
	seen := map[string]bool{}
	for i, rel := range releases {
		at := fmt.Sprintf("releases[%d]", i)
		if rel.ID != releases[0].ID || rel.Version != releases[0].Version {
			faults = append(faults, module.Fault{Path: at, Value: rel.ID.String() + " " + rel.Version.String(), Problem: "another module or version than the first", Advice: "publish them one version at a time"})
		}
		if rel.Version.IsZero() {
			faults = append(faults, module.Fault{Path: at + ".version", Problem: "empty", Advice: "name a version; a build without one publishes nothing"})
		}
		if rel.Platform.IsZero() {
			faults = append(faults, module.Fault{Path: at + ".platform", Problem: "empty", Advice: "name a platform"})
		}
		if len(rel.SHA256) != 64 {
			faults = append(faults, module.Fault{Path: at + ".sha256", Value: rel.SHA256, Problem: "not a digest", Advice: "upload the archive first"})
		}
		faults = append(faults, CheckTags(at+".tags", rel.Tags)...)
		if slot := slotOf(rel); seen[slot] {
			faults = append(faults, module.Fault{Path: at, Value: slot, Problem: "named twice", Advice: "publish one archive for a platform and its tags"})
		} else {
			seen[slot] = true
		}
	}
	return faults.Err()
}

// maxTag bounds a platform tag, in bytes.
const maxTag = 200

// tagRule is a key, a colon and a value. Machines report theirs in ASCII, so that
// a letter that only looks like one of it would never match.
var tagRule = regexp.MustCompile(`^[!-9;-~]+:[!-~]+$`)

// CheckTags returns what is wrong with platform tags; at is where they stand.
func CheckTags(at string, tags []string) module.Faults {
	var faults module.Faults
	for i, tag := range tags {
		if len(tag) > maxTag || !tagRule.MatchString(tag) {
			faults = append(faults, module.Fault{
				Path: fmt.Sprintf("%s[%d]", at, i), Value: tag, Problem: "not a platform tag",
				Advice: fmt.Sprintf("write key:value, such as distro:debian, in ASCII without spaces, at most %d bytes", maxTag),
			})
		}
	}
	return faults
}

// slotOf names what only one archive of a version can have.
func slotOf(rel module.Release) string {
	return strings.Join(append([]string{rel.Platform.String()}, SortedTags(rel.Tags)...), " ")
}

// SortedTags returns tags sorted and without repeats, as they are stored.
func SortedTags(tags []string) []string {
	sorted := slices.Clone(tags)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// planPublish decides what publishing stores. It is pure: the store calls it
// within the transaction.
func planPublish(h History, releases []module.Release, now time.Time) (Change, error) {
	change := Change{At: now}
	for _, rel := range releases {
		if err := checkNotDeleted(rel, h); err != nil {
			return Change{}, err
		}
		if err := checkCommit(rel, append(slices.Clone(h.Releases), change.Releases...)); err != nil {
			return Change{}, err
		}
		published, err := alreadyPublished(rel, h.Releases)
		if err != nil {
			return Change{}, err
		}
		if published {
			continue
		}
		complete, err := completed(rel, h.Blobs, now)
		if err != nil {
			return Change{}, err
		}
		change.Releases = append(change.Releases, complete)
	}
	if len(change.Releases) > 0 {
		planMetadata(&change, h)
	}
	return change, nil
}

// checkNotDeleted holds that what was deleted is never published again, not even
// with the same bytes: somebody took it back.
func checkNotDeleted(rel module.Release, h History) error {
	if d := h.Deleted; d != nil {
		return fmt.Errorf("%w: version %s was deleted on %s by %s: the number of a deleted version is never used again; choose a new version",
			module.ErrConflict, rel.Version, d.At.Format(time.DateOnly), d.By)
	}
	for _, gone := range h.DeletedSlots {
		if slot := slotOf(rel); slot == slotOf(module.Release{Platform: gone.Platform, Tags: gone.Tags}) {
			return fmt.Errorf("%w: the upload of version %s for %s was deleted on %s by %s and never comes back under that number: choose a new version",
				module.ErrConflict, rel.Version, slot, gone.At.Format(time.DateOnly), gone.By)
		}
	}
	return nil
}

// checkCommit holds one version to one commit. Uploads have none and go with any.
func checkCommit(rel module.Release, others []module.Release) error {
	for _, other := range others {
		if rel.Commit == "" || other.Commit == "" || rel.Commit == other.Commit {
			continue
		}
		return fmt.Errorf("%w: version %s is built from commit %s (%s) and this is commit %s: a version never changes; tag the new commit with a new version",
			module.ErrConflict, rel.Version, short(other.Commit), other.Platform, short(rel.Commit))
	}
	return nil
}

func alreadyPublished(rel module.Release, published []module.Release) (bool, error) {
	for _, other := range published {
		if slotOf(rel) != slotOf(other) {
			continue
		}
		if rel.SHA256 == other.SHA256 {
			return true, nil
		}
		return false, fmt.Errorf("%w: version %s is published for %s with other bytes (sha256 %s, these are %s): a version never changes; choose a new version",
			module.ErrConflict, rel.Version, slotOf(rel), short(other.SHA256), short(rel.SHA256))
	}
	return false, nil
}

func short(hex string) string { return hex[:min(12, len(hex))] }

// completed fills a release in with what the registry itself measured, which
// alone is believed.
func completed(rel module.Release, blobs map[string]Blob, now time.Time) (module.Release, error) {
	blob, ok := blobs[rel.SHA256]
	if !ok {
		return module.Release{}, fmt.Errorf("%w: the bytes of the %s archive (sha256 %s) are not stored: upload it again, then publish", module.ErrNotFound, rel.Platform, short(rel.SHA256))
	}
	rel.Size, rel.CRC32C, rel.TarSHA256 = blob.Size, blob.CRC32C, blob.TarSHA256
	rel.Tags = SortedTags(rel.Tags)
	rel.PublishedAt = now
	return rel, nil
}

// planMetadata freezes metadata into a new version, and lets the module's current
// metadata follow the manifest of its newest version. The visibility never
// follows: showing a module to the world is a decision, not a build.
func planMetadata(change *Change, h History) {
	version := change.Releases[0].Version
	fromBuild, ok := metadataOf(change.Releases[0].Manifest)
	if ok {
		fromBuild.Markdown, fromBuild.Traits = h.Module.Metadata.Markdown, h.Module.Metadata.Traits
	}
	if h.Frozen == nil {
		freeze := h.Module.Metadata
		if ok {
			freeze = fromBuild
		}
		change.Freeze = &freeze
	}
	newest := !slices.ContainsFunc(h.Versions, func(v module.Version) bool { return v.Compare(version) > 0 })
	if ok && newest && h.Frozen == nil {
		next := h.Module
		next.Metadata = fromBuild
		if len(checkModule(next)) == 0 {
			change.Current = &fromBuild
		}
	}
}

// Find returns the release of a version for exactly this platform, without tags,
// on behalf of the farm. One that does not exist wraps module.ErrNotFound.
func (r *Registry) Find(ctx context.Context, id module.ID, v module.Version, p module.Platform) (module.Release, error) {
	m, err := r.Module(ctx, ForFarm(), id)
	if err != nil {
		return module.Release{}, err
	}
	releases, err := r.Store.Releases(ctx, m.Key, v)
	if err != nil {
		return module.Release{}, fmt.Errorf("find %s %s for %s: %w", id, v, p, err)
	}
	for _, rel := range releases {
		if rel.Platform == p && len(rel.Tags) == 0 {
			return rel, nil
		}
	}
	return module.Release{}, fmt.Errorf("%w: %s %s is not published for %s", module.ErrNotFound, id, v, p)
}
