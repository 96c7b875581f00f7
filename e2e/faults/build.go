package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// shape is what a module of a trial does.
type shape struct {
	// waits is the step whose script writes lines until it is let go; empty for none.
	waits string
	// stubborn scripts ignore SIGTERM.
	stubborn bool
	// bulk is how many bytes of noise the archive holds; zeros is how many that pack small and take long to look at.
	bulk, zeros int64
	// fills is how many bytes the build script writes beside the archive after it was let go.
	fills int64
}

// The steps of a job, as the farm shows them.
const (
	stepFetch   = "Fetch source"
	stepSetup   = "Setup"
	stepBuild   = "Build"
	stepInspect = "Inspect archive"
	stepUpload  = "Upload archive"
)

// waiting is a script that counts lines until a file appears beside it.
const waiting = `i=0
until [ -e go ]; do i=$((i+1)); echo "line $i"; sleep 0.01; done
`

// files are those of the module's repository.
func (s shape) files(id module.ID, platforms []module.Platform) (map[string]string, error) {
	setup, script := "#!/bin/sh\nset -eu\n", "#!/bin/sh\nset -eu\n"
	if s.stubborn {
		setup += "trap '' TERM\n"
		script += "trap '' TERM\n"
	}
	switch s.waits {
	case stepSetup:
		setup += waiting
	case stepBuild:
		script += waiting
	}
	if s.fills > 0 {
		script += fmt.Sprintf("head -c %d /dev/zero > filler\n", s.fills)
	}
	script += "mkdir -p dist\nprintf '#!/bin/sh\\necho hello\\n' > dist/main\nchmod 755 dist/main\n"
	script += fmt.Sprintf("head -c %d /dev/urandom > dist/noise\nhead -c %d /dev/zero > dist/zeros\n", s.bulk, s.zeros)
	script += "echo the last line\n"
	m := &module.Manifest{
		ID: id, Visibility: "private", URL: "https://github.com/acme/" + id.Name, Description: "Survives",
		Models: []module.Model{{API: "rdk:component:sensor", Model: id.String() + ":one"}}, ModelsPresent: true, Entrypoint: "main",
		Build: module.BuildSpec{Setup: "./setup.sh", Build: "./build.sh", Path: "dist", Arch: platforms},
	}
	meta, err := m.MarshalJSON()
	return map[string]string{
		"meta.json": string(meta), "setup.sh": setup, "build.sh": script,
		"modfarm.yaml": "network:\n  setup: none\n  build: none\n",
	}, err
}

// another is a build of a further version of the same module.
func (b *build) another(n int) *build {
	version, err := module.ParseVersion(fmt.Sprintf("1.0.%d", n))
	b.t.must("make a version", err)
	next := &build{t: b.t, module: b.module, req: b.req}
	next.req.Version = version
	return next
}

// build is an accepted build, and what was seen of it.
type build struct {
	t      *trial
	module module.ID
	req    client.BuildRequest
	id     string
	job    string // the one it has
	log    *reader
	holds  []*hold
	digest string // as it was first published
	// fails are the words of its reason when it is to fail; empty when it is to be published.
	fails string
	// cancelled says that it is to end cancelled.
	cancelled bool
	// attempts is how many it may take; zero means any number.
	attempts int
}

// newModule makes a module and its repository at version 1.0.0.
func (t *trial) newModule(name string, s shape) *build {
	id, err := t.client.CreateModule(t.ctx, t.org, name)
	t.must("create a module", err)
	platforms := append([]module.Platform{t.target}, t.further...)
	files, err := s.files(id, platforms)
	t.must("write meta.json", err)
	repo, err := gittest.NewRepo(t.ctx, filepath.Join(t.dir, "git"), name+".git", filepath.Join(t.dir, "repo-"+name))
	t.must("make a repository", err)
	_, err = repo.Commit(t.ctx, files, "v1.0.0")
	t.must("make a repository", err)
	version, err := module.ParseVersion("1.0.0")
	t.must("make a version", err)
	return &build{t: t, module: id, req: client.BuildRequest{
		Module: module.ID{Namespace: road.Namespace, Name: name}, Version: version,
		Repo: t.gitURL + "/" + name + ".git", Ref: "v1.0.0", Platforms: platforms,
	}}
}

// submit has the farm accept a build of a new module.
func (t *trial) submit(name string, s shape) *build {
	b := t.newModule(name, s)
	b.submit()
	return b
}

// submit has the farm accept it. From now on it must not be lost, and a reader follows its log.
func (b *build) submit() {
	id, err := b.t.client.StartBuild(b.t.ctx, b.req)
	b.t.must("submit a build", err)
	b.accepted(id)
}

// accepted begins to look at a build.
func (b *build) accepted(id string) {
	b.id = id
	b.t.builds = append(b.t.builds, b)
	b.job = b.now().ID
	b.log = b.t.follow(b.job)
}

// now is its job as the farm shows it.
func (b *build) now() client.Job {
	got, err := b.t.client.Build(b.t.ctx, b.id)
	b.t.must("look at a build", err)
	return b.of(got)
}

// of is its job on the platform that workers of the trial build.
func (b *build) of(got client.Build) client.Job {
	for _, j := range got.Jobs {
		if j.Platform == b.t.target {
			return j
		}
	}
	b.t.fail("the build %s has no job for %s", b.id, b.t.target)
	return client.Job{}
}

// await waits until its job is as wanted, and returns it. A farm that is away is waited for.
func (b *build) await(what string, wanted func(client.Job) bool) client.Job {
	var job client.Job
	b.t.until(what, func() (bool, error) {
		got, err := b.t.client.Build(b.t.ctx, b.id)
		if err != nil {
			return false, nil //nolint:nilerr // away
		}
		job = b.of(got)
		if job.Terminal && !wanted(job) {
			return false, fmt.Errorf("the job ended %s: %s", job.State, job.Reason)
		}
		return wanted(job), nil
	})
	return job
}

func (b *build) awaitState(s client.JobState) {
	b.await("the job is "+string(s), func(j client.Job) bool { return j.State == s })
}

// awaitStep waits until a worker is at a step, and its script has said something where it is one that waits.
func (b *build) awaitStep(step string) {
	b.await("the job is at "+step, func(j client.Job) bool {
		return j.State == client.JobRunning && j.Step == step && (step != stepSetup && step != stepBuild || b.log.has("line 3\n"))
	})
}

// awaitLost waits until the farm has taken the job from a worker.
func (b *build) awaitLost(from *worker) {
	b.await("the farm misses the worker", func(j client.Job) bool {
		return j.State != client.JobRunning || j.Worker != from.name
	})
}

// letGo ends the waiting of its scripts, on every worker, and lets go of its requests.
func (b *build) letGo() {
	for _, h := range b.holds {
		h.release()
	}
	ctx, stop := context.WithCancel(b.t.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(glance)
		defer tick.Stop()
		for {
			b.touch()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	b.t.atEnd(func() error { stop(); <-done; return nil })
}

// touch puts the file that the scripts wait for into all checkouts that are complete.
func (b *build) touch() {
	trees, _ := filepath.Glob(filepath.Join(b.t.dir, "work", "*", "jobs", "*", b.job+"-*", "tree")) // the pattern is well-formed
	for _, tree := range trees {
		if _, err := os.Stat(filepath.Join(tree, "setup.sh")); err != nil {
			continue
		}
		_ = os.WriteFile(filepath.Join(tree, "go"), nil, 0o644) // the next round, or the job is over
	}
}

// reader follows a log from its beginning, as a person would, through whatever happens.
type reader struct {
	mu   sync.Mutex
	text []byte
	gaps []string
	done chan struct{}
	err  error // once done is closed
}

func (t *trial) follow(job string) *reader {
	r := &reader{done: make(chan struct{})}
	ctx, stop := context.WithCancel(t.ctx)
	c := t.client
	go func() {
		defer close(r.done)
		r.err = c.FollowLog(ctx, job, 0, r.take)
	}()
	t.atEnd(func() error { stop(); <-r.done; return nil })
	return r
}

func (r *reader) take(c client.LogChunk) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Offset != int64(len(r.text)) {
		r.gaps = append(r.gaps, fmt.Sprintf("after %d bytes came those from %d on", len(r.text), c.Offset))
	}
	r.text = append(r.text, c.Data...)
	return nil
}

func (r *reader) has(words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.text, []byte(words))
}

// read is what it has read so far.
func (r *reader) read() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

// whole says what is wrong with the log that was read, held against the log as it is in the end.
func (r *reader) whole(ctx context.Context, c *client.Client, job string) error {
	select {
	case <-r.done:
	case <-time.After(patience):
		return fmt.Errorf("a reader of the log did not come to its end within %s", patience)
	}
	if r.err != nil {
		return fmt.Errorf("a reader of the log was left alone: %w", r.err)
	}
	var full bytes.Buffer
	err := c.FollowLog(ctx, job, 0, func(c client.LogChunk) error { _, err := full.Write(c.Data); return err })
	if err != nil {
		return fmt.Errorf("read the log again: %w", err)
	}
	if len(r.gaps) > 0 || !bytes.Equal(r.text, full.Bytes()) {
		return fmt.Errorf("a reader of the log saw %d bytes of %d, %s", len(r.text), full.Len(), strings.Join(r.gaps, "; "))
	}
	return counted(full.String())
}

// counted says whether the lines that scripts counted follow each other in each attempt, without one that is
// missing or doubled.
func counted(log string) error {
	last := 0
	for line := range strings.Lines(log) {
		var n int
		if _, err := fmt.Sscanf(line, "line %d\n", &n); err != nil {
			continue
		}
		if n != last+1 && n != 1 { // 1 begins a new attempt
			return fmt.Errorf("in the log, line %d follows line %d", n, last)
		}
		last = n
	}
	return nil
}
