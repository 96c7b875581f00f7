package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gh "github.com/google/go-github/v60/github"

	"github.com/modfarm/modfarm/module"
)

// App is the GitHub App, as everybody may see it.
type App struct {
	ID   int64  `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
	// PageURL is its page at GitHub, where accounts install it.
	PageURL string `json:"page_url"`
	// WebURL is GitHub, as https://github.com; APIURL the base of its REST API, with a slash at the end.
	WebURL    string    `json:"web_url"`
	APIURL    string    `json:"api_url"`
	CreatedAt time.Time `json:"created_at"`
}

// AppSecrets are what the App proves itself with.
type AppSecrets struct {
	// PrivateKey is in PEM.
	PrivateKey string `json:"private_key"`
	// WebhookSecrets are all that deliveries may be signed with, the newest first: several while one is replaced.
	WebhookSecrets []string `json:"webhook_secrets"`
	ClientSecret   string   `json:"client_secret,omitempty"`
}

// errNoApp is what everything answers before the setup.
var errNoApp = fmt.Errorf("%w: no GitHub App is set up; run 'modfarm github setup'", module.ErrNotFound)

// appClient is the App, logged in.
type appClient struct {
	app     App
	secrets AppSecrets
	apps    *ghinstallation.AppsTransport
	api     *gh.Client
}

// SetApp stores an App, and logs in with it from now on. Wrong secrets are module.ErrInvalid.
func (g *GitHub) SetApp(ctx context.Context, app App, secrets AppSecrets) error {
	g.setup()
	if _, err := g.login(app, secrets); err != nil {
		return err
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return fmt.Errorf("the App's secrets: %w", err)
	}
	sealed, err := g.Sealer.Seal(plain)
	if err != nil {
		return fmt.Errorf("seal the App's secrets: %w", err)
	}
	if err := g.Store.SaveApp(ctx, SealedApp{Public: app, Secrets: sealed}); err != nil {
		return err
	}
	g.forget()
	for name := range g.wake { // the loops may wait for an App
		g.hurry(name)
	}
	g.Log.InfoContext(ctx, "github app set", "app", app.Slug, "id", app.ID)
	return nil
}

// AddWebhookSecret accepts a further secret for deliveries, before GitHub is given it; the oldest of more than three
// is dropped.
func (g *GitHub) AddWebhookSecret(ctx context.Context, secret string) error {
	a, err := g.current(ctx)
	if err != nil {
		return err
	}
	const most = 3
	secrets := a.secrets
	secrets.WebhookSecrets = slices.Insert(slices.Clone(secrets.WebhookSecrets), 0, secret)
	secrets.WebhookSecrets = secrets.WebhookSecrets[:min(most, len(secrets.WebhookSecrets))]
	return g.SetApp(ctx, a.app, secrets)
}

// App returns the App; module.ErrNotFound before the setup.
func (g *GitHub) App(ctx context.Context) (App, error) {
	a, err := g.current(ctx)
	if err != nil {
		return App{}, err
	}
	return a.app, nil
}

// forget drops what is logged in: secrets have changed.
func (g *GitHub) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.app = nil
	clear(g.clients)
	clear(g.tokens)
}

// current is the App, logged in. Another process of the farm may have set it up meanwhile, so that nothing is kept
// while there is none.
func (g *GitHub) current(ctx context.Context) (*appClient, error) {
	g.setup()
	g.mu.Lock()
	a := g.app
	g.mu.Unlock()
	if a != nil {
		return a, nil
	}
	stored, err := g.Store.App(ctx)
	if errors.Is(err, module.ErrNotFound) {
		return nil, errNoApp
	}
	if err != nil {
		return nil, err
	}
	plain, err := g.Sealer.Open(stored.Secrets)
	if err != nil {
		return nil, fmt.Errorf("open the App's secrets: %w", err)
	}
	var secrets AppSecrets
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return nil, fmt.Errorf("read the App's secrets: %w", err)
	}
	if a, err = g.login(stored.Public, secrets); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.app = a
	return a, nil
}

// login makes the App's client; nothing is sent.
func (g *GitHub) login(app App, secrets AppSecrets) (*appClient, error) {
	apps, err := ghinstallation.NewAppsTransport(g.transport(), app.ID, []byte(secrets.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("%w: the App's private key is not understood; give the PEM file that GitHub made", module.ErrInvalid)
	}
	apps.BaseURL = strings.TrimSuffix(app.APIURL, "/")
	a := &appClient{app: app, secrets: secrets, apps: apps}
	a.api, err = newClient(&http.Client{Transport: apps, Timeout: callTimeout}, app.APIURL)
	return a, err
}

func (g *GitHub) transport() http.RoundTripper {
	if g.HTTP.Transport != nil {
		return g.HTTP.Transport
	}
	return http.DefaultTransport
}

func newClient(c *http.Client, api string) (*gh.Client, error) {
	client := gh.NewClient(c)
	base, err := client.BaseURL.Parse(api)
	if err != nil || !strings.HasSuffix(api, "/") {
		return nil, fmt.Errorf("%w: the address of GitHub's API, %q, is not understood; it ends in a slash, as https://api.github.com/", module.ErrInvalid, api)
	}
	client.BaseURL = base
	client.UserAgent = "modfarm"
	return client, nil
}

// on is the client of an installation. Its token is renewed by itself, and good for what the checks and the ledger
// need, not for more.
func (g *GitHub) on(ctx context.Context, installation int64) (*gh.Client, error) {
	a, err := g.current(ctx)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.clients[installation]; c != nil {
		return c, nil
	}
	t := ghinstallation.NewFromAppsTransport(a.apps, installation)
	t.BaseURL = a.apps.BaseURL
	api, err := newClient(&http.Client{Transport: t, Timeout: callTimeout}, a.app.APIURL)
	if err != nil {
		return nil, err
	}
	g.clients[installation] = api
	return api, nil
}

// CheckoutToken mints a token that reads one repository, for a build of an organization: nobody else gets it, and
// GitHub forgets it after an hour. A repository that no installation of that organization covers is
// module.ErrNotFound.
func (g *GitHub) CheckoutToken(ctx context.Context, orgID, repo string) (string, error) {
	r, err := g.repositoryAt(ctx, orgID, repo)
	if err != nil {
		return "", err
	}
	a, err := g.current(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	token, _, err := a.api.Apps.CreateInstallationToken(ctx, r.InstallationID, &gh.InstallationTokenOptions{
		RepositoryIDs: []int64{r.ID}, Permissions: &gh.InstallationPermissions{Contents: new("read")},
	})
	if err == nil {
		g.remember(r, token)
		return token.GetToken(), nil
	}
	if err = explain(err, "mint a checkout token for "+r.FullName); final(err) {
		return "", err
	}
	// GitHub is away: builds that are known go on with what there is.
	last, ok := g.lastToken(r)
	if !ok && r.Private {
		return "", err
	}
	g.Log.WarnContext(ctx, "github away: no new checkout token", "repository", r.FullName, "another", ok, "error", err)
	return last, nil
}

// tokenReserve is how long a token must still be good for to be given to another job, while GitHub is away.
const tokenReserve = 10 * time.Minute

// remember keeps the newest token of a repository for the time when GitHub is away. It is nowhere but in memory.
func (g *GitHub) remember(r Repository, token *gh.InstallationToken) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, t := range g.tokens {
		if t.GetExpiresAt().Before(g.now()) {
			delete(g.tokens, id)
		}
	}
	g.tokens[r.ID] = token
}

func (g *GitHub) lastToken(r Repository) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.tokens[r.ID]
	if t == nil || t.GetExpiresAt().Before(g.now().Add(tokenReserve)) {
		return "", false
	}
	return t.GetToken(), true
}

// repositoryAt finds the repository of a clone URL among those of an organization.
func (g *GitHub) repositoryAt(ctx context.Context, orgID, repo string) (Repository, error) {
	a, err := g.current(ctx)
	if err != nil {
		return Repository{}, err
	}
	name, ours := strings.CutPrefix(repo, strings.TrimSuffix(a.app.WebURL, "/")+"/")
	missing := fmt.Errorf("%w: no installation of the GitHub App that belongs to the organization covers %s", module.ErrNotFound, repo)
	if !ours || orgID == "" {
		return Repository{}, missing
	}
	list, err := g.Store.Repositories(ctx, RepositoryFilter{FullName: strings.TrimSuffix(strings.TrimSuffix(name, "/"), ".git"), OrgID: orgID})
	if err != nil {
		return Repository{}, err
	}
	for _, r := range list {
		if !r.Removed {
			return r, nil
		}
	}
	return Repository{}, missing
}
