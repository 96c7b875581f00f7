package farm

import (
	"context"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Store is what the farm needs of its database. farm/store implements it.
type Store interface {
	Builds
	Queue
	Agenda
	Logs
	Drains
}

// Builds keeps builds with their jobs. Methods are safe for concurrent use; a missing row is module.ErrNotFound.
type Builds interface {
	// AddBuild adds rec unless match, called with the builds of the same module and version (newest first), names one
	// of them: then that one is returned and nothing added. Calls for one module and version follow each other. A build
	// without a version is always added, and match not called.
	AddBuild(ctx context.Context, rec *Record, match func([]*Record) (id string)) (got *Record, added bool, err error)
	// Record reads a build with all its jobs, sorted by platform.
	Record(ctx context.Context, buildID string) (*Record, error)
	// Records lists builds, newest first.
	Records(ctx context.Context, filter BuildFilter) ([]*Record, error)
	// Update reads a build and locks it, calls fn, and writes what fn changed when it returns nil. fn may be called
	// again after a deadlock.
	Update(ctx context.Context, buildID string, fn func(*Record) error) error
}

// Queue hands out jobs.
type Queue interface {
	// ClaimJob picks the best queued job for what is wanted, calls take on it and writes it, all in one transaction.
	// The organization with the fewest running jobs among the offered platforms comes first, of equals the one whose
	// last job started longest ago; of its jobs the lowest rank, then the oldest build, then the platform. Strategies
	// that failed before for a module are left out. No two calls get the same job, and claims follow each other.
	// Nothing to hand out is module.ErrNotFound. A job that was handed out under the wanted lease before is returned as it
	// is, without take.
	ClaimJob(ctx context.Context, want Want, take func(*JobRecord) error) (*JobRecord, error)
	// Line says for each organization that has jobs queued for a platform how many, and what its share is.
	Line(ctx context.Context, p module.Platform) ([]Share, error)
	// Ahead counts the jobs of the same organization and platform that are before a queued job, and names the builds
	// of the first of them, at most limit.
	Ahead(ctx context.Context, j *JobRecord, limit int) (builds []string, total int, err error)
	// BuildOf names the build of a job.
	BuildOf(ctx context.Context, jobID string) (buildID string, err error)
	// FailedStrategies lists what is remembered for a module.
	FailedStrategies(ctx context.Context, id module.ID) ([]FailedStrategy, error)
}

// Agenda finds what is due.
type Agenda interface {
	// Overdue lists jobs in a state whose time came before the given one: for Resolving the time not to resolve before,
	// for Queued when it was last rung for, for Running and Publishing the end of the lease. The longest overdue first.
	Overdue(ctx context.Context, state JobState, before time.Time, limit int) ([]JobRef, error)
	// MarkRung remembers that workers were rung for these queued jobs.
	MarkRung(ctx context.Context, jobIDs []string, at time.Time) error
}

// Logs reads logs; they are written through Builds.Update.
type Logs interface {
	// LogEnd says how long a job's log is, in bytes, and where the job stands.
	LogEnd(ctx context.Context, jobID string) (size int64, state JobState, err error)
	// ReadLog returns the log from offset on, about maxBytes of it and at least one chunk when there is one. The first
	// chunk begins exactly at offset.
	ReadLog(ctx context.Context, jobID string, offset int64, maxBytes int) ([]LogChunk, error)
}

// Offer is one thing a worker can do. Lower ranks are better.
type Offer struct {
	Platform module.Platform
	Strategy module.Strategy
	Rank     int
	// HeldAfter keeps the offer from jobs that were queued after it and do not ask for this strategy: somebody better
	// may take them. The zero time keeps nothing back.
	HeldAfter time.Time
	// AvoidAfter keeps the offer from jobs that Want.Worker failed last and that are to avoid it until after then. The
	// zero time keeps nothing back.
	AvoidAfter time.Time
}

// Want is what a worker asks for.
type Want struct {
	// Worker is its name.
	Worker string
	// Offers are what it can do.
	Offers []Offer
	// Memory is the most that a job may take, in bytes; zero for any. A job that does not say takes DefaultMemory.
	Memory, DefaultMemory int64
	// Overdue is the moment before which jobs were queued whose rank does not count any more: a better strategy for
	// others is no reason to let them wait on.
	Overdue time.Time
	// LeaseHashes are of the lease that the job is to have, as JobRecord.LeaseHash may keep it; empty for a new one.
	LeaseHashes []string
}

// Share is what an organization has of a platform's workers, and wants of them.
type Share struct {
	OrgID string
	// Queued and Running count its jobs for the platform.
	Queued, Running int
	// Served is when its last job started; zero for none.
	Served time.Time
}

// FailedStrategy remembers that a strategy cannot build a module for a platform.
type FailedStrategy struct {
	Platform module.Platform
	Strategy module.Strategy
	At       time.Time
}

// JobRef names a job with what is needed to ring for it.
type JobRef struct {
	JobID, BuildID string
	Platform       module.Platform
}

// Bell wakes workers and readers of logs. It may lose messages: rows are the truth, and the farm rings again.
type Bell interface {
	// Ring says that a job for the platform may be claimed.
	Ring(ctx context.Context, p module.Platform, jobID string) error
	// Cancel tells the worker of a job that it should stop.
	Cancel(ctx context.Context, jobID string) error
	// NotifyLog says that a job's log grew or that the job ended.
	NotifyLog(ctx context.Context, jobID string) error
	// WatchLog yields after each NotifyLog for the job until ctx ends; several may be told as one.
	WatchLog(ctx context.Context, jobID string) (<-chan struct{}, error)
}

// Source reads repositories. Its errors wrap a sentinel of module: ErrNotFound, ErrForbidden and ErrUnauthorized are
// final, ErrInvalid is against a rule, all else is tried again.
type Source interface {
	// Resolve turns a tag, branch or commit into a full commit.
	Resolve(ctx context.Context, repo, ref, token string) (commit string, err error)
	// ReadFiles reads files of a commit; absent ones are absent from the map.
	ReadFiles(ctx context.Context, repo, commit, token string, paths []string) (map[string][]byte, error)
}

// Publisher keeps releases. farm/registry implements it.
type Publisher interface {
	// Publish adds all releases or none. The same digest again is a success; another digest or commit is
	// module.ErrConflict.
	Publish(ctx context.Context, releases []module.Release) error
	// Find returns a release without tags; none is module.ErrNotFound.
	Find(ctx context.Context, id module.ID, v module.Version, p module.Platform) (module.Release, error)
}

// Sealer encrypts secrets at rest.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Modules tells which modules exist.
type Modules interface {
	// Lookup returns the canonical spelling of a module's ID (with its public namespace where there is one) and the
	// organization that owns it. A module that does not exist is module.ErrNotFound.
	Lookup(ctx context.Context, id module.ID) (canonical module.ID, orgID string, err error)
}
