// Package github owns what happens between GitHub and the farm: the App and its secrets, the webhook, installations and
// the organizations they belong to, the checkout tokens of jobs, the checks on commits, and a ledger that knows what
// became of every tag. It never builds, publishes or decides who somebody is; a payload is only ever a hint to go and
// look at GitHub.
package github

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	gh "github.com/google/go-github/v60/github"
	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// Builds is the farm, as far as tags and checks need it. *farm.Farm is one.
type Builds interface {
	Submit(ctx context.Context, s farm.Submission) (farm.Build, error)
	Build(ctx context.Context, id string) (farm.Build, error)
	Retry(ctx context.Context, ask farm.Retry) (farm.Build, error)
	ReadLog(ctx context.Context, jobID string, offset int64, maxBytes int) ([]farm.LogChunk, error)
}

// Organizations lists the organizations of the farm, the oldest first, by id.
type Organizations interface {
	OrgIDs(ctx context.Context) ([]string, error)
}

// Modules tells who owns a module; farm.Modules is one.
type Modules interface {
	// Lookup returns the canonical spelling of a module's ID and the organization that owns it, or module.ErrNotFound.
	Lookup(ctx context.Context, id module.ID) (canonical module.ID, orgID string, err error)
}

// Sealer encrypts the App's secrets at rest.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// GitHub connects one App to a farm. Fill the exported fields, then Run it; methods work whether or not Run does,
// except that deliveries are only stored while one process Runs.
type GitHub struct {
	// Store keeps the rows; required.
	Store Store
	// Builds, Organizations and Modules are the farm's; required.
	Builds        Builds
	Organizations Organizations
	Modules       Modules
	// Sealer encrypts secrets at rest; required.
	Sealer Sealer
	// PublicURL is how GitHub and people reach the farm; required.
	PublicURL string
	// LogKey signs the links to logs that checks carry; required.
	LogKey []byte
	// HTTP makes the calls; nil for a client of its own. It must not follow redirects with credentials.
	HTTP *http.Client
	// Lead calls run while no other process of the farm is in a Lead of the same name; nil where there is no other.
	Lead func(ctx context.Context, name string, run func(context.Context) error) error
	// SweepEvery is how often tags and failed deliveries are compared; zero for DefaultSweep.
	SweepEvery time.Duration
	// Log gets what is done; nil drops it.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	once     sync.Once
	incoming chan *arrival
	wake     map[string]chan struct{}

	mu      sync.Mutex
	clients map[int64]*gh.Client
	tokens  map[int64]*gh.InstallationToken // the last checkout token of a repository, by its number
	app     *appClient
}

const (
	// DefaultSweep is how often tags and failed deliveries are compared with what is known. A sweep costs about one
	// call for each repository, and GitHub allows an installation 5,000 an hour.
	DefaultSweep = 10 * time.Minute
	// tick is how often loops look whether something is due that nobody woke them for.
	tick = time.Second
	// noAppTick is the same while no App is set up: another process of the farm may set one up.
	noAppTick = time.Minute
	// callTimeout bounds one call of GitHub.
	callTimeout = 20 * time.Second
)

// The loops that others wake.
const (
	loopDeliveries = "deliveries"
	loopTags       = "tags"
	loopChecks     = "checks"
	loopSweep      = "sweep"
)

func (g *GitHub) setup() {
	g.once.Do(func() {
		g.incoming = make(chan *arrival)
		g.wake = map[string]chan struct{}{}
		for _, name := range []string{loopDeliveries, loopTags, loopChecks, loopSweep} {
			g.wake[name] = make(chan struct{}, 1)
		}
		g.clients = map[int64]*gh.Client{}
		g.tokens = map[int64]*gh.InstallationToken{}
		if g.HTTP == nil {
			g.HTTP = &http.Client{Timeout: callTimeout}
		}
		if g.Log == nil {
			g.Log = slog.New(slog.DiscardHandler)
		}
		if g.SweepEvery == 0 {
			g.SweepEvery = DefaultSweep
		}
	})
}

// Run stores deliveries, acts on them, settles tags, updates checks and sweeps until ctx ends, and returns nil then.
// Where several processes Run, one of them does all but storing.
func (g *GitHub) Run(ctx context.Context) error {
	g.setup()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { g.storeArrivals(ctx); return nil })
	group.Go(func() error {
		if g.Lead == nil {
			return g.loops(ctx)
		}
		return g.Lead(ctx, "github", g.loops)
	})
	return group.Wait()
}

// loops is what one process does for all.
func (g *GitHub) loops(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { g.loop(ctx, loopDeliveries, tick, g.processDeliveries) })
	all.Go(func() { g.loop(ctx, loopTags, tick, g.settleTags) })
	all.Go(func() { g.loop(ctx, loopChecks, tick, g.updateChecks) })
	all.Go(func() { g.loop(ctx, loopSweep, g.SweepEvery, g.sweep) })
	all.Wait()
	return nil
}

// loop does work whenever it is woken, and every so often; without an App there is none. A fault is logged and tried
// again the next time.
func (g *GitHub) loop(ctx context.Context, name string, every time.Duration, work func(context.Context) error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-g.wake[name]:
		}
		if _, err := g.current(ctx); errors.Is(err, errNoApp) {
			timer.Reset(noAppTick)
			continue
		}
		if err := work(ctx); err != nil && ctx.Err() == nil {
			g.Log.ErrorContext(ctx, "github", "loop", name, "error", err)
		}
		timer.Reset(every)
	}
}

// sideBySide is how many calls of GitHub one loop has under way: a slow answer does not keep the others waiting.
const sideBySide = 8

// side does work on a list, some of it side by side, and returns the first fault.
func side[T any](ctx context.Context, list []T, work func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for _, one := range list {
		group.Go(func() error { return work(ctx, one) })
	}
	return group.Wait()
}

// hurry wakes a loop.
func (g *GitHub) hurry(name string) {
	select {
	case g.wake[name] <- struct{}{}:
	default: // it will look anyway
	}
}

func (g *GitHub) now() time.Time {
	if g.Now != nil {
		return g.Now().UTC()
	}
	return time.Now().UTC()
}
