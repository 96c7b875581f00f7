package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// incremental tells how many times faster a release of go-sensor is built after a change of one line than its first
// release, which finds nothing in any cache.
type incremental struct {
	*sensorBuilds
	kind kind
}

// Name implements measure.
func (m incremental) Name() string { return "incremental-" + string(m.kind) }

func (m incremental) expect() {
	if m.kind == qemuKind {
		m.wantsQEMU = true
	}
}

// Run implements measure. The emulated build takes minutes and is made cold once.
func (m incremental) Run(ctx context.Context, l *lab) (result, error) {
	var first *releases
	var cold, warm []time.Duration
	for round := range l.rounds {
		if round == 0 || m.kind != qemuKind {
			var took time.Duration
			var err error
			if first, took, err = m.coldRelease(ctx, l); err != nil {
				return result{}, err
			}
			cold = append(cold, took)
		}
		if err := sleep(ctx, settling); err != nil {
			return result{}, err
		}
		again, err := first.release(ctx, l, 0)
		if err != nil {
			return result{}, err
		}
		warm = append(warm, again)
		l.say("go-sensor %s: %.1f s cold, %.1f s after a change of a line", m.kind, cold[len(cold)-1].Seconds(), again.Seconds())
	}
	for len(cold) < len(warm) {
		cold = append(cold, cold[0])
	}
	return result{
		value: paired(cold, warm, over), bound: 5, atLeast: true, unit: ratios(),
		samples: map[string][]float64{"cold": seconds(cold), "changed": seconds(warm)},
	}, nil
}

// coldRelease builds the first release of a new repository. That of cross-vs-qemu does, too.
func (m incremental) coldRelease(ctx context.Context, l *lab) (*releases, time.Duration, error) {
	if m.kind == qemuKind && m.emulated != nil {
		return m.emulated, m.emulated.cold, nil
	}
	if err := sleep(ctx, settling); err != nil {
		return nil, 0, err
	}
	return l.firstRelease(ctx, m.kind, emulatedLimit)
}

// emulatedLimit is how long the one cold build under emulation may take.
const emulatedLimit = 20 * time.Minute

// releases are those of go-sensor from one repository, built one after the other in one way.
type releases struct {
	repo *gittest.Repo
	job  job
	cold time.Duration // of the first
}

// firstRelease makes a repository that no cache knows, and builds its first release.
func (l *lab) firstRelease(ctx context.Context, k kind, limit time.Duration) (*releases, time.Duration, error) {
	j, files, err := sensorJob(k)
	if err != nil {
		return nil, 0, err
	}
	s := &releases{job: j}
	if s.repo, s.job.repo, err = l.newRepository(ctx, filepath.Join(l.root, "examples", "go-sensor")); err != nil {
		return nil, 0, err
	}
	if len(files) > 0 {
		if _, err := s.repo.Commit(ctx, files); err != nil {
			return nil, 0, err
		}
	}
	s.cold, err = s.release(ctx, l, limit)
	return s, s.cold, err
}

// release changes a line, tags the commit with the next version and builds that.
func (s *releases) release(ctx context.Context, l *lab, limit time.Duration) (time.Duration, error) {
	f, err := l.farm(ctx)
	if err != nil {
		return 0, err
	}
	_, version, err := f.module(ctx, s.job.name)
	if err != nil {
		return 0, err
	}
	j := s.job
	j.version, j.ref, j.limit = version, "v"+version.String(), limit
	changed := map[string]string{"climate/released.go": fmt.Sprintf("package climate\n\n// Released is the version.\nconst Released = %q\n", version)}
	if _, err := s.repo.Commit(ctx, changed, j.ref); err != nil {
		return 0, err
	}
	return f.publish(ctx, j)
}

// sensorJob is how go-sensor is built in one way, and what its repository needs for that.
func sensorJob(k kind) (j job, files map[string]string, err error) {
	arm64 := module.Platform{OS: "linux", Arch: "arm64"}
	j = job{name: "go-sensor", platform: arm64, strategy: module.StrategyCross}
	switch k {
	case nativeKind:
		j.platform, j.strategy = module.HostPlatform(), module.StrategyNative
	case qemuKind:
		j.strategy = module.StrategyQEMU
		files = map[string]string{"modfarm.yaml": "strategy:\n  linux/arm64: qemu\n"}
	}
	if j.platform == arm64 && module.HostPlatform() == arm64 {
		err = fmt.Errorf("this machine is %s itself; run it on linux/amd64", arm64)
	}
	return j, files, err
}
