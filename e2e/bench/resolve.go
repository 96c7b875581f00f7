package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/modfarm/modfarm/e2e/road"
)

// The sizes that are compared: 20 uploads a module, so two million at the large one.
const (
	manyModules = 100_000
	fewModules  = 1_000
)

// loadTime is how long a farm is asked in a round.
const loadTime = 3 * time.Second

// resolving is two farms, a large and a small one, that are asked in turns. All its
// measures share its rounds.
type resolving struct {
	taken       bool
	large, slow []float64 // of the large farm: answers a second, 99th percentile in ms
	scale       []float64 // how many times more answers the small farm gave
}

// resolveRate is how many questions a second a large farm answers over HTTP on two
// processors, which those who ask share.
type resolveRate struct{ *resolving }

// Name implements measure.
func (resolveRate) Name() string { return "resolve-rate" }

// Run implements measure.
func (m resolveRate) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.take(ctx, l); err != nil {
		return result{}, err
	}
	return result{
		value: median(m.large), bound: 5000, unit: perSecond(), atLeast: true, samples: map[string][]float64{"per second": m.large},
	}, nil
}

// resolveTail is the time that 99 of 100 questions take less than, at full load.
type resolveTail struct{ *resolving }

// Name implements measure.
func (resolveTail) Name() string { return "resolve-p99" }

// Run implements measure.
func (m resolveTail) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.take(ctx, l); err != nil {
		return result{}, err
	}
	return result{value: median(m.slow), bound: 20, unit: milliseconds(), samples: map[string][]float64{"ms": m.slow}}, nil
}

// resolveScale is how much slower the large farm answers than the small one.
type resolveScale struct{ *resolving }

// Name implements measure.
func (resolveScale) Name() string { return "resolve-scale" }

// Run implements measure.
func (m resolveScale) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.take(ctx, l); err != nil {
		return result{}, err
	}
	return result{value: median(m.scale), bound: 1.3, unit: ratios(), samples: map[string][]float64{"small over large": m.scale}}, nil
}

// take asks both farms, once for all measures.
func (m *resolving) take(ctx context.Context, l *lab) (err error) {
	if m.taken {
		return nil
	}
	large, err := l.seeded(ctx, "resolve-large", manyModules)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, large.close()) }()
	small, err := l.seeded(ctx, "resolve-small", fewModules)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.close()) }()
	for round := range l.rounds + 1 {
		of, err := large.ask(ctx, loadTime)
		if err != nil {
			return err
		}
		base, err := small.ask(ctx, loadTime)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // it brought the farms into memory
		}
		m.large = append(m.large, of.rate)
		m.slow = append(m.slow, of.p99)
		m.scale = append(m.scale, base.rate/of.rate)
	}
	m.taken = true
	return nil
}

// seededFarm is a control plane alone, with many modules.
type seededFarm struct {
	*road.Farm
	bell    *miniredis.Miniredis // that no worker listens to
	dir     string
	modules int
}

// seeded starts a farm, so that it makes its database and its first key, fills the
// database while the farm is down, and starts it again.
func (l *lab) seeded(ctx context.Context, name string, modules int) (*seededFarm, error) {
	f := &seededFarm{dir: filepath.Join(l.dir, name), modules: modules, bell: miniredis.NewMiniRedis()}
	if err := f.bell.Start(); err != nil {
		return nil, err
	}
	bell := "redis://" + f.bell.Addr()
	// No more than two processors, also on a machine that has more.
	cfg := road.Config{Dir: f.dir, Modfarm: l.modfarm, Env: []string{"GOMAXPROCS=2", "MODFARM_LOG_LEVEL=warn"}}
	var err error
	if f.Farm, err = road.StartServe(ctx, cfg, bell); err != nil {
		return nil, errors.Join(err, f.clear())
	}
	org, err := f.organization(ctx)
	if err = errors.Join(err, f.Stop()); err != nil {
		return nil, errors.Join(err, f.clear())
	}
	began := time.Now()
	if err := seedModules(ctx, filepath.Join(f.Dir(), "modfarm.db"), org, modules); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the database: %w", err), f.clear())
	}
	l.say("%d modules took %.0f s to make", modules, time.Since(began).Seconds())
	if f.Farm, err = road.StartServe(ctx, cfg, bell); err != nil {
		return nil, errors.Join(err, f.clear())
	}
	return f, nil
}

func (f *seededFarm) organization(ctx context.Context) (string, error) {
	c, err := f.Client()
	if err != nil {
		return "", err
	}
	orgs, err := c.Login(ctx)
	if err != nil {
		return "", err
	}
	return orgs[0].ID, nil
}

// close stops the farm and gives its disk space back.
func (f *seededFarm) close() error { return errors.Join(f.Stop(), f.clear()) }

func (f *seededFarm) clear() error {
	f.bell.Close()
	return os.RemoveAll(f.dir)
}
