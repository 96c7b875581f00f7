package farm_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/store"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

var servers *storetest.Servers

func TestMain(m *testing.M) {
	var err error
	if servers, err = storetest.Start(context.Background()); err != nil {
		panic(err)
	}
	m.Run() // its result is the exit code
	if err := servers.Stop(); err != nil {
		panic(err)
	}
}

var (
	amd64   = module.Platform{OS: "linux", Arch: "amd64"}
	arm64   = module.Platform{OS: "linux", Arch: "arm64"}
	arm32v7 = module.Platform{OS: "linux", Arch: "arm32v7"}
	arm32v6 = module.Platform{OS: "linux", Arch: "arm32v6"}
)

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	orgID   = "5f6d2f0e-0000-4000-8000-000000000001"
)

// world is a farm over a real store, with a clock that stands still and fakes at the farm's own seams.
type world struct {
	*farm.Farm
	t      *testing.T
	dsn    string
	store  *store.Store
	clock  *clock
	source *source
	pub    *publisher
	bell   *bell
}

// onEach runs test in a world per SQL dialect.
func onEach(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			test(newWorld(t, servers.DSN(t, dialect)))
		})
	}
}

func newWorld(t *testing.T, dsn string) *world {
	t.Helper()
	w := &world{
		t: t, dsn: dsn, store: storetest.Reopen(t, dsn), clock: &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)},
		source: &source{
			refs:  map[string]string{"v0.1.0": commitA, "main": commitA, "v0.2.0": commitB},
			files: map[string]string{"meta.json": manifest("acme:widget")},
		},
		pub: &publisher{releases: map[string]module.Release{}}, bell: &bell{},
	}
	w.restart()
	return w
}

// restart puts a new Farm over the same rows, as a restarted process does.
func (w *world) restart() {
	w.Farm = &farm.Farm{
		Store: w.store, Modules: modules{}, Source: w.source, Publisher: w.pub, Sealer: sealer{}, Bell: w.bell, Now: w.clock.Now,
	}
}

// submission is a request that is in order.
func submission(version string, platforms ...module.Platform) farm.Submission {
	s := farm.Submission{
		OrgID: orgID, Module: module.ID{Namespace: "acme", Name: "widget"}, Repo: "https://git.example.com/acme/widget",
		Ref: "main", Token: "checkout-secret", Platforms: platforms, RequestedBy: "tester",
	}
	if version != "" {
		v, err := module.ParseVersion(version)
		if err != nil {
			panic(err)
		}
		s.Version, s.Ref = v, "v"+version
	}
	return s
}

// submit submits and resolves.
func (w *world) submit(s farm.Submission) farm.Build {
	w.t.Helper()
	b, err := w.Submit(w.t.Context(), s)
	if err != nil {
		w.t.Fatalf("Submit: %v", err)
	}
	if err := w.Resolve(w.t.Context()); err != nil {
		w.t.Fatalf("Resolve: %v", err)
	}
	return w.build(b.ID)
}

func (w *world) build(id string) farm.Build {
	w.t.Helper()
	b, err := w.Build(w.t.Context(), id)
	if err != nil {
		w.t.Fatalf("Build: %v", err)
	}
	return b
}

// job reads one job of a build again.
func (w *world) job(buildID string, p module.Platform) farm.Job {
	w.t.Helper()
	for _, j := range w.build(buildID).Jobs {
		if j.Platform == p {
			return j
		}
	}
	w.t.Fatalf("build %s has no job for %s", buildID, p)
	return farm.Job{}
}

// claim claims for a worker that can do everything natively, and fails when there is nothing.
func (w *world) claim(name string, platforms ...module.Platform) *farm.Assignment {
	w.t.Helper()
	a, err := w.Claim(w.t.Context(), farm.Worker{Name: name, Native: platforms})
	if err != nil {
		w.t.Fatalf("Claim: %v", err)
	}
	if a == nil {
		w.t.Fatalf("Claim(%s): nothing to claim", platforms)
	}
	return a
}

// stage stages an archive whose digest is named after content.
func (w *world) stage(a *farm.Assignment, content string) {
	w.t.Helper()
	rel := module.Release{SHA256: content, TarSHA256: content, Size: 10, Strategy: a.Strategies[0], Entrypoint: "run.sh"}
	if err := w.Stage(w.t.Context(), a.Lease.Ref(), rel); err != nil {
		w.t.Fatalf("Stage: %v", err)
	}
}

func (w *world) finish(a *farm.Assignment, out farm.Outcome) farm.Job {
	w.t.Helper()
	j, err := w.Finish(w.t.Context(), a.Lease.Ref(), out)
	if err != nil {
		w.t.Fatalf("Finish: %v", err)
	}
	return j
}

// sweep lets time pass and sweeps, every two seconds as Run does.
func (w *world) sweep(d time.Duration) {
	w.t.Helper()
	for left := d; ; left -= min(left, 2*time.Second) {
		if left == 0 && d > 0 {
			return
		}
		w.clock.Advance(min(left, 2*time.Second))
		if err := w.Sweep(w.t.Context()); err != nil {
			w.t.Fatalf("Sweep: %v", err)
		}
		if d == 0 {
			return
		}
	}
}

// text is a job's whole log.
func (w *world) text(jobID string) string {
	w.t.Helper()
	var b strings.Builder
	for offset := int64(0); ; offset = int64(b.Len()) {
		chunks, err := w.ReadLog(w.t.Context(), jobID, offset, 0)
		if err != nil {
			w.t.Fatalf("ReadLog: %v", err)
		}
		if len(chunks) == 0 {
			return b.String()
		}
		for _, c := range chunks {
			if c.Offset != int64(b.Len()) {
				w.t.Fatalf("chunk at %d, want %d", c.Offset, b.Len())
			}
			b.Write(c.Data)
		}
	}
}

// wantState checks where a job stands and what its reason says.
func (w *world) wantState(j farm.Job, state farm.JobState, reasons ...string) {
	w.t.Helper()
	if j.State != state {
		w.t.Errorf("%s is %s (%s), want %s", j.Platform, j.State, j.Reason, state)
	}
	for _, reason := range reasons {
		if !strings.Contains(j.Reason, reason) {
			w.t.Errorf("%s: reason %q does not say %q", j.Platform, j.Reason, reason)
		}
	}
	if strings.Contains(j.Reason, "\n") {
		w.t.Errorf("%s: reason %q is not one sentence", j.Platform, j.Reason)
	}
}

func manifest(id string) string {
	return `{"module_id":"` + id + `","visibility":"private","url":"https://git.example.com/acme/widget","description":"d",` +
		`"models":[],"entrypoint":"run.sh","build":{"setup":"./setup.sh","build":"./build.sh","path":"dist/archive.tar.gz",` +
		`"arch":["linux/amd64","linux/arm64"]}}`
}
