package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// waitingJobs is how many jobs wait for a platform that nobody builds while builds are started, and startsPerRound how
// many are.
const (
	waitingJobs    = 1000
	startsPerRound = 10
)

// starting is builds that are started on a farm where many others wait. Its measures share them.
type starting struct {
	calls, lines []time.Duration // of StartBuild, and from its answer to the script's first line
}

// startLatency is the time from StartBuild's answer to the first line that the script writes, half of the time.
type startLatency struct{ *starting }

// Name implements measure.
func (startLatency) Name() string { return "start-latency" }

// Run implements measure.
func (m startLatency) Run(ctx context.Context, l *lab) (result, error) {
	err := m.take(ctx, l)
	return atMost(m.lines, 50, 800), err
}

// startTail is the same, for all but one in a hundred.
type startTail struct{ *starting }

// Name implements measure.
func (startTail) Name() string { return "start-p99" }

// Run implements measure.
func (m startTail) Run(ctx context.Context, l *lab) (result, error) {
	err := m.take(ctx, l)
	return atMost(m.lines, 99, 2000), err
}

// startCall is what StartBuild itself takes, over HTTP.
type startCall struct{ *starting }

// Name implements measure.
func (startCall) Name() string { return "start-call" }

// Run implements measure.
func (m startCall) Run(ctx context.Context, l *lab) (result, error) {
	err := m.take(ctx, l)
	return atMost(m.calls, 50, 15), err
}

// atMost is a percentile of durations against a bound, in milliseconds.
func atMost(took []time.Duration, percent int, bound float64) result {
	if len(took) == 0 {
		return result{}
	}
	sorted := slices.Sorted(slices.Values(took))
	at := sorted[min(len(sorted)-1, len(sorted)*percent/100)]
	return result{
		value: float64(at.Microseconds()) / 1000, bound: bound, unit: milliseconds(),
		samples: map[string][]float64{"took": seconds(took)},
	}
}

// take starts the builds, once for all measures.
func (s *starting) take(ctx context.Context, l *lab) (err error) {
	if s.lines != nil {
		return nil
	}
	f, err := l.openFarm(ctx, "starts", "--platforms", module.HostPlatform().String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close(ctx, l.engine)) }()
	r, err := l.greeting(ctx, f, "greeting")
	if err != nil {
		return err
	}
	if err := f.fill(ctx, r, waitingJobs); err != nil {
		return err
	}
	for i := range l.rounds*startsPerRound + 1 {
		call, line, err := f.firstLine(ctx, r)
		if err != nil {
			return err
		}
		if i > 0 { // the first warms up
			s.calls, s.lines = append(s.calls, call), append(s.lines, line)
		}
		if err := sleep(ctx, settling); err != nil {
			return err
		}
	}
	return nil
}

const greeting = "the first line of the script"

// greeting is a module whose script greets and ends; its builds publish nothing.
func (l *lab) greeting(ctx context.Context, f *farm, name string) (client.BuildRequest, error) {
	return l.scripted(ctx, f, name, "echo "+greeting+" && "+smallScript)
}

// scripted is a module with a build script of its own, for this machine; its builds publish nothing.
func (l *lab) scripted(ctx context.Context, f *farm, name, script string) (client.BuildRequest, error) {
	id, _, err := f.module(ctx, name)
	if err != nil {
		return client.BuildRequest{}, err
	}
	m := &module.Manifest{
		ID: id, Visibility: "private", URL: "https://github.com/acme/" + name, Description: "Runs a script",
		Models: []module.Model{{API: "rdk:component:sensor", Model: "acme:small:hello"}}, ModelsPresent: true, Entrypoint: "main",
		Build: module.BuildSpec{Build: script, Path: "dist/archive.tar.gz", Arch: []module.Platform{module.HostPlatform()}},
	}
	text, err := m.MarshalJSON()
	if err != nil {
		return client.BuildRequest{}, err
	}
	repo, err := l.repository(ctx, "", map[string]string{"meta.json": string(text)})
	return client.BuildRequest{Module: id, Repo: repo, Ref: "v1.0.0", Platforms: []module.Platform{module.HostPlatform()}}, err
}

// foreign are platforms that the farm's own worker does not build.
func foreign() []module.Platform {
	return slices.DeleteFunc(slices.Clone(module.Platforms()), func(p module.Platform) bool {
		return !p.Buildable() || p == module.HostPlatform()
	})
}

// fill has many jobs wait for platforms that nobody builds, and returns when they do.
func (f *farm) fill(ctx context.Context, r client.BuildRequest, jobs int) error {
	r.Platforms = foreign()
	var last string
	for made := 0; made < jobs; made += len(r.Platforms) {
		id, err := f.client.StartBuild(ctx, r)
		if err != nil {
			return err
		}
		last = id
	}
	for {
		b, err := f.client.Build(ctx, last)
		if err != nil {
			return err
		}
		if b.Jobs[0].State == client.JobQueued {
			return nil
		}
		if err := sleep(ctx, settling); err != nil {
			return err
		}
	}
}

// firstLine starts a build and waits for what its script says first, and then for its end.
func (f *farm) firstLine(ctx context.Context, r client.BuildRequest) (call, line time.Duration, err error) {
	began := time.Now()
	id, err := f.client.StartBuild(ctx, r)
	if err != nil {
		return 0, 0, err
	}
	answered := time.Now()
	b, err := f.client.Build(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	var text []byte
	err = f.client.FollowLog(ctx, b.Jobs[0].ID, 0, func(c client.LogChunk) error {
		text = append(text, c.Data...)
		if line == 0 && bytes.Contains(text, []byte(greeting)) {
			line = time.Since(answered)
		}
		return nil
	})
	if err == nil && line == 0 {
		err = fmt.Errorf("the build said no greeting:\n%s", text)
	}
	return answered.Sub(began), line, err
}

// jobMemory is how much larger a farm with its Redis is after ten thousand jobs that do nothing than after the first
// two thousand, which fill its caches. They are built by a worker that only says so.
type jobMemory struct{}

// noopJobs is how many jobs that do nothing are built, and warmJobs how many of these come before the first look.
const (
	noopJobs = 10_000
	warmJobs = 2_000
)

// Name implements measure.
func (jobMemory) Name() string { return "job-memory" }

// Run implements measure.
func (jobMemory) Run(ctx context.Context, l *lab) (r result, err error) {
	f, err := l.openFarm(ctx, "jobs", "--platforms", module.HostPlatform().String())
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, f.close(ctx, l.engine)) }()
	request, err := l.greeting(ctx, f, "nothing")
	if err != nil {
		return result{}, err
	}
	request.Platforms = foreign()
	idle, err := f.idleWorker()
	if err != nil {
		return result{}, err
	}
	var memory []float64
	for _, jobs := range []int{warmJobs, noopJobs - warmJobs} {
		if err := idle.build(ctx, f, request, jobs); err != nil {
			return result{}, err
		}
		if err := sleep(ctx, window); err != nil {
			return result{}, err
		}
		_, m, err := l.taken(ctx, f)
		if err != nil {
			return result{}, err
		}
		memory = append(memory, m)
	}
	return result{
		value: memory[1] / memory[0], bound: 1.25, unit: ratios(), samples: map[string][]float64{"MiB": memory},
	}, nil
}

// idleWorker claims jobs and says that they are built.
type idleWorker struct{ farm *client.Client }

func (f *farm) idleWorker() (*idleWorker, error) {
	token, err := os.ReadFile(filepath.Join(f.Dir(), "worker.token"))
	if err != nil {
		return nil, fmt.Errorf("the worker token of the farm: %w", err)
	}
	c, err := client.New(client.Config{URL: f.URL(), WorkerToken: strings.TrimSpace(string(token))})
	return &idleWorker{c}, err
}

// build starts builds and ends their jobs, several at a time.
func (w *idleWorker) build(ctx context.Context, f *farm, r client.BuildRequest, jobs int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4 * runtime.NumCPU())
	self := client.Worker{Name: "idle", Native: r.Platforms}
	for range jobs / len(r.Platforms) {
		g.Go(func() error {
			if _, err := f.client.StartBuild(ctx, r); err != nil {
				return err
			}
			for done := 0; done < len(r.Platforms); {
				a, err := w.farm.Claim(ctx, self)
				if err != nil {
					return err
				}
				if a == nil { // not resolved yet
					if err := sleep(ctx, 100*time.Millisecond); err != nil {
						return err
					}
					continue
				}
				if _, err := w.farm.Finish(ctx, a.Lease.LeaseRef, client.Outcome{Kind: client.OutcomeDone, Strategy: module.StrategyNative}); err != nil {
					return err
				}
				done++
			}
			return nil
		})
	}
	return g.Wait()
}
