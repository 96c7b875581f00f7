package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/github/githubtest"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

// workflows is a farm that trusts a GitHub, and the repository acme/widget there, which is linked with acme:widget.
type workflows struct {
	*apitest.Farm
	hub  *githubtest.Server
	repo *githubtest.Repo
	sha  string
}

func startWorkflows(t *testing.T, database string) *workflows {
	t.Helper()
	hub := githubtest.Start(t)
	w := &workflows{hub: hub, Farm: apitest.StartWith(t, apitest.Options{Database: database, Issuers: []string{hub.Issuer()}})}
	for _, name := range []string{"widget", "gadget"} {
		if _, err := w.Registry.CreateModule(t.Context(), w.Org.ID, name); err != nil {
			t.Fatal(err)
		}
	}
	w.repo = hub.NewRepo("acme", "widget", false)
	w.sha = strings.TrimSpace(w.repo.Commit(map[string]string{"meta.json": widgetMeta}))
	w.repo.Tag(false, "v1.2.3")
	w.Source.Push(w.repo.CloneURL(), "refs/tags/v1.2.3", w.sha, widgetMeta)
	w.link(t, "widget")
	return w
}

const widgetMeta = `{"module_id": "acme:widget", "visibility": "private", "url": "", "description": "a widget", "models": [],
	"entrypoint": "run.sh", "build": {"build": "make", "path": "dist/archive.tar.gz", "arch": ["linux/amd64"]}}`

// address is the repository's, as it is compared.
func (w *workflows) address() string { return strings.TrimSuffix(w.repo.CloneURL(), ".git") }

func (w *workflows) owner(t *testing.T) *client.Client {
	t.Helper()
	return w.client(t, client.Config{KeyID: w.KeyID, Key: w.Key})
}

func (w *workflows) client(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	cfg.URL = w.URL
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *workflows) link(t *testing.T, name string) {
	t.Helper()
	if _, err := w.owner(t).LinkRepository(t.Context(), module.ID{Namespace: "acme", Name: name}, w.address(), false); err != nil {
		t.Fatal(err)
	}
}

// token is the identity of a run of the repository.
func (w *workflows) token(ref string, claims map[string]any) string {
	return w.hub.IDToken(w.repo, ref, apitest.Audience, claims)
}

func (w *workflows) exchange(ctx context.Context, t *testing.T, token string) (client.WorkflowKey, error) {
	t.Helper()
	return w.client(t, client.Config{}).ExchangeIDToken(ctx, token, "")
}

// run is a client with the key of a run of a ref.
func (w *workflows) run(t *testing.T, ref string) *client.Client {
	t.Helper()
	key, err := w.exchange(t.Context(), t, w.token(ref, nil))
	if err != nil {
		t.Fatal(err)
	}
	return w.client(t, client.Config{KeyID: key.KeyID, Key: key.Secret})
}

func (w *workflows) request(version string) client.BuildRequest {
	v, _ := module.ParseTag(version) // empty is none
	return client.BuildRequest{
		Module: module.ID{Namespace: "acme", Name: "widget"}, Version: v, Repo: w.repo.CloneURL(), Platforms: []module.Platform{{OS: "linux", Arch: "amd64"}},
	}
}

// onBoth runs a test over both databases.
func onBoth(t *testing.T, test func(*testing.T, *workflows)) {
	t.Helper()
	servers, err := storetest.Start(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			test(t, startWorkflows(t, servers.DSN(t, dialect)))
		})
	}
}

// TestWorkflowKey is the whole road: a run proves itself, builds its tag, follows the build, and sees nothing else.
func TestWorkflowKey(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *workflows) {
		t.Helper()
		ctx := t.Context()
		key, err := w.exchange(ctx, t, w.token("refs/tags/v1.2.3", nil))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(key.Organization.Namespace, key.Modules, key.Repository, key.Ref, key.Commit, key.Version.String(), key.Lifetime.String())
		want := fmt.Sprint("acme", []string{"acme:widget"}, w.address(), "refs/tags/v1.2.3", w.sha, "1.2.3", "1h0m0s")
		if got != want {
			t.Errorf("the key is for %s, not %s", got, want)
		}
		c := w.client(t, client.Config{KeyID: key.KeyID, Key: key.Secret})
		id, err := c.StartBuild(ctx, w.request("v1.2.3"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Build(ctx, id)
		if err != nil || b.Commit != w.sha || b.Version.String() != "1.2.3" {
			t.Errorf("the build is %+v, %v", b, err)
		}
		if _, err := c.CancelBuild(ctx, id); err != nil {
			t.Errorf("cancel: %v", err)
		}
		if _, err := c.RetryBuild(ctx, id, module.Platform{}, ""); err != nil {
			t.Errorf("retry: %v", err)
		}
		keys, err := w.owner(t).Keys(ctx)
		if err != nil || len(keys) != 2 || keys[1].Workflow == nil || keys[1].Workflow.Ref != "refs/tags/v1.2.3" || keys[0].Workflow != nil {
			t.Errorf("keys: %+v, %v", keys, err)
		}
		if !strings.Contains(w.Log.String(), `"msg":"workflow run given a key","repository":"`+w.address()) {
			t.Error("the exchange is not in the log")
		}
		if strings.Contains(w.Log.String(), key.Secret) {
			t.Error("the secret is in the log")
		}
	})
}

// TestWrongIdentitiesAreNotedRarely: strangers do not fill the log, and what was left out is counted.
func TestWrongIdentitiesAreNotedRarely(t *testing.T) {
	t.Parallel()
	w := startWorkflows(t, "")
	const many = 50
	var all sync.WaitGroup
	for range many { // side by side, as the answers to wrong tokens are slow
		all.Go(func() { _, _ = w.exchange(t.Context(), t, "mfk_secret") })
	}
	all.Wait()
	if n := strings.Count(w.Log.String(), "workflow identity refused"); n < 1 || n >= many {
		t.Errorf("%d wrong tokens made %d lines", many, n)
	}
}

// TestWorkflowIsWhoItSays tries identities that are not what they have to be.
func TestWorkflowIsWhoItSays(t *testing.T) {
	t.Parallel()
	w := startWorkflows(t, "")
	fork := w.hub.NewRepo("mallory", "widget", false)
	fork.Commit(map[string]string{"meta.json": widgetMeta})
	const tag = "refs/tags/v1.2.3"
	for name, tt := range map[string]struct {
		token string
		kind  error
		says  string
	}{
		"nothing":               {"", module.ErrInvalid, "id_token: missing"},
		"no token":              {"mfk_secret", module.ErrUnauthorized, "three parts"},
		"another audience":      {w.hub.IDToken(w.repo, tag, "https://other.example.com", nil), module.ErrUnauthorized, `aud of the id token is "https://other.example.com"`},
		"a fork":                {w.hub.IDToken(fork, tag, apitest.Audience, nil), module.ErrForbidden, "modfarm module link"},
		"a pull request":        {w.token("refs/pull/1/merge", map[string]any{"event_name": "pull_request"}), module.ErrForbidden, "event_name"},
		"a target":              {w.token("refs/heads/main", map[string]any{"event_name": "pull_request_target"}), module.ErrForbidden, "event_name"},
		"a pull request's ref":  {w.token("refs/pull/1/head", nil), module.ErrForbidden, "claim ref"},
		"a tag without version": {w.token("refs/tags/nightly", nil), module.ErrForbidden, "claim ref"},
	} {
		_, err := w.exchange(t.Context(), t, tt.token)
		if !errors.Is(err, tt.kind) || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, line := range []string{
		`"msg":"workflow identity refused","from":"127.0.0.1:`, `the id token cannot be read, it has not the three parts`, `aud of the id token is \"https://other.example.com\"`,
	} {
		if !strings.Contains(w.Log.String(), line) {
			t.Errorf("the log does not say %s", line)
		}
	}
	if strings.Contains(w.Log.String(), "mfk_secret") {
		t.Error("what was sent for a token is in the log")
	}
	links, err := w.owner(t).RepositoryLinks(t.Context(), module.ID{})
	if err != nil || len(links) != 1 || links[0].RepositoryNumber != "" {
		t.Errorf("a refused run pinned a link: %+v, %v", links, err)
	}
}
