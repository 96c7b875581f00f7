// Package registry owns what is published: modules and their metadata, releases
// that never change, and the bytes behind them. It decides who may see a module
// and whether a release may be published, inspects archives while they stream
// in, and keeps them in a blob backend. It never builds, never authenticates
// anybody, and holds no SQL: rows live behind Store.
package registry

import (
	"context"
	"log/slog"
	"time"

	"github.com/modfarm/modfarm/module"
)

// ModuleStore keeps modules. Errors wrap module.ErrNotFound and
// module.ErrConflict.
type ModuleStore interface {
	// CreateModule stores m (Namespace is ignored) and returns the row. A name
	// that the organization has already, in any case, is a conflict; an unknown
	// organization is not found.
	CreateModule(ctx context.Context, m Module) (Module, error)
	// Module finds a module by namespace or by organization id.
	Module(ctx context.Context, id module.ID) (Module, error)
	// UpdateModule runs change on the row and stores the outcome, all in one
	// transaction. The error of change comes back unwrapped.
	UpdateModule(ctx context.Context, key string, change func(*Module) error) (Module, error)
	// Modules lists an organization's modules by name.
	Modules(ctx context.Context, orgID string) ([]Module, error)
}

// ReleaseStore keeps releases and the metadata frozen into each version.
type ReleaseStore interface {
	// Publish runs plan on what is stored for one version of a module and
	// stores its outcome, all in one transaction that excludes every other
	// Publish of the same module. digests are those whose blobs plan needs.
	// The error of plan comes back unwrapped and leaves nothing behind.
	Publish(ctx context.Context, key string, v module.Version, digests []string, plan func(History) (Change, error)) error
	// Releases returns the releases of one version, or of all with the zero
	// version, in no special order.
	Releases(ctx context.Context, key string, v module.Version) ([]module.Release, error)
	// Frozen returns the metadata frozen into each version of a module.
	Frozen(ctx context.Context, key string) (map[module.Version]Metadata, error)
}

// BlobStore keeps the rows that map a digest to the bytes' key in the backend.
type BlobStore interface {
	// PutBlob stores b when its digest is new and returns it. For a known
	// digest it notes that the bytes were received again, at b.ReceivedAt, and
	// returns the stored row. A row that is marked for collection is given b's
	// key and loses its mark: the bytes it had are as good as deleted.
	PutBlob(ctx context.Context, b Blob) (Blob, error)
	// RenewBlob notes that a digest was received again and returns its row. One
	// that is not stored, or marked for collection, is not found.
	RenewBlob(ctx context.Context, sha256 string, at time.Time) (Blob, error)
	// Blob returns the row of a digest, or an error that wraps module.ErrNotFound.
	Blob(ctx context.Context, sha256 string) (Blob, error)
	// RekeyBlob points a digest from the key from to the key to and reports
	// whether the row still had the key from.
	RekeyBlob(ctx context.Context, sha256, from, to string) (bool, error)
}

// Store is everything that a Registry needs of a database.
type Store interface {
	ModuleStore
	ReleaseStore
	BlobStore
}

// Registry publishes and finds releases. Store and Blobs must be set.
type Registry struct {
	// Store keeps the rows.
	Store Store
	// Blobs keeps the bytes.
	Blobs Blobs
	// Log receives what no caller can be told; nil discards it.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Viewer is on whose behalf something is looked up. The zero value sees what
// everybody sees: public modules.
type Viewer struct {
	orgID string
	all   bool
}

// ForOrg is a caller of an organization: it also sees that one's private modules.
func ForOrg(orgID string) Viewer { return Viewer{orgID: orgID} }

// ForFarm is the farm itself, which sees everything. Never use it to answer a
// request of somebody.
func ForFarm() Viewer { return Viewer{all: true} }

func (v Viewer) sees(m Module) bool {
	return v.all || m.Visibility != module.VisibilityPrivate || (v.orgID != "" && v.orgID == m.OrgID)
}

func (r *Registry) now() time.Time {
	if r.Now != nil {
		return r.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}

func (r *Registry) log() *slog.Logger {
	if r.Log != nil {
		return r.Log
	}
	return slog.New(slog.DiscardHandler)
}
