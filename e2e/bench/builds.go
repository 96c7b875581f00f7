package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// smallBuild is a build of a tenth of a second: what the farm adds to it is all
// its own.
type smallBuild struct{}

// Name implements measure.
func (smallBuild) Name() string { return "small-build" }

// settling is a pause in which a build's surroundings come to rest.
const settling = 1500 * time.Millisecond

const smallScript = `mkdir -p dist && printf '#!/bin/sh\necho hello\n' >dist/main && chmod 755 dist/main && tar -czf dist/archive.tar.gz -C dist main`

// Run implements measure.
func (smallBuild) Run(ctx context.Context, l *lab) (result, error) {
	f, err := l.farm(ctx)
	if err != nil {
		return result{}, err
	}
	var plain, farmed []time.Duration
	for round := range l.rounds + 1 {
		// The farm clears up after it has published; that must not slow down the
		// baseline of the next round.
		if err := sleep(ctx, settling); err != nil {
			return result{}, err
		}
		p, err := l.plainRun(ctx, "", nil, smallScript)
		if err != nil {
			return result{}, err
		}
		if err := sleep(ctx, settling); err != nil {
			return result{}, err
		}
		took, err := f.publishSmall(ctx, l)
		if err != nil {
			return result{}, err
		}
		l.say("small build: plain %.2f s, farm %.2f s", p.Seconds(), took.Seconds())
		if round > 0 { // the first warms up both
			plain, farmed = append(plain, p), append(farmed, took)
		}
	}
	return result{
		value: paired(farmed, plain, minus), bound: 0.5, unit: addedSeconds(),
		samples: map[string][]float64{"plain": seconds(plain), "farm": seconds(farmed)},
	}, nil
}

// publishSmall has the farm build the small module once, from a new repository.
func (f *farm) publishSmall(ctx context.Context, l *lab) (time.Duration, error) {
	const name = "small"
	m := &module.Manifest{
		ID: module.ID{Namespace: road.Namespace, Name: name}, Visibility: "private", URL: "https://github.com/acme/small",
		Description: "Says hello", Models: []module.Model{{API: "rdk:component:sensor", Model: "acme:small:hello"}}, ModelsPresent: true,
		Entrypoint: "main", Build: module.BuildSpec{Build: smallScript, Path: "dist/archive.tar.gz", Arch: []module.Platform{module.HostPlatform()}},
	}
	text, err := m.MarshalJSON()
	if err != nil {
		return 0, err
	}
	repo, err := l.repository(ctx, "", map[string]string{"meta.json": string(text)})
	if err != nil {
		return 0, err
	}
	return f.publish(ctx, job{name: name, repo: repo, platform: module.HostPlatform(), strategy: module.StrategyNative})
}

// kind is one way to build the example go-sensor, always with cold caches.
type kind string

const (
	plainKind  kind = "plain"  // by docker run, for this machine
	nativeKind kind = "native" // by the farm, for this machine
	crossKind  kind = "cross"  // by the farm, for linux/arm64
	qemuKind   kind = "qemu"   // the same under emulation
	actKind    kind = "act"    // by act, for this machine
)

// sensorBuilds are builds of go-sensor, shared by the measures that compare them:
// a build takes half a minute, and each measure by itself would double them.
type sensorBuilds struct {
	kinds     []kind
	took      map[kind][]time.Duration
	wantsQEMU bool      // incremental-qemu goes on where the emulated build ended
	emulated  *releases // that build; nil before
}

func (s *sensorBuilds) expect(kinds ...kind) {
	s.kinds = slices.Compact(slices.Sorted(slices.Values(append(s.kinds, kinds...))))
}

// run makes the builds that were asked for, in rounds of one each.
func (s *sensorBuilds) run(ctx context.Context, l *lab) error {
	if s.took != nil {
		return nil
	}
	took := map[kind][]time.Duration{}
	for range l.rounds {
		for _, k := range s.kinds {
			if err := sleep(ctx, settling); err != nil {
				return err
			}
			d, err := l.buildSensor(ctx, k, 0)
			if err != nil {
				return err
			}
			l.say("go-sensor %s: %.1f s", k, d.Seconds())
			took[k] = append(took[k], d)
		}
	}
	s.took = took
	return nil
}

// buildSensor builds go-sensor once.
func (l *lab) buildSensor(ctx context.Context, k kind, limit time.Duration) (time.Duration, error) {
	folder := filepath.Join(l.root, "examples", "go-sensor")
	if k == plainKind {
		return l.plainRun(ctx, folder, nil, "./setup.sh && ./build.sh")
	}
	if k == actKind {
		return l.actRun(ctx, folder)
	}
	f, err := l.farm(ctx)
	if err != nil {
		return 0, err
	}
	j, files, err := sensorJob(k)
	if err != nil {
		return 0, err
	}
	j.limit = limit
	if j.repo, err = l.repository(ctx, folder, files); err != nil {
		return 0, err
	}
	return f.publish(ctx, j)
}

// longBuild is a real build that takes half a minute.
type longBuild struct{ *sensorBuilds }

// Name implements measure.
func (longBuild) Name() string { return "long-build" }

func (m longBuild) expect() { m.sensorBuilds.expect(plainKind, nativeKind) }

// Run implements measure.
func (m longBuild) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.run(ctx, l); err != nil {
		return result{}, err
	}
	if baseline := median(seconds(m.took[plainKind])); baseline < 20 {
		l.say("long-build: the build takes %.0f s on this machine; the goal is for 20 s and more, and harder to reach like this", baseline)
	}
	return m.compare(nativeKind, plainKind, 1.05), nil
}

func (s *sensorBuilds) compare(a, b kind, bound float64) result {
	return result{
		value: paired(s.took[a], s.took[b], over), bound: bound, unit: ratios(),
		samples: map[string][]float64{string(a): seconds(s.took[a]), string(b): seconds(s.took[b])},
	}
}

// crossVsNative compares a cross build with the same module's build for the
// machine itself.
type crossVsNative struct{ *sensorBuilds }

// Name implements measure.
func (crossVsNative) Name() string { return "cross-vs-native" }

func (m crossVsNative) expect() { m.sensorBuilds.expect(crossKind, nativeKind) }

// Run implements measure.
func (m crossVsNative) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.run(ctx, l); err != nil {
		return result{}, err
	}
	return m.compare(crossKind, nativeKind, 1.15), nil
}

// crossVsQEMU tells how many times faster a cross build is than emulation.
type crossVsQEMU struct{ *sensorBuilds }

// Name implements measure.
func (crossVsQEMU) Name() string { return "cross-vs-qemu" }

func (m crossVsQEMU) expect() { m.sensorBuilds.expect(crossKind) }

// Run implements measure.
func (m crossVsQEMU) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.run(ctx, l); err != nil {
		return result{}, err
	}
	const enough = 10
	cross := median(seconds(m.took[crossKind]))
	limit := time.Duration(enough * cross * float64(time.Second))
	qemu, err := m.emulate(ctx, l, limit)
	if errors.Is(err, errLimit) {
		qemu, err = limit, nil
		l.say("cross-vs-qemu: the emulated build was ended at %d times the cross build", enough)
	}
	if err != nil {
		return result{}, err
	}
	l.say("go-sensor qemu: %.1f s", qemu.Seconds())
	return result{
		value: qemu.Seconds() / cross, bound: 6, atLeast: true, unit: ratios(),
		samples: map[string][]float64{string(qemuKind): {qemu.Seconds()}, string(crossKind): seconds(m.took[crossKind])},
	}, nil
}

// emulate makes the one build under emulation. It is a release, and has all the time that there is, where another
// measure goes on with its caches.
func (s *sensorBuilds) emulate(ctx context.Context, l *lab, limit time.Duration) (time.Duration, error) {
	if !s.wantsQEMU {
		return l.buildSensor(ctx, qemuKind, limit)
	}
	first, took, err := l.firstRelease(ctx, qemuKind, emulatedLimit)
	if err == nil {
		s.emulated = first
	}
	return took, err
}
