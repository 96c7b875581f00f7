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
	"github.com/modfarm/modfarm/module/archive"
)

// ModuleStore keeps modules. Errors wrap module.ErrNotFound and
// module.ErrConflict.
type ModuleStore interface {
	// CreateModule stores m (Namespace is ignored) and returns the row. A name
	// that the organization has already, in any case, is a conflict; an unknown
	// organization is not found. The row of a deleted module of that name is
	// used again, with its key, so that what was deleted with it stays deleted.
	CreateModule(ctx context.Context, m Module) (Module, error)
	// Module finds a module by namespace or by organization id. A deleted one is
	// not found.
	Module(ctx context.Context, id module.ID) (Module, error)
	// UpdateModule runs change on the row and stores the outcome and the events,
	// all in one transaction. The error of change comes back unwrapped.
	UpdateModule(ctx context.Context, key string, change func(*Module) ([]Event, error)) (Module, error)
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
	// OrgReleases returns at most limit releases of an organization's modules, or
	// of its module with a name when that is not empty, in no special order.
	OrgReleases(ctx context.Context, orgID, name string, limit int) ([]module.Release, error)
	// VersionRows returns what is stored about each version of a module that has
	// not been deleted.
	VersionRows(ctx context.Context, key string) (map[module.Version]VersionRow, error)
	// Deprecate stores that a version is deprecated, or with the zero
	// Deprecation that it is not, and the event. A version that was not
	// published, or was deleted, is not found.
	Deprecate(ctx context.Context, key string, v module.Version, d Deprecation, e Event) error
}

// RemovalStore removes what was published.
type RemovalStore interface {
	// Remove runs plan on all that a module holds and stores its outcome, all in
	// one transaction that excludes every Publish of the module. The error of
	// plan comes back unwrapped and leaves nothing changed.
	Remove(ctx context.Context, key string, usedSince time.Time, plan func(Holdings) (Removal, error)) error
}

// UseStore remembers who fetches what.
type UseStore interface {
	// PutUse stores that an upload was fetched, in place of what is stored for
	// the same key and upload.
	PutUse(ctx context.Context, key string, u Use) error
	// Usage counts who fetched something of each module since a time. Modules
	// that nobody fetched from may be missing.
	Usage(ctx context.Context, keys []string, since time.Time) (map[string]Usage, error)
}

// EventStore tells what was done to a module.
type EventStore interface {
	// Events returns the newest events of a module, the newest first.
	Events(ctx context.Context, key string, limit int) ([]Event, error)
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
	RemovalStore
	UseStore
	EventStore
	SearchStore
	ResolveStore
	BlobStore
	UploadStore
	SourceStore
	CollectStore
}

// Registry publishes and finds releases. Store and Blobs must be set.
type Registry struct {
	// Store keeps the rows.
	Store Store
	// Blobs keeps the bytes.
	Blobs Blobs
	// Limits bound archives; zero fields mean those of the wire.
	Limits archive.Limits
	// Grace is how long bytes are kept that no release names, and UploadGrace how
	// long an upload that nobody goes on with; zero is a day. EveryCollection is how
	// often Run looks for them; zero is an hour.
	Grace, UploadGrace, EveryCollection time.Duration
	// Log receives what no caller can be told; nil discards it.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	noted    notes // of uses
	sessions sessions
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
