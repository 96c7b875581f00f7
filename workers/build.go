package workers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	"github.com/modfarm/modfarm/module/source"
)

// build is the road of one attempt, from the commit to the uploaded archive.
func (j *job) build(ctx context.Context) (err error) {
	if j.kept.Built {
		return j.deliverBuilt(ctx)
	}
	if j.kept.Running != nil {
		if done, err := j.buildOn(ctx); done || err != nil {
			return err
		}
	}
	if err := j.startEarly(ctx); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, j.discard(ctx)) }()
	checkout, err := j.fetch(ctx)
	if err != nil {
		return err
	}
	plan, err := j.question(ctx, checkout).choose()
	if err != nil {
		return err
	}
	return j.throughTo(ctx, plan, checkout)
}

// throughTo builds by a plan, or by emulation where that shows that it cannot work, and delivers.
func (j *job) throughTo(ctx context.Context, plan plan, checkout checkout) error {
	q := j.question(ctx, checkout)
	file, report, err := j.follow(ctx, plan, checkout)
	if u, ok := errors.AsType[*uncrossable](err); ok {
		emulated, ok := q.emulated(u.because)
		if !ok {
			return err
		}
		j.log.say("%s; building once more under emulation", u.because)
		if checkout, err = j.fetchAgain(ctx); err != nil {
			return err
		}
		file, report, err = j.follow(ctx, emulated, checkout)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return j.deliver(ctx, file, report, checkout)
}

// deliver uploads the archive and tries it, both at once.
func (j *job) deliver(ctx context.Context, file *os.File, report *archive.Report, c checkout) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return j.upload(ctx, file) })
	both.Go(func() error { return j.try(ctx, file, report, c) })
	return both.Wait()
}

// checkout is a fetched commit.
type checkout struct {
	manifest *module.Manifest
	settings *module.Settings
	time     time.Time
	// tree is the checkout on disk; workdir is the module's folder in it, and inside the container.
	tree, workdir, inside string
}

// open opens the module's folder as it is now. A build may have put a link in its place, which must not lead out of
// the checkout: this process may read more than the build.
func (c checkout) open() (*os.Root, error) {
	tree, err := os.OpenRoot(c.tree)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(c.tree, c.workdir)
	if err != nil || rel == "." {
		return tree, err
	}
	defer tree.Close()
	return tree.OpenRoot(rel)
}

func (j *job) fetch(ctx context.Context) (checkout, error) {
	j.step(stepFetch)
	when, err := j.fetchTree(ctx)
	if err != nil {
		return checkout{}, err
	}
	j.pace.done(&j.pace.fetched)
	return j.checkedOut(when)
}

// checkedOut looks at the tree.
func (j *job) checkedOut(when time.Time) (checkout, error) {
	b := j.a.Build
	c := checkout{manifest: cmp.Or(j.a.Manifest, j.keptManifest()), settings: cmp.Or(j.a.Settings, j.kept.Settings), time: when}
	known := c.settings != nil
	if !known {
		c.settings = module.DefaultSettings()
	}
	root, err := j.openWorkdir()
	if err != nil {
		return checkout{}, err
	}
	defer root.Close()
	c.tree, c.workdir = j.tree(), root.Name()
	c.inside = path.Join(WorkspacePath, filepath.ToSlash(b.Workdir))
	if c.manifest == nil {
		c.manifest, err = readManifest(root.FS())
	}
	if err == nil && !known {
		c.settings, err = readSettings(root.FS())
	}
	return c, err
}

// fetchTree fills the tree and returns the time of what is in it.
func (j *job) fetchTree(ctx context.Context) (time.Time, error) {
	b := j.a.Build
	if b.Uploaded() {
		return j.unpackSource(ctx)
	}
	j.log.say("fetching %s at %s", b.Repo, b.Commit)
	err := j.pool.Fetcher.Fetch(ctx, source.Repository{URL: b.Repo, Token: j.a.Token}, b.Commit, j.tree())
	if denied(err) && j.a.Token != "" {
		err = j.fetchWithNewToken(ctx, err)
	}
	if err != nil {
		return time.Time{}, err
	}
	return j.pool.Fetcher.CommitTime(ctx, j.tree())
}

// denied says that the server did not accept the token.
func denied(err error) bool {
	e, ok := errors.AsType[*source.Error](err)
	return ok && e.Kind == source.Denied
}

// fetchWithNewToken fetches once more: a token that the farm mints ends after some time, also in the middle of a
// fetch, or when the App's access was renewed. Where the farm has no other token the first error stands.
func (j *job) fetchWithNewToken(ctx context.Context, first error) error {
	a, err := j.pool.Farm.Resume(ctx, j.pool.self(0), j.a.Lease.LeaseRef)
	if errors.Is(err, client.ErrLeaseLost) {
		return err
	}
	if err != nil || a.Token == "" || a.Token == j.a.Token {
		return first
	}
	j.a.Token = a.Token
	j.log.hide(a.Token)
	j.log.say("the checkout token is not accepted any more; fetching again with a new one")
	if err := j.pool.Runner.RemoveFolder(ctx, j.tree()); err != nil {
		return err
	}
	return j.pool.Fetcher.Fetch(ctx, source.Repository{URL: j.a.Build.Repo, Token: a.Token}, j.a.Build.Commit, j.tree())
}

// openWorkdir opens the module's folder; links in it cannot lead out of the checkout.
func (j *job) openWorkdir() (*os.Root, error) {
	tree, err := os.OpenRoot(j.tree())
	if err != nil {
		return nil, fmt.Errorf("open the checkout: %w", err)
	}
	if dir := path.Clean(filepath.ToSlash(j.a.Build.Workdir)); dir != "." && dir != "" {
		defer tree.Close()
		root, err := tree.OpenRoot(dir)
		if err != nil {
			return nil, failed("workdir %q is not a folder of the source at %s; correct workdir", dir, j.a.Build.Commit)
		}
		return root, nil
	}
	return tree, nil
}

func readManifest(fsys fs.FS) (*module.Manifest, error) {
	data, err := readSmall(fsys, "meta.json")
	if err != nil {
		return nil, failed("meta.json is missing in the module's folder; add it, or correct workdir")
	}
	return module.ParseManifest(data)
}

// readSettings reads modfarm.yaml, which need not be there.
func readSettings(fsys fs.FS) (*module.Settings, error) {
	data, err := readSmall(fsys, "modfarm.yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return module.DefaultSettings(), nil
	}
	if err != nil {
		return nil, failed("modfarm.yaml cannot be read: %s; let it be an ordinary file of at most %d bytes", plain(err), maxScript)
	}
	return module.ParseSettings(data)
}

// fetchAgain starts with a clean tree: a build leaves things behind that another strategy must not find.
func (j *job) fetchAgain(ctx context.Context) (checkout, error) {
	if err := j.pool.Runner.RemoveFolder(ctx, j.tree()); err != nil {
		return checkout{}, err
	}
	return j.fetch(ctx)
}

// question collects what the choice of a strategy depends on.
func (j *job) question(ctx context.Context, c checkout) question {
	root, err := c.open()
	q := question{
		target: j.a.Job.Platform, host: j.pool.Host, allowed: j.a.Strategies,
		pinned: c.settings.Strategies[j.a.Job.Platform] != module.StrategyAuto,
		probe:  func() (cgo, string, error) { return j.probe(ctx, c) },
	}
	if err == nil {
		q.project = lookAt(root.FS(), c.manifest)
		_ = root.Close() // only read
	}
	return q
}

// probe lists a Go module's C parts in a container of this machine's platform: the module's own Go version and
// its dependencies are needed for that.
func (j *job) probe(ctx context.Context, c checkout) (kind cgo, which string, err error) {
	j.step(stepPrepare)
	box, err := j.container(ctx, j.pool.Host)
	if err != nil {
		return 0, "", err
	}
	j.keep(box, j.pool.Host)
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, failed("the dependencies could not be listed within %s", probeTimeout))
	defer cancel()
	out := boundedBuffer{most: maxProbe}
	exit, err := box.Run(ctx, Command{
		Script: probeScript, Dir: c.inside, Env: append(j.environ(c, module.StrategyCross), probeEnv(j.a.Job.Platform)...),
		Output: &out, Network: c.settings.Network.Setup,
	})
	if err != nil {
		return 0, "", err
	}
	if exit.Code != 0 {
		j.log.say("go list: %s", lastLine(out.String()))
		return cgoUnknown, "", nil
	}
	kind, which = readProbe(out.String())
	return kind, which, nil
}

// What listing the dependencies of a module may take, and say.
const (
	probeTimeout = 10 * time.Minute
	maxProbe     = 32 << 20
)

// follow builds by a plan and returns the checked archive, open and at its beginning.
func (j *job) follow(ctx context.Context, p plan, c checkout) (*os.File, *archive.Report, error) {
	j.strategy = p.strategy
	if j.taken == nil {
		j.step(stepPrepare)
		j.log.say("strategy: %s, because %s", p.strategy, p.because)
	}
	j.beat.tell("", p.strategy)
	if err := j.inContainer(ctx, p, c); err != nil {
		return nil, nil, err
	}
	j.save(func(s *saved) {
		s.Built, s.Running, s.Step = true, nil, stepBuild
	})
	return j.conclude(ctx, p, c)
}

// conclude checks what the scripts left.
func (j *job) conclude(ctx context.Context, p plan, c checkout) (*os.File, *archive.Report, error) {
	j.step(stepInspect)
	ctx, cancel := j.within(ctx, c.settings)
	defer cancel()
	file, err := j.archive(ctx, c)
	if err != nil {
		return nil, nil, causeOf(ctx, err)
	}
	report, err := j.inspect(ctx, file, c, p)
	if err != nil {
		return nil, nil, causeOf(ctx, errors.Join(err, file.Close()))
	}
	return file, report, nil
}

// inspect checks the archive as the farm will, so that the author hears at once and nothing is sent in vain.
func (j *job) inspect(ctx context.Context, file *os.File, c checkout, p plan) (*archive.Report, error) {
	report, err := archive.Inspect(ctx, file, archive.Expect{
		Entrypoint: c.manifest.Entrypoint, FirstRun: c.manifest.FirstRun, Platform: j.a.Job.Platform,
		Glibc: module.DistroGlibc(j.a.Build.Distro),
	})
	var refused *archive.Refused
	if errors.As(err, &refused) && refused.WrongPlatform && p.strategy == module.StrategyCross {
		return nil, &uncrossable{"the build made programs of another platform (" + sentence(refused) + ")"}
	}
	if err != nil {
		return nil, err
	}
	for _, w := range report.Warnings {
		j.log.say("warning: %s", w)
	}
	j.log.say("archive: %d bytes, %d entries, sha256:%s", report.Size, report.Entries, report.SHA256)
	if need := report.Glibc; need != nil {
		j.log.say("it needs glibc %s, for %s in %s", need.Version, cmp.Or(need.Symbol, "a mark"), need.File)
		j.reported(func(r *module.BuildReport) { r.Glibc = need })
	}
	return report, nil
}

// upload sends the archive. A build that publishes nothing ends with its inspection.
func (j *job) upload(ctx context.Context, file *os.File) error {
	if j.a.Build.Version.IsZero() && !j.pool.PutAll {
		j.log.say("no version was given: nothing is published")
		return nil
	}
	j.step(StepUpload)
	for try := 0; ; try++ {
		got, err := j.pool.Farm.PutArchive(ctx, j.a.Lease.LeaseRef, j.strategy, file, nil)
		if err == nil {
			j.log.say("uploaded %d bytes, sha256:%s", got.Size, got.SHA256)
			return nil
		}
		if !temporary(err) || try >= uploadTries {
			return putError(err)
		}
		j.log.say("the upload did not get through (%s); trying again", sentence(err))
		if err := (backoff{first: time.Second, most: 15 * time.Second}).sleep(ctx, try); err != nil {
			return err
		}
	}
}

const uploadTries = 8

// putError tells an archive that the farm refuses from one that did not get there.
func putError(err error) error {
	var answer *client.Error
	if errors.Is(err, client.ErrLeaseLost) || !errors.As(err, &answer) || !answer.Answered || !errors.Is(err, module.ErrInvalid) {
		return err
	}
	return &verdict{client.OutcomeRefused, "the farm refuses the archive: " + strings.TrimSpace(sentence(err))}
}
