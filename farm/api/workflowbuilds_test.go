package api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// TestWorkflowBuilds holds what a run may start to its repository, ref, commit and version.
func TestWorkflowBuilds(t *testing.T) {
	t.Parallel()
	w := startWorkflows(t, "")
	ctx := t.Context()
	other := w.hub.NewRepo("acme", "gadget", false)
	other.Commit(map[string]string{"meta.json": widgetMeta})
	c := w.run(t, "refs/tags/v1.2.3")
	branch := w.run(t, "refs/heads/main")
	foreign, err := w.owner(t).StartBuild(ctx, client.BuildRequest{
		Module: module.ID{Namespace: "acme", Name: "widget"}, Repo: w.repo.CloneURL(), Ref: strings.Repeat("9", 40), Platforms: []module.Platform{{OS: "linux", Arch: "amd64"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	with := func(version string, change func(*client.BuildRequest)) client.BuildRequest {
		r := w.request(version)
		change(&r)
		return r
	}
	none := func(*client.BuildRequest) {}
	for name, tt := range map[string]struct {
		who     *client.Client
		request client.BuildRequest
		says    string
	}{
		"another repository": {c, with("v1.2.3", func(r *client.BuildRequest) { r.Repo = other.CloneURL() }), "repo: "},
		"another ref":        {c, with("v1.2.3", func(r *client.BuildRequest) { r.Ref = "main" }), `ref: "main"`},
		"another commit":     {c, with("v1.2.3", func(r *client.BuildRequest) { r.Ref = strings.Repeat("b", 40) }), "ref: "},
		"another version":    {c, with("v1.2.4", none), "publishes version 1.2.3 only"},
		"another module":     {c, with("v1.2.3", func(r *client.BuildRequest) { r.Module.Name = "gadget" }), "acme:widget only"},
		"a branch's version": {branch, with("v1.2.3", none), "a branch builds without a version"},
	} {
		_, err := tt.who.StartBuild(ctx, tt.request)
		if !errors.Is(err, module.ErrForbidden) || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, ref := range map[string]string{"none": "", "the full ref": "refs/tags/v1.2.3", "the tag": "v1.2.3", "the commit": w.sha} {
		id, err := c.StartBuild(ctx, with("v1.2.3", func(r *client.BuildRequest) { r.Ref = ref }))
		if err != nil {
			t.Errorf("with %s: %v", name, err)
			continue
		}
		if b, err := c.Build(ctx, id); err != nil || b.Commit != w.sha {
			t.Errorf("with %s: %+v, %v", name, b, err)
		}
		if _, err := branch.Build(ctx, id); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("the branch sees the tag's build: %v", err)
		}
	}
	dry, err := branch.StartBuild(ctx, w.request(""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := branch.Build(ctx, dry); err != nil {
		t.Errorf("the branch's own build: %v", err)
	}
	if err := branch.UpdateModule(ctx, &module.Manifest{ID: module.ID{Namespace: "acme", Name: "widget"}, Entrypoint: "run.sh"}, nil); !errors.Is(err, module.ErrForbidden) {
		t.Errorf("a branch updates the module: %v", err)
	}
	for name, call := range map[string]func() error{
		"read":   func() error { _, err := c.Build(ctx, foreign); return err },
		"cancel": func() error { _, err := c.CancelBuild(ctx, foreign); return err },
		"retry":  func() error { _, err := c.RetryBuild(ctx, foreign, module.Platform{}, ""); return err },
	} {
		if err := call(); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("%s the build of somebody else: %v", name, err)
		}
	}
	w.Source.Push(w.repo.CloneURL(), "refs/tags/v1.2.3", strings.Repeat("c", 40), widgetMeta)
	_, err = c.StartBuild(ctx, w.request("v1.2.3"))
	if !errors.Is(err, module.ErrConflict) || !strings.Contains(fmt.Sprint(err), "was moved") {
		t.Errorf("a tag that was moved: %v", err)
	}
}
