package farm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

func TestResolve(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.source.set(func(s *source) {
			s.files = map[string]string{
				"sub/meta.json":    manifest("acme:widget"),
				"sub/modfarm.yaml": "publish: all\nstrategy:\n  linux/arm64: qemu\n",
			}
		})
		s := submission("0.1.0", amd64, arm64)
		s.Workdir = "sub"
		b := w.submit(s)
		if b.Commit != commitA || b.Distro != "bookworm" || b.Publish != module.PublishAll {
			t.Errorf("build: commit %q, distro %q, publish %q", b.Commit, b.Distro, b.Publish)
		}
		if b.Manifest == nil || b.Manifest.Build.Build != "./build.sh" || b.Manifest.Entrypoint != "run.sh" {
			t.Errorf("manifest: %+v", b.Manifest)
		}
		if b.Settings == nil || b.Settings.Strategies[arm64] != module.StrategyQEMU {
			t.Errorf("settings: %+v", b.Settings)
		}
		for _, j := range b.Jobs {
			w.wantState(j, farm.Queued, "waiting until a worker")
		}
		if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, w.bell.take()); diff != "" {
			t.Errorf("rung (-want +got):\n%s", diff)
		}
	})
}

func TestResolveDistro(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.source.set(func(s *source) {
			s.files["meta.json"] = strings.Replace(manifest("acme:widget"), `"path"`, `"distro":"trixie","path"`, 1)
		})
		s := submission("", amd64)
		w.wantState(w.submit(s).Jobs[0], farm.Refused, `meta.json: build.distro: "trixie": there are no builder images of this release; use bookworm`)
		s.Distro = "bookworm"
		if b := w.submit(s); b.Distro != "bookworm" || b.Jobs[0].State != farm.Queued {
			t.Errorf("the request's: %q, %s %s", b.Distro, b.Jobs[0].State, b.Jobs[0].Reason)
		}
		s.Distro = "sid"
		if _, err := w.Submit(t.Context(), s); !errors.Is(err, module.ErrInvalid) || !strings.Contains(err.Error(), `distro: "sid"`) {
			t.Errorf("the request's: %v", err)
		}
	})
}

func TestResolveEndsJobs(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		for name, test := range map[string]struct {
			change func(*source, *farm.Submission)
			state  farm.JobState
			says   []string
		}{
			"no such ref": {func(_ *source, s *farm.Submission) { s.Ref = "v9.9.9" }, farm.Failed, []string{`no ref "v9.9.9"`, "push the tag"}},
			"wrong token": {func(_ *source, s *farm.Submission) { s.Token = "old" }, farm.Failed, []string{"not allowed"}},
			"address against a rule": {
				func(r *source, _ *farm.Submission) { r.err = fmt.Errorf("%w: private address", module.ErrInvalid) },
				farm.Refused,
				[]string{"private address"},
			},
			"no meta.json": {func(r *source, _ *farm.Submission) { delete(r.files, "meta.json") }, farm.Refused, []string{"there is no meta.json; commit it"}},
			"meta.json of another module": {
				func(r *source, _ *farm.Submission) { r.files["meta.json"] = manifest("acme:gadget") },
				farm.Refused,
				[]string{"acme:gadget", "the build is for acme:widget", commitA[:12]},
			},
			"broken meta.json": {func(r *source, _ *farm.Submission) { r.files["meta.json"] = "{" }, farm.Refused, []string{"meta.json"}},
			"nothing to build": {
				func(r *source, _ *farm.Submission) {
					r.files["meta.json"] = `{"module_id":"acme:widget","visibility":"private","models":[],"build":{}}`
				}, farm.Refused, []string{"build.build", "entrypoint"},
			},
			"wrong settings": {func(r *source, _ *farm.Submission) { r.files["modfarm.yaml"] = "publsh: all\n" }, farm.Refused, []string{"modfarm.yaml", "publish"}},
		} {
			s := submission("", amd64)
			w.source.set(func(r *source) {
				r.err, r.files = nil, map[string]string{"meta.json": manifest("acme:widget")}
				test.change(r, &s)
			})
			b := w.submit(s)
			w.wantState(b.Jobs[0], test.state, test.says...)
			if b.EndedAt.IsZero() {
				t.Errorf("%s: the build has no end", name)
			}
			if text := w.text(b.Jobs[0].ID); !strings.HasSuffix(text, fmt.Sprintf("linux/amd64 %s: %s\n", test.state, b.Jobs[0].Reason)) {
				t.Errorf("%s: last log line is %q", name, text)
			}
		}
	})
}

func TestResolveByOrganization(t *testing.T) {
	onEach(t, func(w *world) {
		w.source.set(func(s *source) { s.files["meta.json"] = manifest(orgID + ":widget") })
		w.wantState(w.submit(submission("0.1.0", amd64)).Jobs[0], farm.Queued)
	})
}

func TestResolveTriesAgain(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.source.set(func(s *source) { s.err = fmt.Errorf("%w: git.example.com does not answer", module.ErrUnavailable) })
		b := w.submit(submission("0.1.0", amd64))
		w.wantState(b.Jobs[0], farm.Resolving, "tried once", "does not answer")
		w.source.set(func(s *source) { s.resolved = 0 })
		if err := w.Resolve(t.Context()); err != nil || w.source.resolved != 0 {
			t.Fatalf("tried again before its time: %d, %v", w.source.resolved, err)
		}
		w.clock.Advance(3 * time.Second)
		w.restart() // the plan is in the rows
		w.source.set(func(s *source) { s.err = nil })
		if err := w.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Queued)
	})
}

func TestResolveGivesUp(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.source.set(func(s *source) { s.err = errors.New("connection reset") })
		b := w.submit(submission("0.1.0", amd64))
		for range 30 {
			w.clock.Advance(time.Minute)
			if err := w.Resolve(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.wantState(w.job(b.ID, amd64), farm.Failed, "and gave up", "connection reset")
		if w.source.resolved > 20 {
			t.Errorf("asked %d times in ten minutes", w.source.resolved)
		}
	})
}

// TestResolveOnce: what a ref meant first is what the build stays with, also when reading the files failed at first.
func TestResolveOnce(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b, err := w.Submit(t.Context(), submission("0.1.0", amd64))
		if err != nil {
			t.Fatal(err)
		}
		flaky := &flakySource{source: w.source}
		w.Source = flaky
		if err := w.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Resolving)
		w.source.set(func(s *source) { s.refs["v0.1.0"] = commitB })
		w.clock.Advance(time.Minute)
		w.Source = w.source
		if err := w.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.build(b.ID); got.Commit != commitA || got.Jobs[0].State != farm.Queued {
			t.Errorf("commit %s, state %s", got.Commit, got.Jobs[0].State)
		}
	})
}

func TestMovedTagIsRefused(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		a := w.claim("w1", amd64)
		w.stage(a, "d1")
		w.finish(a, farm.Outcome{Kind: farm.OutcomeDone})
		w.source.set(func(s *source) { s.refs["v0.1.0"] = commitB })
		moved := w.submit(submission("0.1.0", amd64, arm64))
		if moved.ID == b.ID {
			t.Fatal("a tag that moved got the old build")
		}
		for _, j := range moved.Jobs { // arm64 too: a version never mixes commits
			w.wantState(j, farm.Refused, "is published from commit aaaaaaaaaaaa", "commit bbbbbbbbbbbb", "new version")
		}
		w.wantState(w.job(b.ID, amd64), farm.Published)
	})
}

func TestReleaseOfTheCommitExists(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("0.1.0", amd64))
		a := w.claim("w1", amd64)
		w.stage(a, "d1")
		w.finish(a, farm.Outcome{Kind: farm.OutcomeDone})
		more := w.submit(submission("0.1.0", amd64, arm64))
		w.wantState(more.Jobs[0], farm.Published)
		w.wantState(more.Jobs[1], farm.Queued)
		if rel := more.Jobs[0].Release; rel == nil || rel.SHA256 != "d1" {
			t.Errorf("release: %+v", rel)
		}
	})
}

// flakySource knows refs but gives out no files.
type flakySource struct{ *source }

func (f *flakySource) ReadFiles(_ context.Context, _, _, _ string, _ []string) (map[string][]byte, error) {
	return nil, module.ErrUnavailable
}

// TestResolveIsDoneOnce: of two processes over one database, the one that took a submission resolves it; the other
// one does when the first is gone.
func TestResolveIsDoneOnce(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		other := &farm.Farm{
			Store: w.store, Modules: w.Modules, Source: w.source, Publisher: w.pub, Sealer: w.Sealer, Bell: w.bell, Now: w.Now,
		}
		if _, err := w.Submit(t.Context(), submission("0.1.0", amd64)); err != nil {
			t.Fatal(err)
		}
		resolve := func(f *farm.Farm, want int) {
			t.Helper()
			if err := f.Resolve(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.source.resolved; got != want {
				t.Errorf("the ref was looked up %d times, want %d", got, want)
			}
		}
		resolve(other, 0)
		resolve(w.Farm, 1)
		resolve(other, 1)

		lost, err := w.Submit(t.Context(), submission("", amd64)) // and the process that took it ends
		if err != nil {
			t.Fatal(err)
		}
		resolve(other, 1)
		w.clock.Advance(7 * time.Second)
		resolve(other, 2)
		resolve(w.Farm, 2)
		w.wantState(w.job(lost.ID, amd64), farm.Queued)
	})
}
