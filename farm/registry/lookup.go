package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Version is one version of a module with all its files.
type Version struct {
	// Version is never zero.
	Version module.Version
	// Metadata is what was frozen into the version; it has the entrypoint.
	Metadata Metadata
	// Commit is the git commit of its builds; empty when all were uploaded.
	Commit string
	// Deprecated tells since when and why nobody should choose the version.
	Deprecated Deprecation
	// Files are the archives by platform, then tags.
	Files []File
}

// VersionRow is what is stored about a version beside its files.
type VersionRow struct {
	// Metadata is what was frozen into the version.
	Metadata Metadata
	// Deprecated tells since when and why nobody should choose it.
	Deprecated Deprecation
}

// File is one archive of a version.
type File struct {
	Platform   module.Platform
	Tags       []string
	UploadedAt time.Time
}

// Releases returns every release of a module on behalf of the farm, ascending by
// version, then by platform and tags.
func (r *Registry) Releases(ctx context.Context, id module.ID) ([]module.Release, error) {
	m, err := r.Module(ctx, ForFarm(), id)
	if err != nil {
		return nil, err
	}
	return r.releases(ctx, m)
}

// ReleasesOf is Releases for a viewer, of one version or of all with the zero
// version. A version that does not exist wraps module.ErrNotFound.
func (r *Registry) ReleasesOf(ctx context.Context, viewer Viewer, id module.ID, v module.Version) ([]module.Release, error) {
	m, err := r.Module(ctx, viewer, id)
	if err != nil {
		return nil, err
	}
	releases, err := r.Store.Releases(ctx, m.Key, v)
	if err != nil {
		return nil, fmt.Errorf("list releases of %q: %w", id, err)
	}
	if len(releases) == 0 && !v.IsZero() {
		return nil, r.noSuchVersion(ctx, m, v)
	}
	return sorted(releases), nil
}

// maxPackages bounds what one list of packages holds.
const maxPackages = 10_000

// Packages returns the releases of an organization, or of its one module with a
// name, ascending. A list of more than 10,000 wraps module.ErrInvalid.
func (r *Registry) Packages(ctx context.Context, orgID, name string) ([]module.Release, error) {
	releases, err := r.Store.OrgReleases(ctx, orgID, name, maxPackages+1)
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	if len(releases) > maxPackages {
		return nil, module.Fault{Path: "name", Value: name, Problem: fmt.Sprintf("more than %d packages", maxPackages), Advice: "name one module, or list its releases"}
	}
	slices.SortFunc(releases, func(a, b module.Release) int {
		return cmp.Or(cmp.Compare(a.ID.Name, b.ID.Name), a.Version.Compare(b.Version), cmp.Compare(slotOf(a), slotOf(b)))
	})
	return releases, nil
}

func (r *Registry) releases(ctx context.Context, m Module) ([]module.Release, error) {
	releases, err := r.Store.Releases(ctx, m.Key, module.Version{})
	if err != nil {
		return nil, fmt.Errorf("list releases of %q: %w", m.ID(), err)
	}
	return sorted(releases), nil
}

// sorted orders releases in place: ascending by version, then by platform and tags.
func sorted(releases []module.Release) []module.Release {
	slices.SortFunc(releases, func(a, b module.Release) int {
		return cmp.Or(a.Version.Compare(b.Version), cmp.Compare(slotOf(a), slotOf(b)))
	})
	return releases
}

// Versions returns the versions of a module in ascending SemVer order, one entry
// a version: clients take the last for the newest. A module that the viewer may
// not see is not found.
func (r *Registry) Versions(ctx context.Context, viewer Viewer, id module.ID) ([]Version, error) {
	m, err := r.Module(ctx, viewer, id)
	if err != nil {
		return nil, err
	}
	releases, err := r.releases(ctx, m)
	if err != nil {
		return nil, err
	}
	rows, err := r.Store.VersionRows(ctx, m.Key)
	if err != nil {
		return nil, fmt.Errorf("list versions of %q: %w", id, err)
	}
	var versions []Version
	for _, rel := range releases {
		if n := len(versions); n == 0 || versions[n-1].Version != rel.Version {
			row := rows[rel.Version]
			versions = append(versions, Version{Version: rel.Version, Metadata: row.Metadata, Deprecated: row.Deprecated})
		}
		last := &versions[len(versions)-1]
		last.Commit = cmp.Or(last.Commit, rel.Commit)
		last.Files = append(last.Files, File{Platform: rel.Platform, Tags: rel.Tags, UploadedAt: rel.PublishedAt})
	}
	return versions, nil
}

// Query is a package lookup as clients send it.
type Query struct {
	// Package is "<namespace>/<name>" or "<organization id>/<name>".
	Package string
	// Version is "<semver>-<platform with dashes>", with "-t<8 hex digits>" behind
	// it for a tagged upload; "latest" and ranges may stand for the SemVer.
	Version string
	// Platform is used when Version names none; zero is none.
	Platform module.Platform
}

// Lookup finds the release that a package id and version name. What the viewer may
// not see, and what does not exist, wraps module.ErrNotFound and says what there is.
func (r *Registry) Lookup(ctx context.Context, viewer Viewer, q Query) (module.Release, error) {
	id, err := module.ParsePackageID(q.Package)
	if err != nil {
		return module.Release{}, err
	}
	m, err := r.Module(ctx, viewer, id)
	if err != nil {
		return module.Release{}, err
	}
	text, platform, tag := splitVersion(q.Version)
	if platform.IsZero() {
		platform = q.Platform
	}
	// Machines ask for one version again and again: that reads its rows alone.
	if version, err := module.ParseVersion(text); err == nil {
		releases, err := r.Store.Releases(ctx, m.Key, version)
		if err != nil {
			return module.Release{}, fmt.Errorf("look up %s %s: %w", id, version, err)
		}
		if len(releases) > 0 {
			return choose(id, sorted(releases), platform, tag)
		}
	}
	releases, err := r.releases(ctx, m)
	if err != nil {
		return module.Release{}, err
	}
	selector, err := module.ParseSelector(text)
	if err != nil || !selector.Exact().IsZero() || len(releases) == 0 {
		return module.Release{}, noVersion(id, q.Version, releases)
	}
	return r.lookupSelected(ctx, m, releases, selector, platform, tag)
}

// lookupSelected finds what "latest" and ranges mean. With a platform they mean what
// a machine of that platform and with the tags of tag gets; without one, the newest
// version that they take, if it has one archive.
func (r *Registry) lookupSelected(ctx context.Context, m Module, releases []module.Release, s module.Selector, p module.Platform, tag string) (module.Release, error) {
	uploads, err := r.Store.Uploads(ctx, m.Key)
	if err != nil {
		return module.Release{}, fmt.Errorf("look up %s: %w", m.ID(), err)
	}
	machine := module.Machine{Platform: p}
	for _, u := range uploads {
		if tag != "" && tagSuffix(u.Tags) == tag {
			machine.Tags = u.Tags
		}
	}
	if p.IsZero() {
		version := newest(uploads, s)
		releases = slices.DeleteFunc(releases, func(rel module.Release) bool { return rel.Version != version })
		if len(releases) > 0 {
			return choose(m.ID(), releases, p, tag)
		}
	}
	found := module.Resolve(uploads, s, machine)
	taken, ok := found.Taken()
	if !ok {
		return module.Release{}, found.Err(m.ID())
	}
	rel, err := r.Store.Release(ctx, m.Key, taken)
	if err != nil {
		return module.Release{}, fmt.Errorf("look up %s of %s: %w", taken, m.ID(), err)
	}
	return rel, nil
}

// newest is the newest version that the selector takes and that is not deprecated.
func newest(uploads []module.Upload, s module.Selector) module.Version {
	var best module.Version
	for _, u := range uploads {
		if !u.Deprecated && s.Matches(u.Version) && u.Version.Compare(best) > 0 {
			best = u.Version
		}
	}
	return best
}

// choose picks one archive out of those of a version.
func choose(id module.ID, releases []module.Release, p module.Platform, tag string) (module.Release, error) {
	var untagged, tagged []string
	for _, rel := range releases {
		if len(rel.Tags) == 0 {
			untagged = append(untagged, rel.Platform.String())
		}
		switch {
		case p.IsZero() && len(releases) == 1 && tag == "":
			return rel, nil
		case rel.Platform != p:
			continue
		case tagSuffix(rel.Tags) == tag:
			return rel, nil
		case len(rel.Tags) > 0:
			tagged = append(tagged, fmt.Sprintf("%s (%s)", PackageVersion(rel), strings.Join(rel.Tags, ", ")))
		}
	}
	version := releases[0].Version
	switch {
	case p.IsZero():
		return module.Release{}, fmt.Errorf("%w: %s %s has several archives: ask for one as %s-<platform>, with %s",
			module.ErrNotFound, id, version, version, list(untagged))
	case len(tagged) > 0:
		return module.Release{}, fmt.Errorf("%w: %s %s for %s has only uploads with tags: ask for %s",
			module.ErrNotFound, id, version, p, strings.Join(tagged, " or "))
	}
	return module.Release{}, fmt.Errorf("%w: %s %s is not published for %s: it has %s",
		module.ErrNotFound, id, version, p, list(untagged))
}

func list(platforms []string) string {
	if len(platforms) == 0 {
		return "only uploads with tags"
	}
	return strings.Join(platforms, ", ")
}

// shownVersions bounds how many versions a message lists.
const shownVersions = 5

// noVersion lists what there is, newest first, in words that fit every client.
func noVersion(id module.ID, asked string, releases []module.Release) error {
	if len(releases) == 0 {
		return fmt.Errorf("%w: module %q has no published version yet: publish one with `modfarm module build start --version …`", module.ErrNotFound, id)
	}
	platforms := map[module.Version][]string{}
	for _, rel := range releases {
		if names := platforms[rel.Version]; !slices.Contains(names, rel.Platform.String()) {
			platforms[rel.Version] = append(names, rel.Platform.String())
		}
	}
	versions := slices.SortedFunc(maps.Keys(platforms), func(a, b module.Version) int { return b.Compare(a) })
	var there []string
	for _, v := range versions[:min(len(versions), shownVersions)] {
		there = append(there, fmt.Sprintf("%s (%s)", v, strings.Join(platforms[v], ", ")))
	}
	text := strings.Join(there, ", ")
	if more := len(versions) - len(there); more > 0 {
		text += fmt.Sprintf(" and %d older", more)
	}
	version, _, _ := splitVersion(asked)
	if version == "" {
		return fmt.Errorf("%w: the request names no version of module %q; it has %s", module.ErrNotFound, id, text)
	}
	return fmt.Errorf("%w: module %q has no version %q; it has %s", module.ErrNotFound, id, version, text)
}

// PackageVersion is how clients ask for a release: "1.2.3-linux-arm64", and for
// tagged uploads "1.2.3-linux-arm64-t0123abcd".
func PackageVersion(rel module.Release) string {
	return rel.Version.String() + "-" + rel.Platform.Dashed() + tagSuffix(rel.Tags)
}

// tagSuffix is empty without tags, and else "-t" with the first eight hex digits
// of the SHA-256 over the sorted tags, joined by newlines.
func tagSuffix(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(SortedTags(tags), "\n")))
	return "-t" + hex.EncodeToString(sum[:])[:8]
}

// splitVersion takes a package version apart; a missing platform is zero.
func splitVersion(s string) (version string, p module.Platform, tag string) {
	if version, p, ok := module.SplitPackageVersion(s); ok {
		return version, p, ""
	}
	if found := regexp.MustCompile(`-t[0-9a-f]{8}$`).FindString(s); found != "" {
		if version, p, ok := module.SplitPackageVersion(strings.TrimSuffix(s, found)); ok {
			return version, p, found
		}
	}
	return s, module.Platform{}, ""
}
