package workers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// Defaults of Pool.
const (
	DefaultPoll  = 3 * time.Second
	DefaultGrace = 30 * time.Second
	// drainingPatience bounds how long the end of a worker may wait for a farm that is away.
	drainingPatience = 2 * time.Second
	// DefaultLogLine and DefaultLogTotal bound logs, in bytes.
	DefaultLogLine  = 64 << 10
	DefaultLogTotal = 64 << 20
)

// Pool claims jobs and builds them, several at a time. Fill the fields, then Run it once.
type Pool struct {
	// Name is the worker's name, unique in its farm; required.
	Name string
	// Farm hands out jobs and takes what comes of them; required.
	Farm Farm
	// Bell wakes the pool; nil leaves it to polling.
	Bell Bell
	// Fetcher reads repositories; required.
	Fetcher Fetcher
	// Runner starts containers; required.
	Runner Runner
	// Host is the platform of containers that cross-build; required where Cross is not empty.
	Host module.Platform
	// Native, Cross and QEMU are the platforms that this worker builds, by how. They have to be proved before.
	Native, Cross, QEMU []module.Platform
	// WorkDir is the folder for jobs; the pool owns what is below its own name in it. Required.
	WorkDir string
	// Slots is how many jobs run at a time; zero means one.
	Slots int
	// Memory is what one build may take, in bytes; zero when it is not known.
	Memory int64
	// Timeouts are the longest that steps may take; modules may ask for less. Zero fields mean DefaultTimeouts.
	Timeouts module.Timeouts
	// LogLine is how many bytes of one line of output a log keeps; zero means DefaultLogLine.
	LogLine int
	// LogTotal is how many bytes the scripts of one attempt may write; a build that writes more is stopped. Zero
	// means DefaultLogTotal.
	LogTotal int64
	// Grace is how long running jobs may go on after Run's context ended; zero means DefaultGrace, negative none.
	Grace time.Duration
	// Hurry ends the grace when it is closed; may be nil.
	Hurry <-chan struct{}
	// Poll is how often the pool asks without being woken; zero means DefaultPoll.
	Poll time.Duration
	// Failed is called when a script of a module failed, while its container is still there; nil for not.
	Failed func(ctx context.Context, box Container, c Command)
	// PutAll gives the farm the archives of builds without a version, too: one that keeps them for its caller.
	PutAll bool
	// TrialTime is how long an entrypoint has to live to pass its trial; zero means 300 ms, or a second under emulation,
	// and longer the busier this machine is.
	TrialTime time.Duration
	// Rest is how long the pool claims nothing after this machine failed a job, longer when it fails the next one, too;
	// zero means DefaultRest.
	Rest time.Duration
	// Secrets are masked in every log, beside the checkout token.
	Secrets []string
	// Log gets what the pool does; nil drops it.
	Log *slog.Logger

	rest    rest
	next    string // the token for the lease of the next job; of the claim loop
	wake    chan struct{}
	mu      sync.Mutex
	running map[string]*heartbeat // by job id
}

// Run claims and builds until ctx ends. Then it claims no more, lets running jobs go on for the grace period,
// gives back those that did not end, and returns when nothing of them is left. The error says why the pool could
// not start, such as a farm that does not know its token (module.ErrUnauthorized); it is nil after an orderly end.
func (p *Pool) Run(ctx context.Context) error {
	left, err := p.prepare(ctx)
	if err != nil {
		if ctx.Err() != nil { // told to stop before it began: that is an orderly end, too
			return nil
		}
		return err
	}
	jobs, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	ctx, refused := context.WithCancel(ctx)
	defer refused()
	var bells sync.WaitGroup
	p.listen(ctx, &bells)
	var work sync.WaitGroup
	slots := make(chan struct{}, max(1, p.Slots))
	start := func(run func()) {
		work.Go(func() {
			defer func() { <-slots }()
			run()
		})
	}
	for _, s := range left {
		if !taken(ctx, slots) {
			break
		}
		start(func() { p.resume(jobs, s) })
	}
	err = p.claimLoop(ctx, slots, func(a *client.Assignment) { start(func() { p.runJob(jobs, a, nil) }) })
	refused()
	over := make(chan struct{})
	work.Go(func() { p.sayDraining(jobs) })
	bells.Go(func() { p.await(over, func() { stop(errDraining) }) })
	work.Wait()
	close(over)
	bells.Wait()
	return err
}

// await calls stop when the grace for running jobs has passed or somebody is in a hurry, unless they are over before.
func (p *Pool) await(over <-chan struct{}, stop func()) {
	grace := time.NewTimer(max(0, cmp.Or(p.Grace, DefaultGrace)))
	defer grace.Stop()
	select {
	case <-over:
		return
	case <-grace.C:
	case <-p.Hurry:
	}
	stop()
}

// sayDraining tells the farm that this worker takes no more jobs, so that nobody waits for it. A farm that is away
// finds out by itself.
func (p *Pool) sayDraining(ctx context.Context) {
	self := p.self(0)
	self.Draining, self.NextLease = true, p.next
	ctx, cancel := context.WithTimeout(ctx, drainingPatience)
	defer cancel()
	if _, err := p.Farm.Claim(ctx, self); err != nil {
		p.log().DebugContext(ctx, "the farm could not be told that this worker stops", "error", err)
	}
}

// prepare cleans up after earlier processes of this worker, and returns the jobs that may go on.
func (p *Pool) prepare(ctx context.Context) ([]*saved, error) {
	p.wake, p.next = make(chan struct{}), newLease()
	p.rest.first = cmp.Or(p.Rest, DefaultRest)
	p.running = map[string]*heartbeat{}
	if len(p.Native)+len(p.Cross)+len(p.QEMU) == 0 {
		return nil, fmt.Errorf("%w: this worker can build no platform", module.ErrInvalid)
	}
	left, err := p.leftJobs()
	if err != nil {
		return nil, err
	}
	var held []Held
	for _, s := range left {
		if h := s.held(); h != nil {
			held = append(held, h)
		}
	}
	if err := p.Runner.Reap(ctx, held...); err != nil {
		return nil, fmt.Errorf("clean up what earlier builds left: %w", err)
	}
	if err := os.MkdirAll(p.jobsDir(), 0o755); err != nil {
		return nil, fmt.Errorf("the work folder is not writable: %w; choose another one", err)
	}
	folders, err := os.ReadDir(p.jobsDir())
	if err != nil {
		return nil, fmt.Errorf("clean up what earlier builds left: %w", err)
	}
	for _, folder := range folders {
		dir := filepath.Join(p.jobsDir(), folder.Name())
		if slices.ContainsFunc(left, func(s *saved) bool { return s.dir == dir }) {
			continue
		}
		if err := p.Runner.RemoveFolder(ctx, dir); err != nil {
			return nil, fmt.Errorf("clean up what earlier builds left: %w", err)
		}
	}
	return left, nil
}

func (p *Pool) jobsDir() string { return filepath.Join(p.WorkDir, "jobs", filepath.Base(p.Name)) }

func (p *Pool) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.New(slog.DiscardHandler)
}

func (p *Pool) platforms() []module.Platform {
	var all []module.Platform
	seen := map[module.Platform]bool{}
	for _, list := range [][]module.Platform{p.Native, p.Cross, p.QEMU} {
		for _, platform := range list {
			if !seen[platform] {
				seen[platform] = true
				all = append(all, platform)
			}
		}
	}
	return all
}

// listen follows Redis until ctx ends. Without it the pool only polls, so trouble with it is said, not fatal.
func (p *Pool) listen(ctx context.Context, group *sync.WaitGroup) {
	if p.Bell == nil {
		return
	}
	follow := func(what string, f func() error) {
		group.Go(func() {
			for try := 0; ctx.Err() == nil; try++ {
				err := f()
				if err == nil || ctx.Err() != nil {
					return
				}
				p.log().WarnContext(ctx, "Redis cannot be listened to; asking the farm now and then instead", "for", what, "error", err)
				_ = backoff{first: time.Second, most: 30 * time.Second}.sleep(ctx, try) // the loop looks at ctx
			}
		})
	}
	follow("jobs", func() error { return p.Bell.Listen(ctx, p.Name, p.platforms(), func() { p.awake(ctx) }) })
	follow("cancels", func() error { return p.Bell.Cancels(ctx, p.check) })
}

// awake waits until the claim loop has a free slot and takes the wake-up.
func (p *Pool) awake(ctx context.Context) {
	select {
	case p.wake <- struct{}{}:
	case <-ctx.Done():
	}
}

// check has the farm asked at once whether a job is to stop.
func (p *Pool) check(jobID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.running[jobID]; h != nil {
		h.ask()
	}
}

// claimLoop asks for a job whenever a slot is free, until ctx ends. The error is that of a farm which refuses this
// worker from the first.
func (p *Pool) claimLoop(ctx context.Context, slots chan struct{}, start func(*client.Assignment)) error {
	answered := false
	for failures := 0; ; {
		if !taken(ctx, slots) {
			return nil
		}
		p.rest.take(ctx)
		a, err := p.claim(ctx, p.self(cap(slots)-len(slots)+1))
		switch {
		case err != nil && !answered && errors.Is(err, module.ErrUnauthorized):
			return fmt.Errorf("the farm refuses this worker: %w", err)
		case err != nil:
			<-slots
			p.complain(ctx, err, failures)
			_ = backoff{first: time.Second, most: 15 * time.Second}.sleep(ctx, failures) // the loop looks at ctx
			failures++
			continue
		}
		p.atEase(ctx, answered, failures)
		answered, failures = true, 0
		if a == nil {
			<-slots
			p.idle(ctx)
			continue
		}
		start(a)
	}
}

// taken waits for a free slot and takes it; false when ctx ended first.
func taken(ctx context.Context, slots chan<- struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case slots <- struct{}{}:
		return true
	}
}

// self is what the farm is told of this worker while some of its slots are free.
func (p *Pool) self(free int) client.Worker {
	slots := max(1, p.Slots)
	return client.Worker{
		Name: p.Name, Native: p.Native, Cross: p.Cross, QEMU: p.QEMU, Slots: slots, SlotsFree: free,
		Memory: p.Memory * int64(slots), MemoryFree: p.Memory * int64(free),
	}
}

// atEase says what an answer of the farm makes good.
func (p *Pool) atEase(ctx context.Context, answered bool, failures int) {
	switch {
	case !answered:
		p.log().InfoContext(ctx, "worker ready", "name", p.Name, "slots", max(1, p.Slots),
			"native", names(p.Native), "cross", names(p.Cross), "qemu", names(p.QEMU))
	case failures > 0:
		p.log().InfoContext(ctx, "the farm answers again; jobs are claimed", "failures", failures)
	}
}

func names(platforms []module.Platform) string {
	all := make([]string, len(platforms))
	for i, platform := range platforms {
		all[i] = platform.String()
	}
	return strings.Join(all, ",")
}

func (p *Pool) complain(ctx context.Context, err error, failures int) {
	if ctx.Err() == nil && failures%10 == 0 {
		p.log().WarnContext(ctx, "no jobs can be claimed; trying on", "error", err, "failures", failures+1)
	}
}

func (p *Pool) idle(ctx context.Context) {
	timer := time.NewTimer(cmp.Or(p.Poll, DefaultPoll))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-p.wake:
	case <-timer.C:
	}
}

// leftBehind is logged when something of a job could not be cleaned up.
const leftBehind = "something of a job is left on this machine"
