package farm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/modfarm/modfarm/module"
)

// maxResolving bounds how many repositories are read at once.
const maxResolving = 16

// resolved is what a commit says about a build.
type resolved struct {
	commit   string
	manifest *module.Manifest
	settings *module.Settings
	existing map[module.Platform]module.Release // releases of the version, from whatever commit
}

// resolveLoop resolves due builds until ctx ends. It is woken by Submit and looks every two seconds by itself,
// because another process may have taken the submission.
func (f *Farm) resolveLoop(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := f.startResolving(ctx, &running); err != nil && ctx.Err() == nil {
			f.log().ErrorContext(ctx, "find builds to resolve", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-ticker.C:
		}
	}
}

// hurry wakes the resolver of this process.
func (f *Farm) hurry() { wake(f.wake) }

// Resolve resolves the builds that are due now and returns when that is done. Run does it all the time.
func (f *Farm) Resolve(ctx context.Context) error {
	f.setup()
	var running sync.WaitGroup
	err := f.startResolving(ctx, &running)
	running.Wait()
	return err
}

// startResolving starts one goroutine per build that was submitted here or is due, and is not being resolved here
// already.
func (f *Farm) startResolving(ctx context.Context, running *sync.WaitGroup) error {
	for id, until := range f.ownToResolve() {
		f.startOne(ctx, running, id, until)
	}
	due, err := f.Store.Overdue(ctx, Resolving, f.now().Add(time.Millisecond), 200)
	if err != nil {
		return err
	}
	for _, ref := range due {
		f.startOne(ctx, running, ref.BuildID, time.Time{})
	}
	return nil
}

func (f *Farm) startOne(ctx context.Context, running *sync.WaitGroup, buildID string, until time.Time) {
	if !f.beginResolving(buildID) {
		return
	}
	running.Go(func() {
		err := f.resolveBuild(ctx, buildID, until)
		f.endResolving(buildID)
		if err != nil && ctx.Err() == nil {
			f.log().ErrorContext(ctx, "resolve build", "build", buildID, "error", err)
		}
	})
}

func (f *Farm) beginResolving(buildID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resolving[buildID] || len(f.resolving) >= maxResolving {
		return false
	}
	f.resolving[buildID] = true
	delete(f.submitted, buildID)
	return true
}

func (f *Farm) endResolving(buildID string) {
	f.mu.Lock()
	delete(f.resolving, buildID)
	more := len(f.resolving) == maxResolving-1
	f.mu.Unlock()
	if more {
		f.hurry()
	}
}

// resolveBuild reads what the build's commit says and lets its jobs go on, or ends them. until is how long the build
// is this process's own; zero for one that has to be taken first.
func (f *Farm) resolveBuild(ctx context.Context, buildID string, until time.Time) error {
	rec, err := f.takeResolving(ctx, buildID, until)
	if err != nil || rec == nil {
		return err
	}
	keeping, stop := context.WithCancel(ctx)
	var kept sync.WaitGroup
	kept.Go(func() { f.keepResolving(keeping, buildID) })
	got, err := f.readCommit(ctx, rec)
	stop()
	kept.Wait() // it must not write over the time of the next try
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return f.resolveFailed(ctx, rec, err)
	}
	return f.enqueue(ctx, buildID, got)
}

// readCommit does the reading: ref to commit (once), then the two files at the commit, then the registry.
func (f *Farm) readCommit(ctx context.Context, rec *Record) (resolved, error) {
	b := rec.Build
	token, err := f.checkoutToken(ctx, rec)
	if err != nil {
		return resolved{}, err
	}
	got := resolved{commit: b.Commit}
	if got.commit == "" {
		if got.commit, err = f.lookUp(ctx, rec, token); err != nil {
			return resolved{}, err
		}
	}
	manifestPath, settingsPath := path.Join(b.Workdir, "meta.json"), path.Join(b.Workdir, "modfarm.yaml")
	files, err := f.readFiles(ctx, b, got.commit, token, []string{manifestPath, settingsPath})
	if err != nil {
		return resolved{}, err
	}
	if got.manifest, err = f.checkManifest(ctx, b, files, manifestPath); err != nil {
		return resolved{}, at(err, b, got.commit)
	}
	got.settings = module.DefaultSettings()
	if data, ok := files[settingsPath]; ok {
		if got.settings, err = module.ParseSettings(data); err != nil {
			return resolved{}, at(refuse("%s: %v", settingsPath, err), b, got.commit)
		}
	}
	got.existing, err = f.releases(ctx, b)
	return got, err
}

// lookUp asks what the ref means and remembers it at once: whatever comes next, the build stays with this commit.
func (f *Farm) lookUp(ctx context.Context, rec *Record, token string) (string, error) {
	lookCtx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	commit, err := f.Source.Resolve(lookCtx, rec.Build.Repo, rec.Build.Ref, token)
	if err != nil {
		return "", err
	}
	after, err := f.update(ctx, rec.Build.ID, func(r *Record) error {
		if r.Build.Commit == "" {
			r.Build.Commit = commit
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return after.Build.Commit, nil
}

// checkManifest parses meta.json and holds it against the build.
func (f *Farm) checkManifest(ctx context.Context, b Build, files map[string][]byte, name string) (*module.Manifest, error) {
	data, ok := files[name]
	if !ok {
		return nil, refuse("there is no %s; commit it, or name its folder as workdir", name)
	}
	m, err := module.ParseManifest(data)
	if err != nil {
		return nil, refuse("%s: %v", name, err)
	}
	if err := m.CheckBuild(); err != nil {
		return nil, refuse("%s: %v", name, err)
	}
	if b.Distro == "" { // otherwise the request wins, and was checked
		if err := module.CheckDistro(m.Build.Distro); err != nil {
			return nil, refuse("%s: build.distro: %v", name, err)
		}
	}
	if m.ID == b.Module {
		return m, nil
	}
	canonical, _, err := f.Modules.Lookup(ctx, m.ID)
	if err != nil && !errors.Is(err, module.ErrNotFound) {
		return nil, err
	}
	if err != nil || canonical != b.Module {
		return nil, refuse("%s: module_id: %q: the build is for %s; build it under its own name, or correct meta.json",
			name, m.ID, b.Module)
	}
	return m, nil
}

// enqueue lets the resolving jobs go on: done when their release exists, refused when the version belongs to another
// commit, queued otherwise.
func (f *Farm) enqueue(ctx context.Context, buildID string, got resolved) error {
	var ring []JobRef
	rec, err := f.update(ctx, buildID, func(r *Record) error {
		ring = ring[:0]
		now := f.now()
		b := &r.Build
		b.Commit, b.Manifest, b.Settings = got.commit, got.manifest, got.settings
		b.Publish = cmp.Or(b.AskedPublish, got.settings.Publish)
		if b.Distro == "" {
			b.Distro = got.manifest.Build.Distro
		}
		if b.Distro == "" {
			b.Distro = module.DefaultDistro
		}
		for _, j := range r.in(Resolving) {
			if err := start(j, *b, got, now); err != nil {
				return err
			}
			if j.Job.State == Queued {
				ring = append(ring, JobRef{JobID: j.Job.ID, BuildID: b.ID, Platform: j.Job.Platform})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.log().InfoContext(ctx, "build resolved", "build", buildID, "module", rec.Build.Module.String(),
		"commit", got.commit, "queued", len(ring), "after_ms", f.now().Sub(rec.Build.CreatedAt).Milliseconds())
	f.ring(ctx, ring)
	f.notifyEnded(ctx, rec)
	return nil
}

// start takes one job out of resolving.
func start(j *JobRecord, b Build, got resolved, now time.Time) error {
	rel, reason := taken(b, j.Job.Platform, "", got.existing)
	switch {
	case reason != "":
		return j.move(Refused, reason, now)
	case rel != nil:
		j.Job.Release, j.Job.Strategy = rel, rel.Strategy
		return j.move(Published, "", now)
	}
	j.Pin, j.Job.Memory = got.settings.Strategies[j.Job.Platform], got.settings.Memory
	return j.move(Queued, "", now)
}

// resolveFailed ends the resolving jobs, or plans another try when the cause may go away by itself.
func (f *Farm) resolveFailed(ctx context.Context, rec *Record, cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) {
		cause = fmt.Errorf("%s was not read within %s; check that the farm can reach it: %w", rec.Build.from(), sourceTimeout, cause)
	}
	to, text := Failed, cause.Error()
	switch {
	case errors.Is(cause, module.ErrInvalid):
		to = Refused
	case final(cause):
	case f.now().Sub(rec.Build.CreatedAt) >= resolveFor:
		text = fmt.Sprintf("tried %s in %s and gave up: %s", times(rec.ResolveTries+1), resolveFor, text)
	default:
		to = Resolving
	}
	after, err := f.update(ctx, rec.Build.ID, func(r *Record) error {
		now := f.now()
		if to == Resolving {
			r.ResolveTries++
			r.ResolveAfter = now.Add(backOff(r.ResolveTries))
			text = fmt.Sprintf("tried %s, next try at %s UTC: %s", times(r.ResolveTries), r.ResolveAfter.Format(time.TimeOnly), cause)
		}
		for _, j := range r.in(Resolving) {
			if to == Resolving {
				j.Job.Reason = oneLine(text)
			} else if err := j.move(to, text, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.log().InfoContext(ctx, "build not resolved", "build", rec.Build.ID, "state", string(to), "error", cause)
	f.notifyEnded(ctx, after)
	return nil
}

// times is how often something was done.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// backOff is 2 s, 4 s, 8 s, … up to a minute.
func backOff(tries int) time.Duration {
	return min(time.Minute, 2*time.Second<<min(tries-1, 6))
}

// refusal is the sentence of something that is against a rule. It is module.ErrInvalid without saying so.
type refusal string

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// Error is the sentence.
func (r refusal) Error() string { return string(r) }

// Is says that a refusal is module.ErrInvalid.
func (r refusal) Is(target error) bool { return target == module.ErrInvalid }

// final says that trying again would not help.
func final(err error) bool {
	for _, sentinel := range []error{module.ErrNotFound, module.ErrForbidden, module.ErrUnauthorized, module.ErrInvalid} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// at adds the commit, or the uploaded source, that a fault was found in.
func at(err error, b Build, commit string) error {
	what := "commit"
	if b.Uploaded() {
		what = "uploaded source"
	}
	return fmt.Errorf("%s %s: %w", what, short(commit), err)
}

func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}
