package workers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/module"
)

// DefaultTimeouts are the longest that steps may take where the worker's owner does not say.
func DefaultTimeouts() module.Timeouts {
	return module.Timeouts{Setup: 30 * time.Minute, Build: 2 * time.Hour, Total: 3 * time.Hour}
}

// bound is how long something may take, and what would give it longer.
type bound struct {
	time time.Duration
	cure string
}

// bounds of one build.
type bounds struct{ setup, build, total bound }

// bounds are the module's timeouts where they are shorter than the worker's, and the worker's otherwise.
func (j *job) bounds(s *module.Settings) bounds {
	d, p := DefaultTimeouts(), j.pool.Timeouts
	return bounds{
		setup: shorter("setup", s.Timeouts.Setup, cmp.Or(p.Setup, d.Setup)),
		build: shorter("build", s.Timeouts.Build, cmp.Or(p.Build, d.Build)),
		total: shorter("total", s.Timeouts.Total, cmp.Or(p.Total, d.Total)),
	}
}

func shorter(key string, wanted, most time.Duration) bound {
	if wanted > 0 && wanted < most {
		return bound{wanted, fmt.Sprintf("raise timeouts.%s in modfarm.yaml (this worker allows up to %s)", key, most)}
	}
	return bound{most, fmt.Sprintf("make it faster, or have the worker's owner raise --timeout-%s", key)}
}

// tellBounds says which timeouts of modfarm.yaml this worker does not grant.
func (j *job) tellBounds(s *module.Settings, b bounds) {
	for _, t := range []struct {
		key    string
		wanted time.Duration
		most   bound
	}{{"setup", s.Timeouts.Setup, b.setup}, {"build", s.Timeouts.Build, b.build}, {"total", s.Timeouts.Total, b.total}} {
		if t.wanted > t.most.time {
			j.log.say("timeouts.%s in modfarm.yaml is %s, and this worker allows %s: %s is used (--timeout-%s of the worker)",
				t.key, t.wanted, t.most.time, t.most.time, t.key)
		}
	}
}

// within bounds what happens between the start of the first step and the end of the inspection.
func (j *job) within(ctx context.Context, s *module.Settings) (context.Context, context.CancelFunc) {
	total := j.bounds(s).total
	return context.WithDeadlineCause(ctx, j.until, failed(
		"the build as a whole took longer than %s and was stopped; %s", total.time, total.cure))
}
