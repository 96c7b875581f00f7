// Package farm owns builds and jobs: which steps a job may take, who gets which job and for how long, what happens
// when a worker is lost, and when an archive is published. It keeps the rules and asks for everything else: rows of
// a Store, wake-ups of a Bell, commits of a Source, releases of a Publisher. It never does I/O of its own, and it
// never trusts a worker with more than bytes under a lease.
package farm

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	// LeaseTTL is how long a claim is good for without being extended; workers extend after a third of it.
	LeaseTTL = 15 * time.Second
	// MaxAttempts is how many workers may take up a job; a failing script is a result and no attempt is repeated for it.
	MaxAttempts = 3
	// MaxChunk is the largest piece of log that AppendLog takes, in bytes.
	MaxChunk = 1 << 20
	// MaxLog is the largest log of one job, in bytes.
	MaxLog = 512 << 20

	sweepEvery = 2 * time.Second
	ringAgain  = 10 * time.Second
	resolveFor = 10 * time.Minute
)

// Farm is the control plane. Fill the exported fields, then Run it; all methods are safe for concurrent use and work
// whether or not Run does, except that builds are resolved and lost workers noticed only while one process Runs.
type Farm struct {
	// Store keeps the rows; required.
	Store Store
	// Modules tells which modules exist; required.
	Modules Modules
	// Source reads repositories; required.
	Source Source
	// Uploads reads uploaded source; nil builds from repositories only.
	Uploads Uploads
	// Publisher keeps releases; required.
	Publisher Publisher
	// Sealer encrypts checkout tokens at rest; required.
	Sealer Sealer
	// Tokens mints checkout tokens for builds that bring none; nil mints none.
	Tokens Tokens
	// Bell wakes workers and readers; nil leaves them to their own polling.
	Bell Bell
	// Log gets decisions; nil drops them.
	Log *slog.Logger
	// Now is the farm's clock, which all leases are judged by; nil is time.Now.
	Now func() time.Time

	once     sync.Once
	wake     chan struct{}
	stopping chan struct{} // closed when Run ends
	stop     sync.Once

	started time.Time // of this process, for what it cannot know yet

	mu sync.Mutex
	steadiness
	workers   map[string]sighting           // by worker name
	submitted map[string]time.Time          // builds that this process is to resolve, and until when they are its own
	resolving map[string]bool               // builds being resolved in this process
	deaf      time.Time                     // the bell failed: it is not tried again before
	passed    map[module.Platform]time.Time // when a ring was passed on from one worker to another
	tails     map[string]*tail              // of the logs that are followed in this process, by job
}

// setup fills what zero values cannot say. The farm hears its workers from here on.
func (f *Farm) setup() {
	f.once.Do(func() {
		f.started = f.now()
		f.steadiness = steadiness{hearing: f.now(), swept: f.now()}
		f.wake = make(chan struct{}, 1)
		f.stopping = make(chan struct{})
		f.workers = map[string]sighting{}
		f.submitted = map[string]time.Time{}
		f.resolving = map[string]bool{}
		f.passed = map[module.Platform]time.Time{}
		f.tails = map[string]*tail{}
	})
}

func (f *Farm) now() time.Time {
	if f.Now != nil {
		return f.Now().UTC()
	}
	return time.Now().UTC()
}

func (f *Farm) log() *slog.Logger {
	if f.Log != nil {
		return f.Log
	}
	return slog.New(slog.DiscardHandler)
}

// Run resolves builds and sweeps leases until ctx ends, and returns nil then. Who follows a log is sent away at once:
// the process is about to end. Several processes may Run over one store.
func (f *Farm) Run(ctx context.Context) error {
	f.setup()
	leave := context.AfterFunc(ctx, func() { f.stop.Do(func() { close(f.stopping) }) })
	defer leave()
	var all sync.WaitGroup
	all.Go(func() { f.resolveLoop(ctx) })
	all.Go(func() { f.sweepLoop(ctx) })
	all.Wait()
	return nil
}

// Build returns one build with its jobs, sorted by platform. A build that does not exist is module.ErrNotFound.
func (f *Farm) Build(ctx context.Context, id string) (Build, error) {
	rec, err := f.Store.Record(ctx, id)
	if err != nil {
		return Build{}, describeMissing(err, "build", id)
	}
	return f.view(ctx, rec)
}

// Builds lists builds, newest first, each with its jobs.
func (f *Farm) Builds(ctx context.Context, filter BuildFilter) ([]Build, error) {
	recs, err := f.Store.Records(ctx, filter)
	if err != nil {
		return nil, err
	}
	builds := make([]Build, 0, len(recs))
	for _, rec := range recs {
		b, err := f.view(ctx, rec)
		if err != nil {
			return nil, err
		}
		builds = append(builds, b)
	}
	return builds, nil
}

// Job returns one job and the build it belongs to. A job that does not exist is module.ErrNotFound.
func (f *Farm) Job(ctx context.Context, id string) (Job, Build, error) {
	buildID, err := f.Store.BuildOf(ctx, id)
	if err != nil {
		return Job{}, Build{}, describeMissing(err, "job", id)
	}
	b, err := f.Build(ctx, buildID)
	if err != nil {
		return Job{}, Build{}, err
	}
	for _, j := range b.Jobs {
		if j.ID == id {
			return j, b, nil
		}
	}
	return Job{}, Build{}, describeMissing(module.ErrNotFound, "job", id)
}
