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
	"html/template"
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
	return u.Scheme == "http" && (u.Hostname() == "localhost" || strings.HasPrefix(u.Hostname(), "127.") || u.Hostname() == "::1")
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

// manifest is what GitHub makes the App from. Source: GitHub's documentation of App manifests.
func (g *GitHub) manifest(s Setup) map[string]any {
	return map[string]any{
		"name": s.Name, "url": g.page("/"), "redirect_url": g.page(CallbackPath), "public": false,
		"hook_attributes":     map[string]any{"url": g.page(WebhookPath), "active": true},
		"default_permissions": map[string]string{"contents": "read", "checks": "write", "metadata": "read"},
		"default_events":      []string{"push", "create", "delete", "release", "repository", "check_run", "check_suite"},
	}
}

//nolint:gochecknoglobals // a template, read once and never changed
var pages = template.Must(template.New("").Parse(`{{define "page"}}<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:38em;margin:12vh auto;padding:0 1em}
button,a.b{font:inherit;padding:.5em 1em;border:0;border-radius:.4em;background:#1f6f43;color:#fff;text-decoration:none;cursor:pointer}
code{background:#eee;padding:.1em .3em}</style>
<h1>{{.Title}}</h1>{{range .Lines}}<p>{{.}}</p>{{end}}
{{if .Action}}<form method="post" action="{{.Action}}"><input type="hidden" name="manifest" value="{{.Manifest}}"><button>{{.Button}}</button></form>{{end}}
{{if .Link}}<p><a class="b" href="{{.Link}}">{{.Button}}</a></p>{{end}}</html>{{end}}`))

// pageData is what a page of the setup shows.
type pageData struct {
	Title                          string
	Lines                          []string
	Action, Manifest, Button, Link string
}

func (g *GitHub) show(w http.ResponseWriter, status int, d pageData) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer") // the address holds the state
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, "page", d); err != nil {
		g.Log.Warn("github setup page", "error", err)
	}
}

// ServeSetup shows the page with the button that leads to GitHub.
func (g *GitHub) ServeSetup(w http.ResponseWriter, r *http.Request) {
	g.setup()
	given := r.URL.Query().Get("state")
	state, err := g.readState(r.Context(), given)
	if err != nil {
		g.show(w, http.StatusBadRequest, pageData{Title: "The setup cannot go on", Lines: []string{err.Error()}})
		return
	}
	manifest, err := json.Marshal(g.manifest(state.Setup))
	if err != nil {
		g.show(w, http.StatusInternalServerError, pageData{Title: "The setup cannot go on", Lines: []string{err.Error()}})
		return
	}
	owner := ""
	if state.Account != "" {
		owner = "/organizations/" + state.Account
	}
	g.show(w, http.StatusOK, pageData{
		Title: "Make the GitHub App " + state.Name,
		Lines: []string{
			"GitHub asks you to confirm the name, and gives this farm the App's secrets. Nothing is installed yet.",
			"The App reads contents, writes checks, and is told of tags. It is asked for nothing else.",
		},
		Action: state.WebURL + owner + "/settings/apps/new?state=" + url.QueryEscape(given), Manifest: string(manifest), Button: "Go on at " + state.WebURL,
	})
}

// ServeCallback takes the code that GitHub sends the browser back with, and exchanges it for the App.
func (g *GitHub) ServeCallback(w http.ResponseWriter, r *http.Request) {
	g.setup()
	refuse := func(ctx context.Context, status int, err error) {
		g.Log.WarnContext(ctx, "github setup", "error", err)
		g.show(w, status, pageData{Title: "The setup cannot go on", Lines: []string{err.Error()}})
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
	g.show(w, http.StatusOK, pageData{
		Title: "The GitHub App " + app.Name + " is set up",
		Lines: []string{"Now install it on the account whose repositories hold your modules. Choose those repositories only."},
		Link:  app.PageURL + "/installations/new", Button: "Install it",
	})
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
	return app, g.SetApp(ctx, app, AppSecrets{
		PrivateKey: made.GetPEM(), WebhookSecrets: []string{made.GetWebhookSecret()}, ClientSecret: made.GetClientSecret(),
	})
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
