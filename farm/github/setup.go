package github

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	gh "github.com/google/go-github/v60/github"

	"github.com/modfarm/modfarm/module"
)

// Where people's browsers come during the setup.
const (
	SetupPath    = "/github/setup"
	CallbackPath = "/github/callback"
	// WebhookPath is where GitHub sends deliveries.
	WebhookPath = "/webhooks/github"
)

// setupTime is how long a setup may take from the command to the button; GitHub's code is good for an hour, too.
const setupTime = time.Hour

// Setup says how the App is to be made.
type Setup struct {
	// Name is the App's, unique at GitHub.
	Name string
	// Account is the GitHub organization that owns it; empty for the user who presses the button.
	Account string
	// WebURL is GitHub; empty for https://github.com.
	WebURL string
}

// setupState travels through the browser and GitHub, signed.
type setupState struct {
	Setup

	Nonce   string
	Begun   time.Time
	Expires time.Time
}

var accountRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,38}$`)

// BeginSetup returns the page of the farm where the setup goes on in a browser. It may be given to nobody else: who
// has it decides which App this farm obeys.
func (g *GitHub) BeginSetup(_ context.Context, ask Setup) (page string, err error) {
	g.setup()
	if ask.WebURL == "" {
		ask.WebURL = "https://github.com"
	}
	ask.WebURL = strings.TrimSuffix(ask.WebURL, "/")
	var faults module.Faults
	const longest = 34 // Source: GitHub's form for Apps
	if n := len(strings.TrimSpace(ask.Name)); n == 0 || n > longest {
		faults = append(faults, module.Fault{Path: "name", Value: ask.Name, Problem: "not the name of an App", Advice: fmt.Sprintf("give one of at most %d characters that is unique at GitHub", longest)})
	}
	if ask.Account != "" && !accountRule.MatchString(ask.Account) {
		faults = append(faults, module.Fault{Path: "account", Value: ask.Account, Problem: "not the name of a GitHub organization", Advice: "give it as in its address, such as acme"})
	}
	if u, err := url.Parse(ask.WebURL); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u) {
		faults = append(faults, module.Fault{Path: "github_url", Value: ask.WebURL, Problem: "not the address of a GitHub", Advice: "give it as https://github.example.com"})
	}
	if err := faults.Err(); err != nil {
		return "", err
	}
	now := g.now()
	state, err := json.Marshal(setupState{Setup: ask, Nonce: rand.Text(), Begun: now, Expires: now.Add(setupTime)})
	if err != nil {
		return "", fmt.Errorf("the setup's state: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(state)
	return g.page(SetupPath) + "?state=" + text + "." + g.setupSignature(text), nil
}

func loopback(u *url.URL) bool {
	return u.Scheme == "http" && loopbackName(u.Hostname())
}

func loopbackName(host string) bool {
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}

func (g *GitHub) page(path string) string { return strings.TrimSuffix(g.PublicURL, "/") + path }

func (g *GitHub) setupSignature(text string) string {
	mac := hmac.New(sha256.New, g.LogKey)
	_, _ = mac.Write([]byte("github setup " + text)) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// readState checks the state that a browser brings. One that was begun before the App was made is used up.
func (g *GitHub) readState(ctx context.Context, given string) (setupState, error) {
	var state setupState
	text, signature, _ := strings.Cut(given, ".")
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !hmac.Equal([]byte(signature), []byte(g.setupSignature(text))) || json.Unmarshal(plain, &state) != nil {
		return state, errors.New("this link is not from this farm; run 'modfarm github setup' again")
	}
	if g.now().After(state.Expires) {
		return state, errors.New("this link is older than an hour; run 'modfarm github setup' again")
	}
	app, err := g.App(ctx)
	if err == nil && !app.CreatedAt.Before(state.Begun) {
		return state, errors.New("this link was used; the App is set up")
	}
	if err != nil && !errors.Is(err, module.ErrNotFound) {
		return state, err
	}
	return state, nil
}

// appManifest is what GitHub makes the App from. Source: GitHub's documentation of App manifests.
type appManifest struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	RedirectURL string `json:"redirect_url"`
	Public      bool   `json:"public"`
	// Hook is nil for an App without a webhook; GitHub takes no hook without an address, active or not.
	Hook        *manifestHook     `json:"hook_attributes,omitempty"`
	Permissions map[string]string `json:"default_permissions"`
	Events      []string          `json:"default_events,omitempty"`
}

type manifestHook struct {
	URL    string `json:"url"`
	Active bool   `json:"active"`
}

func (g *GitHub) manifest(s Setup) appManifest {
	m := appManifest{
		Name: s.Name, URL: g.page("/"), RedirectURL: g.page(CallbackPath),
		Permissions: map[string]string{"contents": "read", "checks": "write", "metadata": "read"},
	}
	if g.reachableFrom(s.WebURL) {
		m.Hook = &manifestHook{URL: g.page(WebhookPath), Active: true}
		m.Events = []string{"push", "create", "delete", "release", "repository", "check_run", "check_suite"}
	}
	return m
}

// reachableFrom is false when the farm's address means another machine at GitHub: GitHub would not make an App with
// such a webhook.
func (g *GitHub) reachableFrom(web string) bool {
	farm, err := url.Parse(g.PublicURL)
	there, werr := url.Parse(web)
	return err != nil || werr != nil || !loopbackName(farm.Hostname()) || loopbackName(there.Hostname())
}

// ServeSetup shows the page with the button that leads to GitHub.
func (g *GitHub) ServeSetup(w http.ResponseWriter, r *http.Request) {
	g.setup()
	given := r.URL.Query().Get("state")
	state, err := g.readState(r.Context(), given)
	if err != nil {
		g.show(w, http.StatusBadRequest, stopped(err))
		return
	}
	asked := g.manifest(state.Setup)
	manifest, err := json.Marshal(asked)
	if err != nil {
		g.show(w, http.StatusInternalServerError, stopped(err))
		return
	}
	owner := ""
	if state.Account != "" {
		owner = "/organizations/" + state.Account
	}
	page := beginPage(state.Setup, asked)
	page.Action, page.Manifest = state.WebURL+owner+"/settings/apps/new?state="+url.QueryEscape(given), string(manifest)
	g.show(w, http.StatusOK, page)
}

// ServeCallback takes the code that GitHub sends the browser back with, and exchanges it for the App.
func (g *GitHub) ServeCallback(w http.ResponseWriter, r *http.Request) {
	g.setup()
	refuse := func(ctx context.Context, status int, err error) {
		g.Log.WarnContext(ctx, "github setup", "error", err)
		g.show(w, status, stopped(err))
	}
	state, err := g.readState(r.Context(), r.URL.Query().Get("state"))
	if err != nil {
		refuse(r.Context(), http.StatusBadRequest, err)
		return
	}
	app, err := g.convert(r.Context(), state, r.URL.Query().Get("code"))
	if err != nil {
		refuse(r.Context(), http.StatusBadGateway, err)
		return
	}
	g.show(w, http.StatusOK, donePage(app))
}

// convert exchanges the code for the App's secrets, which works once.
func (g *GitHub) convert(ctx context.Context, s setupState, code string) (App, error) {
	if code == "" {
		return App{}, errors.New("GitHub sent no code: was the App made? Run 'modfarm github setup' again")
	}
	api := APIURL(s.WebURL)
	client, err := newClient(g.HTTP, api)
	if err != nil {
		return App{}, err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	made, _, err := client.Apps.CompleteAppManifest(call, url.PathEscape(code))
	if err != nil {
		return App{}, explain(err, "take the App over from GitHub; run 'modfarm github setup' again")
	}
	app := App{
		ID: made.GetID(), Slug: made.GetSlug(), Name: made.GetName(), PageURL: made.GetHTMLURL(), WebURL: s.WebURL, APIURL: api, CreatedAt: g.now(),
	}
	secrets := AppSecrets{PrivateKey: made.GetPEM(), ClientSecret: made.GetClientSecret()}
	if secret := made.GetWebhookSecret(); secret != "" { // without a webhook there is none, and none would be easy to sign with
		secrets.WebhookSecrets = []string{secret}
	}
	return app, g.SetApp(ctx, app, secrets)
}

// APIURL is the base of the REST API of the GitHub at an address. Source: GitHub's documentation of the REST API and of
// GitHub Enterprise Server.
func APIURL(web string) string {
	web = strings.TrimSuffix(web, "/")
	if web == "https://github.com" {
		return "https://api.github.com/"
	}
	return web + "/api/v3/"
}

// Verify asks GitHub whether the App's key is right, and what it may do.
func (g *GitHub) Verify(ctx context.Context) error {
	a, err := g.current(ctx)
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, _, err := a.api.Apps.Get(call, "")
	if err != nil {
		return explain(err, "ask GitHub for the App")
	}
	return missingPermissions(found.GetPermissions())
}

func missingPermissions(have *gh.InstallationPermissions) error {
	var missing []string
	if c := have.GetContents(); c != "read" && c != "write" {
		missing = append(missing, "contents: read")
	}
	if have.GetChecks() != "write" {
		missing = append(missing, "checks: write")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the App lacks permissions: %s; add them on its page at GitHub", module.ErrForbidden, strings.Join(missing, ", "))
}
