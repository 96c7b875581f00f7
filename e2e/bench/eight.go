package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// eightJobs tells how many times faster eight small jobs are built by the farm, at its own parallelism, than the same
// eight by `docker run` at whichever parallelism is best.
type eightJobs struct{}

const jobsAtOnce = 8

// busyScript takes a processor about eight seconds, as a small program does that is compiled.
const busyScript = `seq 19000000 | gzip -9 | sha256sum && ` + smallScript

// Name implements measure.
func (eightJobs) Name() string { return "eight-jobs" }

// Run implements measure.
func (eightJobs) Run(ctx context.Context, l *lab) (r result, err error) {
	f, err := l.openFarm(ctx, "eight", "--platforms", module.HostPlatform().String())
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, f.close(ctx, l.engine)) }()
	request, err := l.scripted(ctx, f, "busy", busyScript)
	if err != nil {
		return result{}, err
	}
	var plain, farmed []time.Duration
	parallel, err := l.bestParallel(ctx)
	if err != nil {
		return result{}, err
	}
	for round := range l.rounds + 1 {
		p, err := l.plainAll(ctx, parallel)
		if err != nil {
			return result{}, err
		}
		if err := sleep(ctx, settling); err != nil {
			return result{}, err
		}
		took, err := f.buildAll(ctx, request, jobsAtOnce)
		if err != nil {
			return result{}, err
		}
		l.say("eight-jobs: plain %.2f s, farm %.2f s", p.Seconds(), took.Seconds())
		if round > 0 { // the first warms up both
			plain, farmed = append(plain, p), append(farmed, took)
		}
	}
	return result{
		value: paired(plain, farmed, over), bound: 0.9, atLeast: true, unit: ratios(),
		samples: map[string][]float64{"plain": seconds(plain), "farm": seconds(farmed)},
	}, nil
}

// bestParallel is how many at a time the eight are fastest by `docker run`: one, two, four or eight.
func (l *lab) bestParallel(ctx context.Context) (parallel int, err error) {
	var best time.Duration
	for n := 1; n <= jobsAtOnce; n *= 2 {
		if err := sleep(ctx, settling); err != nil {
			return 0, err
		}
		took, err := l.plainAll(ctx, n)
		if err != nil {
			return 0, err
		}
		if best == 0 || took < best {
			best, parallel = took, n
		}
	}
	return parallel, nil
}

func (l *lab) plainAll(ctx context.Context, parallel int) (time.Duration, error) {
	image, err := l.image(ctx)
	if err != nil {
		return 0, err
	}
	work, err := os.MkdirTemp(l.dir, "plain-")
	if err != nil {
		return 0, err
	}
	var all errgroup.Group
	all.SetLimit(parallel)
	began := time.Now()
	for i := range jobsAtOnce {
		all.Go(func() error {
			folder := filepath.Join(work, fmt.Sprint(i))
			if err := os.Mkdir(folder, 0o755); err != nil {
				return err
			}
			return dockerCommand(ctx, "run", "--rm", "--volume", folder+":/workspace", "--workdir", "/workspace", image, "bash", "-c", busyScript)
		})
	}
	err = all.Wait()
	took := time.Since(began)
	return took, errors.Join(err, l.removeAll(ctx, work))
}

// buildAll has the farm build a request several times at once, and returns when the last has ended.
func (f *farm) buildAll(ctx context.Context, r client.BuildRequest, n int) (time.Duration, error) {
	var all errgroup.Group
	began := time.Now()
	for range n {
		all.Go(func() error {
			id, err := f.client.StartBuild(ctx, r)
			if err != nil {
				return err
			}
			tail, err := f.wait(ctx, id, 0)
			if err != nil {
				return err
			}
			b, err := f.client.Build(ctx, id)
			if err == nil && b.Jobs[0].State != client.JobBuilt {
				err = fmt.Errorf("a small job ended %s: %s\n%s", b.Jobs[0].State, b.Jobs[0].Reason, tail)
			}
			return err
		})
	}
	err := all.Wait()
	return time.Since(began), err
}
