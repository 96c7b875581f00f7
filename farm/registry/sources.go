package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

const (
	// packageAge is how long a source package is kept after it was last uploaded or built.
	packageAge = 7 * 24 * time.Hour
	// maxSourceFile bounds meta.json and modfarm.yaml, in bytes.
	maxSourceFile = 1 << 20
)

// SourcePackage is source that somebody uploaded under a name, to have it built by
// that name. It is no release: nothing resolves to it and nobody downloads it but a
// worker that builds it.
type SourcePackage struct {
	// OrgID owns it, Name is that of the module, Version is free text.
	OrgID, Name, Version string
	// SHA256 is the digest of the archive.
	SHA256 string
	// CreatedAt is when it was first uploaded, UsedAt when it was last uploaded or
	// built: a week after that it is forgotten.
	CreatedAt, UsedAt time.Time
}

// SourceStore keeps source packages. Errors wrap module.ErrNotFound.
type SourceStore interface {
	// PutSourcePackage stores p unless its version is stored, which is then touched,
	// and returns the stored row.
	PutSourcePackage(ctx context.Context, p SourcePackage) (SourcePackage, error)
	// SourcePackage returns a package that was used since a time, and touches it.
	SourcePackage(ctx context.Context, orgID, name, version string, since, at time.Time) (SourcePackage, error)
	// ForgetSourcePackages removes the packages that were last used before a time.
	ForgetSourcePackages(ctx context.Context, before time.Time) error
	// DeleteSourcePackage removes a package.
	DeleteSourcePackage(ctx context.Context, orgID, name, version string) error
}

// ReceiveSource stores source that streams in and returns its digest. It is
// inspected as any archive is: what is no gzip tar, leads out of its folder or is
// over a limit is an *archive.Refused, and nothing of it stays.
func (r *Registry) ReceiveSource(ctx context.Context, body io.Reader) (sha256 string, err error) {
	report, err := r.Receive(ctx, body, archive.Expect{})
	if err != nil {
		return "", err
	}
	return report.SHA256, nil
}

// ReadSource reads files of source that was received: absent ones are absent from
// the map. Source that is not there any more wraps module.ErrNotFound.
func (r *Registry) ReadSource(ctx context.Context, sha256 string, paths []string) (map[string][]byte, error) {
	object, err := r.OpenSource(ctx, sha256)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return archive.ReadFiles(ctx, object.Content, paths, maxSourceFile, archive.Limits{})
}

// KeepSource keeps received source for another grace period: a collection that
// runs meanwhile leaves it. Source that is not there any more wraps
// module.ErrNotFound.
func (r *Registry) KeepSource(ctx context.Context, sha256 string) error {
	_, err := r.Store.RenewBlob(ctx, sha256, r.now())
	if errors.Is(err, module.ErrNotFound) {
		return sourceGone(sha256)
	}
	if err != nil {
		return fmt.Errorf("keep the uploaded source %s: %w", short(sha256), err)
	}
	return nil
}

func sourceGone(sha256 string) error {
	return fmt.Errorf("%w: the uploaded source %s is not kept any more, as its build ended too long ago; upload it again for a new build", module.ErrNotFound, short(sha256))
}

// OpenSource returns the bytes of source that was received.
func (r *Registry) OpenSource(ctx context.Context, sha256 string) (Object, error) {
	object, err := r.Open(ctx, sha256)
	if errors.Is(err, module.ErrNotFound) {
		return Object{}, sourceGone(sha256)
	}
	return object, err
}

// CheckSourcePackage returns everything wrong with the name and version of a source
// package, as module.Faults.
func CheckSourcePackage(p SourcePackage) error {
	var faults module.Faults
	if len(p.Name) > maxModuleName || !regexp.MustCompile(`^[\w-]+$`).MatchString(p.Name) {
		faults = append(faults, module.Fault{Path: "info.name", Value: p.Name, Problem: "not the name of a package", Advice: "use 1 to 200 letters, digits, - and _"})
	}
	if len(p.Version) > maxModuleName || !regexp.MustCompile(`^[\w.+-]+$`).MatchString(p.Version) {
		faults = append(faults, module.Fault{Path: "info.version", Value: p.Version, Problem: "not a version", Advice: "use 1 to 200 letters, digits, . + - and _"})
	}
	return faults.Err()
}

// AddSourcePackage gives received source a name. The same bytes again are fine;
// other bytes under a version that is kept wrap module.ErrConflict.
func (r *Registry) AddSourcePackage(ctx context.Context, p SourcePackage) (SourcePackage, error) {
	if err := CheckSourcePackage(p); err != nil {
		return SourcePackage{}, err
	}
	p.CreatedAt = r.now()
	p.UsedAt = p.CreatedAt
	stored, err := r.Store.PutSourcePackage(ctx, p)
	if err != nil {
		return SourcePackage{}, fmt.Errorf("keep package %s %s: %w", p.Name, p.Version, err)
	}
	if stored.SHA256 != p.SHA256 {
		return SourcePackage{}, fmt.Errorf("%w: package %s %s is uploaded with other bytes (sha256 %s, these are %s): choose another version, or delete that one",
			module.ErrConflict, p.Name, p.Version, short(stored.SHA256), short(p.SHA256))
	}
	return stored, nil
}

// SourcePackage finds a package to be built; it is kept for another week then.
func (r *Registry) SourcePackage(ctx context.Context, orgID, name, version string) (SourcePackage, error) {
	now := r.now()
	p, err := r.Store.SourcePackage(ctx, orgID, name, version, now.Add(-packageAge), now)
	if errors.Is(err, module.ErrNotFound) {
		return SourcePackage{}, fmt.Errorf("%w: no source of %s was uploaded as %q in the last week; upload it as a package of the type archive", module.ErrNotFound, name, version)
	}
	if err != nil {
		return SourcePackage{}, fmt.Errorf("find package %s %s: %w", name, version, err)
	}
	return p, nil
}

// DeleteSourcePackage forgets a package; builds of it that are under way go on.
func (r *Registry) DeleteSourcePackage(ctx context.Context, orgID, name, version string) error {
	err := r.Store.DeleteSourcePackage(ctx, orgID, name, version)
	if err != nil {
		return fmt.Errorf("delete package %s %s: %w", name, version, err)
	}
	return nil
}
