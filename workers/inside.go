package workers

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/modfarm/modfarm/module"
)

// inContainer runs setup and build, or what is left of them in a container that was taken up. Nothing runs in the
// container when it returns, so that nothing moves in the tree while it is read.
func (j *job) inContainer(ctx context.Context, p plan, c checkout) (err error) {
	if box := j.taken; box != nil {
		j.taken = nil
		defer func() { err = cmp.Or(err, j.leave(ctx, box)) }()
		return j.runSteps(ctx, box, box, p, c)
	}
	box, err := j.container(ctx, p.container)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, j.leave(ctx, box)) }()
	if j.until.IsZero() { // waiting for an image does not count
		b := j.bounds(c.settings)
		j.until = time.Now().Add(b.total.time)
		j.tellBounds(c.settings, b)
	}
	if p.shim {
		if err := j.log.follow(""); err != nil {
			return err
		}
		if _, err := box.Run(ctx, Command{Script: shimScript(j.a.Job.Platform), Dir: "/", Output: j.log}); err != nil {
			return err
		}
	}
	if err := j.restoreCaches(ctx, box, c); err != nil {
		return err
	}
	j.keepPlan(p, c)
	return j.runSteps(ctx, box, nil, p, c)
}

// runSteps runs the scripts. With a container that was taken up it begins with the one that runs there.
func (j *job) runSteps(ctx context.Context, box Container, taken KeptContainer, p plan, c checkout) error {
	steps := j.steps(p, c)
	if taken != nil {
		for len(steps) > 1 && steps[0].key != j.kept.Running.Key {
			steps = steps[1:]
		}
		if j.kept.Running.Ended {
			steps, taken = steps[1:], nil
		}
	} else {
		j.reported(func(r *module.BuildReport) { r.Image, r.Environment = box.Image(), variables(steps[len(steps)-1].env) })
	}
	for _, s := range steps {
		if err := j.runStep(ctx, box, taken, s, p, c); err != nil {
			return err
		}
		taken = nil
		j.save(func(s *saved) {
			if s.Running != nil {
				s.Running.Ended = true
			}
		})
	}
	return j.saveCaches(ctx, box, c)
}

// keepPlan notes what the next process of this worker needs to go on with a script.
func (j *job) keepPlan(p plan, c checkout) {
	manifest, err := json.Marshal(c.manifest)
	if err != nil {
		manifest = nil // the file is read again
	}
	j.save(func(s *saved) {
		s.Plan = savedPlan{Strategy: p.strategy, Because: p.because, Container: p.container, Env: p.env}
		s.Until, s.Time, s.Manifest, s.Settings = j.until, c.time, manifest, c.settings
	})
}
