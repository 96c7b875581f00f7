package workers

import (
	"context"
	"io"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
)

// Jobs gives out work. Claim returns nil without an error when there is none for this worker.
type Jobs interface {
	Claim(ctx context.Context, w client.Worker) (*client.Assignment, error)
	// Resume gives a job again whose lease a worker of this name still holds. The error wraps client.ErrLeaseLost when
	// it does not.
	Resume(ctx context.Context, w client.Worker, l client.LeaseRef) (*client.Assignment, error)
}

// Leases are what a worker does under a lease. Each error that wraps client.ErrLeaseLost means: stop, another
// worker has the job. Calls that were not answered may be repeated.
type Leases interface {
	Extend(ctx context.Context, l client.LeaseRef, p client.Progress) (client.Directive, error)
	AppendLog(ctx context.Context, l client.LeaseRef, chunk client.LogChunk) (next int64, err error)
	GetSource(ctx context.Context, l client.LeaseRef, sha256 string, w io.Writer) error
	PutArchive(ctx context.Context, l client.LeaseRef, s module.Strategy, file io.ReadSeeker,
		progress func(sent, total int64)) (client.Archive, error)
	Finish(ctx context.Context, l client.LeaseRef, o client.Outcome) (client.Job, error)
}

// Farm is the farm as a worker sees it; *client.Client is one.
type Farm interface {
	Jobs
	Leases
}

var _ Farm = (*client.Client)(nil)

// Bell wakes the pool; *redis.Redis of package farm/redis is one. Both methods return when ctx ends. Everything
// that a bell tells is looked up at the farm before it is believed.
type Bell interface {
	// Listen calls wake when there may be a job for one of the platforms. wake blocks while no slot is free.
	Listen(ctx context.Context, worker string, platforms []module.Platform, wake func()) error
	// Cancels calls fn with jobs that somebody wants to stop.
	Cancels(ctx context.Context, fn func(jobID string)) error
}

// Fetcher puts a commit into a folder; *source.Git is one.
type Fetcher interface {
	Fetch(ctx context.Context, repo source.Repository, commit, dir string) error
	CommitTime(ctx context.Context, dir string) (time.Time, error)
}
