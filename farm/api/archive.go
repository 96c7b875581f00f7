package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	"github.com/modfarm/modfarm/proto/wire"
)

// leaseTarget is what the holder of a lease may upload: the archive of its job, which is staged. The farm
// publishes it when the worker finishes.
func (s *server) leaseTarget(r *http.Request, jobID string, strategy module.Strategy) (target, error) {
	ref := farm.LeaseRef{JobID: jobID, Token: r.Header.Get(wire.HeaderLease)}
	job, build, err := s.farm.Held(r.Context(), ref)
	if err != nil {
		return target{}, err
	}
	rel, expect, err := expectedOf(job, build, strategy)
	if err != nil {
		return target{}, err
	}
	m, err := s.registry.Module(r.Context(), registry.ForFarm(), rel.ID)
	if err != nil {
		return target{}, err
	}
	return target{
		pending: registry.Pending{OrgID: m.OrgID, ModuleKey: m.Key, JobID: jobID, Release: rel},
		expect:  expect,
		keep:    func(ctx context.Context, rel module.Release) error { return s.farm.Stage(ctx, ref, rel) },
	}, nil
}

// bodyReader remembers whether the sender broke off: what came is no archive then, but that is the
// line's fault and not the module's.
type bodyReader struct {
	from   io.Reader
	n      int64
	broken error
}

// Read reads on.
func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken = err
	}
	return n, err
}

// expectedOf says what the archive of a job must be, and what release it would become. All of it comes
// from the farm's own records: a worker is believed in nothing but the strategy.
func expectedOf(job farm.Job, build farm.Build, s module.Strategy) (module.Release, archive.Expect, error) {
	if build.Manifest == nil {
		return module.Release{}, archive.Expect{}, fmt.Errorf("%w: build %s is not resolved yet; wait until it is claimed", module.ErrConflict, build.ID)
	}
	manifest, err := json.Marshal(build.Manifest)
	if err != nil {
		return module.Release{}, archive.Expect{}, fmt.Errorf("encode the manifest of build %s: %w", build.ID, err)
	}
	rel := module.Release{
		ID: build.Module, Version: build.Version, Platform: job.Platform, Commit: build.Commit, BuildID: build.ID,
		Strategy: s, Entrypoint: build.Manifest.Entrypoint, Manifest: manifest,
	}
	expect := archive.Expect{Entrypoint: build.Manifest.Entrypoint, Platform: job.Platform, FirstRun: build.Manifest.FirstRun}
	return rel, expect, nil
}
