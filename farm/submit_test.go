package farm_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

func TestSubmitAnswersWithJobs(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b, err := w.Submit(t.Context(), submission("0.1.0", arm64, amd64))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, j := range b.Jobs {
			got = append(got, j.Platform.String()+" "+string(j.State))
			if j.Reason == "" || j.BuildID != b.ID {
				t.Errorf("job %+v: no reason or wrong build", j)
			}
		}
		if diff := cmp.Diff([]string{"linux/amd64 resolving", "linux/arm64 resolving"}, got); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(b, w.build(b.ID)); diff != "" {
			t.Errorf("read back (-answered +read):\n%s", diff)
		}
	})
}

func TestSubmitTellsEveryFault(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		for name, test := range map[string]struct {
			change func(*farm.Submission)
			is     error
			says   []string
		}{
			"everything": {
				func(s *farm.Submission) {
					s.Repo, s.Platforms, s.Workdir, s.Ref = "", []module.Platform{arm64, {OS: "darwin", Arch: "arm64"}, arm64}, "../x", "-x"
					s.Module = module.ID{Namespace: "nobody", Name: "widget"}
				}, module.ErrInvalid, []string{
					"repo: missing", `platforms[1]: "darwin/arm64"`, `platforms[2]: "linux/arm64": named already as platforms[0]`,
					`workdir: "../x"`, `ref: "-x"`, `module_id: "nobody:widget": no such module; create it with`,
				},
			},
			"no platforms":    {func(s *farm.Submission) { s.Platforms = nil }, module.ErrInvalid, []string{"platforms: empty; name at least one"}},
			"no module":       {func(s *farm.Submission) { s.Module = module.ID{} }, module.ErrInvalid, []string{"module_id: missing"}},
			"unknown module":  {func(s *farm.Submission) { s.Module.Namespace = "nobody" }, module.ErrNotFound, []string{"create it with"}},
			"foreign module":  {func(s *farm.Submission) { s.Module.Namespace = "other" }, module.ErrForbidden, []string{"another organization"}},
			"ssh":             {func(s *farm.Submission) { s.Repo = "git@github.com:acme/widget" }, module.ErrInvalid, []string{"not an https address"}},
			"file":            {func(s *farm.Submission) { s.Repo = "file:///etc" }, module.ErrInvalid, []string{"not an https address"}},
			"password in URL": {func(s *farm.Submission) { s.Repo = "https://u:hunter2@h/x" }, module.ErrInvalid, []string{"holds credentials"}},
			"absolute folder": {func(s *farm.Submission) { s.Workdir = "/etc" }, module.ErrInvalid, []string{"workdir"}},
			"wildcard":        {func(s *farm.Submission) { s.Platforms = []module.Platform{{OS: "any", Arch: "any"}} }, module.ErrInvalid, []string{"not a platform that this farm builds; use linux/amd64"}},
		} {
			s := submission("0.1.0", amd64)
			test.change(&s)
			_, err := w.Submit(t.Context(), s)
			if !errors.Is(err, test.is) {
				t.Errorf("%s: error %v is not %v", name, err, test.is)
				continue
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %q does not say %q", name, err, text)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: a password is repeated: %v", name, err)
			}
		}
		if builds, err := w.Builds(t.Context(), farm.BuildFilter{}); err != nil || len(builds) != 0 {
			t.Errorf("builds after refused submissions: %v, %v", builds, err)
		}
	})
}

func TestSubmitAgain(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		submit := func(change func(*farm.Submission)) string {
			t.Helper()
			s := submission("0.1.0", amd64, arm64)
			if change != nil {
				change(&s)
			}
			b, err := w.Submit(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			return b.ID
		}
		first := submit(nil)
		if got := submit(nil); got != first {
			t.Error("while resolving: another id")
		}
		if err := w.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*farm.Submission){
			"same ref":            nil,
			"the commit itself":   func(s *farm.Submission) { s.Ref = commitA },
			"a branch on it":      func(s *farm.Submission) { s.Ref = "main" },
			"fewer platforms":     func(s *farm.Submission) { s.Platforms = s.Platforms[:1] },
			"by the organization": func(s *farm.Submission) { s.Module.Namespace = orgID },
			"workdir spelled out": func(s *farm.Submission) { s.Workdir = "./" },
		} {
			if got := submit(change); got != first {
				t.Errorf("%s: another id", name)
			}
		}
		w.source.set(func(s *source) { s.err = module.ErrUnavailable })
		if got := submit(nil); got != first {
			t.Error("repository does not answer: another id")
		}
		w.source.set(func(s *source) { s.err = nil })
		for name, change := range map[string]func(*farm.Submission){
			"more platforms": func(s *farm.Submission) { s.Platforms = append(s.Platforms, arm32v7) },
			"other version":  func(s *farm.Submission) { s.Version, _ = module.ParseVersion("0.1.1") },
			"other commit":   func(s *farm.Submission) { s.Ref = commitB },
			"other folder":   func(s *farm.Submission) { s.Workdir = "sub" },
			"no version":     func(s *farm.Submission) { s.Version = module.Version{} },
		} {
			if got := submit(change); got == first {
				t.Errorf("%s: the same id", name)
			}
		}
		if a, b := submit(func(s *farm.Submission) { s.Version = module.Version{} }), submit(func(s *farm.Submission) { s.Version = module.Version{} }); a == b {
			t.Error("two builds without a version have one id")
		}
	})
}

func TestSubmitAfterTheEnd(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		w.finish(w.claim("w1", amd64), farm.Outcome{Kind: farm.OutcomeFailed, Reason: "build.sh ended with 1"})
		again := w.submit(submission("0.1.0", amd64))
		if again.ID == b.ID {
			t.Fatal("after a failure: the same id")
		}
		a := w.claim("w1", amd64)
		w.stage(a, "d1")
		w.finish(a, farm.Outcome{Kind: farm.OutcomeDone})
		if done := w.submit(submission("0.1.0", amd64)); done.ID != again.ID {
			t.Error("after success: another id")
		}
	})
}

func TestSubmitAtOnce(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		ids := make([]string, 20)
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() {
				b, err := w.Submit(t.Context(), submission("0.1.0", amd64))
				if err != nil {
					t.Error(err)
				}
				ids[i] = b.ID
			})
		}
		all.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("equal requests became several builds: %q", ids)
			}
		}
	})
}
