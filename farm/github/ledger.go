package github

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// How a tag was first seen.
const (
	sourceWebhook = "webhook"
	sourceSweep   = "sweep"
	sourcePerson  = "person"
)

// buildsEvery is how often the builds of a tag are looked at until they have ended.
const buildsEvery = 2 * time.Second

// noticeTag puts a tag on the ledger, or has one looked at again.
func (g *GitHub) noticeTag(ctx context.Context, repo Repository, name, source string) error {
	now := g.now()
	err := g.Store.UpdateTag(ctx, repo.ID, name, func(t *Tag) error {
		if t.SeenAt.IsZero() {
			t.State, t.Source, t.SeenAt, t.Reason = TagWaiting, source, now, "it is being looked at"
		}
		t.NextAt, t.Tries = now, 0
		return nil
	})
	g.hurry(loopTags)
	return err
}

// settleTags looks at the tags that are due.
func (g *GitHub) settleTags(ctx context.Context) error {
	for {
		list, err := g.Store.DueTags(ctx, g.now(), batch)
		if err != nil {
			return err
		}
		if err := side(ctx, list, g.settle); err != nil {
			return err
		}
		if len(list) < batch {
			return nil
		}
	}
}

// settle brings one tag forward: from GitHub to builds, or from builds to their end.
func (g *GitHub) settle(ctx context.Context, t Tag) error {
	next, err := g.judge(ctx, t)
	now := g.now()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		next = t
		next.NextAt = retryAt(err, t.Tries, now)
		next.Reason = "GitHub cannot be asked now, tried again at " + next.NextAt.Format(time.RFC3339) + ": " + err.Error()
		if !limited(err) {
			next.Tries++
		}
	}
	if next.State != t.State || next.Reason != t.Reason {
		g.Log.InfoContext(ctx, "github tag", "repository", t.Repository, "tag", t.Name, "state", next.State, "reason", next.Reason)
	}
	err = g.Store.UpdateTag(ctx, t.RepoID, t.Name, func(stored *Tag) error {
		renoticed := !stored.NextAt.Equal(t.NextAt) // an event came while we looked: look again
		if renoticed && !next.submitted() {
			return nil // what was said of it may be old by now
		}
		again := stored.NextAt
		seen, source := stored.SeenAt, stored.Source
		*stored = next
		stored.SeenAt, stored.Source = seen, source
		if renoticed {
			stored.NextAt = again
		}
		return nil
	})
	if err == nil && len(next.Builds) > len(t.Builds) {
		g.hurry(loopChecks)
	}
	return err
}

// judge says what a tag's row has to be now. An error means that GitHub, or the farm, could not tell.
func (g *GitHub) judge(ctx context.Context, t Tag) (Tag, error) {
	t.NextAt = time.Time{}
	repo, err := g.known(ctx, t.RepoID)
	if errors.Is(err, module.ErrNotFound) {
		return t.end(TagRefused, "no installation of the GitHub App covers the repository any more; install the App there, and run 'modfarm github sync'"), nil
	}
	if err != nil {
		return t, err
	}
	in, err := g.installation(ctx, repo.InstallationID)
	if err != nil {
		return t, err
	}
	if in.Removed {
		return t.end(TagRefused, "the GitHub App was taken off "+in.Account+", or is suspended there; let it in again, and run 'modfarm github sync --tag "+t.Name+" "+repo.FullName+"'"), nil
	}
	links, err := g.linksOf(ctx, repo)
	if err != nil {
		return t, err
	}
	if in.OrgID == "" && len(links) == 0 {
		return t.end(TagWaiting, fmt.Sprintf("nobody has said to which organization the account %s belongs; run 'modfarm github connect %s --org NAMESPACE'", in.Account, in.Account)), nil
	}
	what, version, err := module.SplitTag(t.Name)
	if err != nil {
		return t.end(TagRefused, err.Error()), nil
	}
	object, commit, err := g.readTag(ctx, repo, t.Name)
	if errors.Is(err, module.ErrNotFound) {
		return t.end(TagDeleted, "the tag is not there any more; what was built of it stays"), nil
	}
	if err != nil {
		return t, err
	}
	if !t.submitted() {
		t.Builds = nil // whatever it was refused for may have changed
	}
	if len(t.Builds) > 0 && t.Commit != commit {
		t.Moved = true
		return t.end(TagRefused, fmt.Sprintf("the tag was built at commit %s and now names %s; a version never changes: put the tag back, or tag the new commit with a new version",
			short(t.Commit), short(commit))), nil
	}
	t.Object, t.Commit, t.Moved = object, commit, false
	if len(t.Builds) == 0 {
		return g.start(ctx, t, repo, in, what, version)
	}
	return g.watch(ctx, t)
}

// submitted says that the farm has builds of it.
func (t Tag) submitted() bool {
	return slices.ContainsFunc(t.Builds, func(b TagBuild) bool { return b.BuildID != "" })
}

// end gives a tag a state that stays until something happens.
func (t Tag) end(state TagState, reason string) Tag {
	t.State, t.Reason, t.NextAt, t.Tries = state, reason, time.Time{}, 0
	return t
}

func short(commit string) string { return commit[:min(12, len(commit))] }

// start submits the builds of a tag.
func (g *GitHub) start(ctx context.Context, t Tag, repo Repository, in Installation, what string, v module.Version) (Tag, error) {
	found, err := g.modulesAt(ctx, repo, t.Commit)
	if err != nil {
		return t, err
	}
	chosen, why := choose(found, what)
	if why != "" {
		return t.end(TagRefused, why), nil
	}
	for _, m := range chosen {
		b := TagBuild{Module: m.id, State: TagRefused}
		switch {
		case m.problem != "":
			b.Reason = m.problem
		default:
			build, err := g.submit(ctx, repo, in, t, m, v)
			if err != nil && !final(err) {
				return t, err
			}
			if err != nil {
				b.Reason = err.Error()
			} else {
				b.BuildID, b.State = build.ID, TagWaiting
			}
		}
		t.Builds = append(t.Builds, b)
	}
	return g.watch(ctx, t)
}

// submit asks the farm for one build, and remembers that GitHub is to be told of its jobs.
func (g *GitHub) submit(ctx context.Context, repo Repository, in Installation, t Tag, m found, v module.Version) (farm.Build, error) {
	id, owner, err := g.Modules.Lookup(ctx, m.id)
	if errors.Is(err, module.ErrNotFound) {
		err = fmt.Errorf("%w: %s names the module %s, which does not exist; make it with 'modfarm module create %s', then run 'modfarm github sync --tag %s %s'",
			module.ErrNotFound, m.file(), m.id, m.id, t.Name, repo.FullName)
	}
	if err == nil {
		err = g.permit(ctx, repo, in, m, id, owner)
	}
	if err != nil {
		return farm.Build{}, err
	}
	build, err := g.Builds.Submit(ctx, farm.Submission{
		OrgID: owner, Module: m.id, Version: v, Repo: repo.CloneURL, Ref: t.Commit, Workdir: m.dir, Platforms: m.platforms,
		RequestedBy: "the tag " + t.Name + " of " + repo.FullName,
	})
	if err != nil {
		return farm.Build{}, err
	}
	for _, j := range build.Jobs {
		known, err := g.Store.Checks(ctx, j.ID, repo.ID, "")
		if err == nil && len(known) == 0 {
			err = g.Store.SaveCheck(ctx, Check{JobID: j.ID, BuildID: build.ID, RepoID: repo.ID, Commit: t.Commit, NextAt: g.now()})
		}
		if err != nil {
			return farm.Build{}, err
		}
	}
	return build, nil
}

// watch says how the builds of a tag stand.
func (g *GitHub) watch(ctx context.Context, t Tag) (Tag, error) {
	t.Builds = slices.Clone(t.Builds)
	var reasons []string
	states := map[TagState]int{}
	for i := range t.Builds {
		b := &t.Builds[i]
		if b.BuildID != "" {
			build, err := g.Builds.Build(ctx, b.BuildID)
			if err != nil {
				return t, err
			}
			b.State, b.Reason = outcome(build)
		}
		states[b.State]++
		switch {
		case b.Reason == "":
		case b.Module.IsZero(): // its meta.json could not be read
			reasons = append(reasons, b.Reason)
		default:
			reasons = append(reasons, b.Module.String()+": "+b.Reason)
		}
	}
	reason := strings.Join(reasons, "; ")
	switch {
	case states[TagWaiting] > 0:
		t.State, t.Reason, t.NextAt, t.Tries = TagWaiting, reason, g.now().Add(buildsEvery), 0
		return t, nil
	case states[TagFailed] > 0:
		return t.end(TagFailed, reason), nil
	case states[TagRefused] > 0:
		return t.end(TagRefused, reason), nil
	}
	return t.end(TagBuilt, ""), nil
}

// outcome is how a build stands, for the ledger.
func outcome(b farm.Build) (TagState, string) {
	state := TagBuilt
	var reasons []string
	for _, j := range b.Jobs {
		switch {
		case !j.State.Terminal():
			return TagWaiting, "its builds are under way"
		case j.State.Done():
			continue
		case j.State == farm.Refused && state == TagBuilt:
			state = TagRefused
		case j.State != farm.Refused:
			state = TagFailed
		}
		reasons = append(reasons, j.Platform.String()+" "+string(j.State)+": "+j.Reason)
	}
	return state, strings.Join(reasons, "; ")
}
