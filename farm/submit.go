package farm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

const (
	// sourceTimeout bounds one call of Source.
	sourceTimeout = 60 * time.Second
	// submitTimeout bounds the one that somebody waits for.
	submitTimeout = 15 * time.Second
)

var fullCommit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Submit asks for a build and answers as soon as its jobs exist, before the ref is resolved. A build of the same
// module, version and commit (or ref, where no commit is known yet) that is active or done is returned instead of a
// new one; after a failure, or without a version, there is a new one. Everything wrong with s is told at once as
// module.Faults; a module that does not exist is module.ErrNotFound, one of another organization
// module.ErrForbidden. Uploaded source for a version that is published from something else is module.ErrConflict, and so
// is a ref to confirm that names another commit.
func (f *Farm) Submit(ctx context.Context, s Submission) (Build, error) {
	f.setup()
	s, err := f.checkSubmission(ctx, s, checkOrigin(s))
	if err != nil {
		return Build{}, err
	}
	if err := f.confirm(ctx, s); err != nil {
		return Build{}, err
	}
	rec, err := f.newRecord(s)
	if err != nil {
		return Build{}, err
	}
	if err := f.checkTaken(ctx, rec.Build, s.Platforms); err != nil {
		return Build{}, err
	}
	match, err := f.sameBuild(ctx, s)
	if err != nil {
		return Build{}, err
	}
	got, added, err := f.Store.AddBuild(ctx, rec, match)
	if err != nil {
		return Build{}, err
	}
	if added {
		f.log().InfoContext(ctx, "build submitted", "build", got.Build.ID, "module", s.Module.String(),
			"version", s.Version.String(), "ref", s.Ref, "jobs", len(got.Jobs))
		f.resolveOwn(got)
	}
	return f.view(ctx, got)
}

// checkSubmission fills defaults and finds everything that is wrong, beside the faults that were found already.
func (f *Farm) checkSubmission(ctx context.Context, s Submission, faults module.Faults) (Submission, error) {
	faults = append(faults, checkPlatforms(s.Platforms)...)
	if s.Ref == "" && s.Source == "" {
		s.Ref = "main"
	}
	dir := path.Clean("/" + s.Workdir)[1:]
	if strings.Contains(s.Workdir, `\`) || path.IsAbs(s.Workdir) || strings.HasPrefix(path.Clean(s.Workdir), "..") {
		faults = append(faults, module.Fault{
			Path: "workdir", Value: s.Workdir, Problem: "not a folder of the repository",
			Advice: "give the folder of meta.json relative to the root of the repository, for example sensors/widget",
		})
	}
	s.Workdir = path.Clean("./" + dir)
	if s.Publish != "" && s.Publish != module.PublishEach && s.Publish != module.PublishAll {
		faults = append(faults, module.Fault{
			Path: "publish", Value: string(s.Publish), Problem: "not a way to publish",
			Advice: "write each or all, or leave it out for what modfarm.yaml says",
		})
	}
	if fault, wrong := errors.AsType[module.Fault](module.CheckDistro(s.Distro)); wrong {
		fault.Path = "distro"
		faults = append(faults, fault)
	}
	if s.Module.IsZero() {
		faults = append(faults, module.Fault{
			Path: "module_id", Problem: "missing", Advice: "give namespace and name, for example acme:widget",
		})
		return s, faults.Err()
	}
	canonical, orgID, err := f.Modules.Lookup(ctx, s.Module)
	switch {
	case errors.Is(err, module.ErrNotFound):
		missing := missingModule(s.Module)
		if len(faults) == 0 {
			return s, fmt.Errorf("%w: module_id: %q: %s; %s", module.ErrNotFound, missing.Value, missing.Problem, missing.Advice)
		}
		faults = append(faults, missing)
	case err != nil:
		return s, err
	case s.OrgID != "" && orgID != s.OrgID:
		return s, fmt.Errorf("%w: module %s belongs to another organization; use a key of that organization",
			module.ErrForbidden, s.Module)
	default:
		s.Module, s.OrgID = canonical, orgID
	}
	return s, faults.Err()
}

func missingModule(id module.ID) module.Fault {
	return module.Fault{
		Path: "module_id", Value: id.String(), Problem: "no such module",
		Advice: "create it with: modfarm module create " + id.String(),
	}
}

func checkRepo(repo string) module.Faults {
	const advice = `set "url" in meta.json to the https address of the repository`
	if repo == "" {
		return module.Faults{{Path: "repo", Problem: "missing", Advice: advice}}
	}
	u, err := url.Parse(repo)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		shown := repo
		if err != nil || u.User != nil {
			shown = "" // what cannot be read may hold a password
		}
		return module.Faults{{Path: "repo", Value: shown, Problem: "not an https address", Advice: advice}}
	}
	if u.User != nil {
		return module.Faults{{
			Path: "repo", Value: u.Redacted(), Problem: "holds credentials",
			Advice: "pass the token as token, not within the address",
		}}
	}
	return nil
}

func checkRef(ref string) module.Faults {
	if !strings.HasPrefix(ref, "-") && !strings.ContainsAny(ref, " \t\r\n\x00~^:?*[\\") && len(ref) <= 250 {
		return nil
	}
	return module.Faults{{
		Path: "ref", Value: ref, Problem: "not a git ref", Advice: "give a tag such as v0.1.0, a branch or a full commit",
	}}
}

func checkPlatforms(platforms []module.Platform) module.Faults {
	if len(platforms) == 0 {
		return module.Faults{{
			Path: "platforms", Problem: "empty", Advice: "name at least one platform, for example linux/arm64",
		}}
	}
	var faults module.Faults
	first := map[module.Platform]int{}
	for i, p := range platforms {
		at := fmt.Sprintf("platforms[%d]", i)
		if j, twice := first[p]; twice {
			faults = append(faults, module.Fault{
				Path: at, Value: p.String(), Problem: fmt.Sprintf("named already as platforms[%d]", j), Advice: "name it once",
			})
			continue
		}
		first[p] = i
		if !p.Buildable() {
			faults = append(faults, module.Fault{
				Path: at, Value: p.String(), Problem: "not a platform that this farm builds",
				Advice: "use " + buildable() + "; build others yourself and upload the archive",
			})
		}
	}
	return faults
}

// buildable lists what the farm builds, for advice.
func buildable() string {
	var names []string
	for _, p := range module.Platforms() {
		if p.Buildable() {
			names = append(names, p.String())
		}
	}
	return strings.Join(names, ", ")
}

// newRecord makes the rows of a checked submission.
func (f *Farm) newRecord(s Submission) (*Record, error) {
	now := f.now()
	rec := &Record{ResolveAfter: resolveLease(now), Build: Build{
		ID: uuid.NewString(), OrgID: s.OrgID, Module: s.Module, Version: s.Version, Repo: s.Repo, Ref: s.Ref,
		Workdir: s.Workdir, Distro: s.Distro, RequestedBy: s.RequestedBy, CreatedAt: now, NoCache: s.NoCache,
		Publish: cmp.Or(s.Publish, module.PublishEach), AskedPublish: s.Publish, FailFast: s.FailFast,
	}}
	rec.Build.Commit = s.Source
	if fullCommit.MatchString(s.Ref) {
		rec.Build.Commit = s.Ref
	}
	if s.Token != "" {
		sealed, err := f.Sealer.Seal([]byte(s.Token))
		if err != nil {
			return nil, fmt.Errorf("seal checkout token: %w", err)
		}
		rec.Token, rec.HadToken = sealed, true
	}
	for _, p := range s.Platforms {
		rec.Jobs = append(rec.Jobs, &JobRecord{OrgID: s.OrgID, Job: Job{
			ID: uuid.NewString(), BuildID: rec.Build.ID, Platform: p, State: Resolving, CreatedAt: now,
			Reason: "looking up what is in " + rec.Build.from(),
		}})
	}
	return rec, nil
}

// sameBuild returns the rule that finds the build which s asks for again. Where builds of the version have commits
// already, the ref is looked up first: a tag that moved is a new build (to be refused), not the old one.
func (f *Farm) sameBuild(ctx context.Context, s Submission) (func([]*Record) string, error) {
	if s.Version.IsZero() {
		return nil, nil //nolint:nilnil // no build is the same
	}
	commit, known, err := f.currentCommit(ctx, s)
	if err != nil {
		return nil, err
	}
	return func(recs []*Record) string {
		for _, r := range recs {
			if !r.alive() || !r.covers(s.Platforms) || r.Build.Workdir != s.Workdir {
				continue
			}
			sameRef := r.Build.Ref == s.Ref && r.Build.Repo == s.Repo
			if r.Build.Commit == "" || !known {
				if sameRef {
					return r.Build.ID
				}
				continue
			}
			if r.Build.Commit == commit {
				return r.Build.ID
			}
		}
		return ""
	}, nil
}

// currentCommit looks up what the ref means now, if a build of the version exists that it could be compared with.
// known is false when there is none or the repository does not answer: then refs are compared.
func (f *Farm) currentCommit(ctx context.Context, s Submission) (commit string, known bool, err error) {
	if s.Source != "" {
		return s.Source, true, nil
	}
	if fullCommit.MatchString(s.Ref) {
		return s.Ref, true, nil
	}
	recs, err := f.Store.Records(ctx, BuildFilter{Module: s.Module, Version: s.Version, Limit: 20})
	if err != nil {
		return "", false, err
	}
	for _, r := range recs {
		if r.Build.Commit == "" || !r.alive() {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, submitTimeout)
		defer cancel()
		commit, err := f.Source.Resolve(ctx, s.Repo, s.Ref, s.Token)
		if err == nil {
			return commit, true, nil
		}
		if final(err) { // a build of its own, so that resolving tells what is wrong
			return "", true, nil
		}
		f.log().WarnContext(ctx, "ref not looked up, comparing by name", "repo", s.Repo, "ref", s.Ref, "error", err)
		return "", false, nil
	}
	return "", false, nil
}

// alive says that no job of the build went wrong: it is active or done.
func (r *Record) alive() bool {
	for _, j := range r.Jobs {
		if j.Job.State.Terminal() && !j.Job.State.Done() {
			return false
		}
	}
	return true
}

// covers says that the build has a job for each of the platforms.
func (r *Record) covers(platforms []module.Platform) bool {
	has := map[module.Platform]bool{}
	for _, j := range r.Jobs {
		has[j.Job.Platform] = true
	}
	for _, p := range platforms {
		if !has[p] {
			return false
		}
	}
	return true
}
