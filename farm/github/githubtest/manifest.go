package githubtest

import (
	"crypto/rand"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// manifest is an App that somebody is about to register.
type manifest struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	RedirectURL string `json:"redirect_url"`
	Hook        *struct {
		URL    string `json:"url"`
		Active *bool  `json:"active"`
	} `json:"hook_attributes"`
	Permissions map[string]string `json:"default_permissions"`
	Events      []string          `json:"default_events"`
	Public      bool              `json:"public"`
}

func splitFullName(full string) (owner, name string) {
	owner, name, _ = strings.Cut(full, "/")
	return owner, name
}

//nolint:gochecknoglobals // a template, read once and never changed
var appPage = template.Must(template.New("app").Parse(`<!doctype html><title>Register new GitHub App</title>
<h1>Register new GitHub App</h1><p>A form with a manifest leads here.</p><p>state: {{.}}</p>`))

func (s *Server) newAppPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = appPage.Execute(w, r.URL.Query().Get("state")) // the caller has gone
}

// newApp is what GitHub does after the owner has pressed the button: it sends the browser back with a code.
func (s *Server) newApp(w http.ResponseWriter, r *http.Request) {
	var m manifest
	if err := json.Unmarshal([]byte(r.FormValue("manifest")), &m); err != nil || m.RedirectURL == "" || m.URL == "" || m.Hook != nil && m.Hook.URL == "" {
		http.Error(w, "the manifest is not valid", http.StatusUnprocessableEntity)
		return
	}
	code := rand.Text()
	s.mu.Lock()
	s.manifests[code] = m
	s.mu.Unlock()
	back, err := url.Parse(m.RedirectURL)
	if err != nil {
		http.Error(w, "redirect_url is not valid", http.StatusUnprocessableEntity)
		return
	}
	query := back.Query()
	query.Set("code", code)
	query.Set("state", r.URL.Query().Get("state"))
	back.RawQuery = query.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// convertManifest gives the App's secrets away, once for each code. The App is from now on the one of the manifest.
func (s *Server) convertManifest(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.manifests[r.PathValue("code")]
	delete(s.manifests, r.PathValue("code"))
	if !ok {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	s.App.ID = s.id()
	s.App.Name, s.App.Slug = m.Name, strings.ToLower(strings.ReplaceAll(m.Name, " ", "-"))
	s.App.WebhookSecret, s.hookURL = "", ""
	if m.Hook != nil {
		s.App.WebhookSecret, s.hookURL = rand.Text(), m.Hook.URL
	}
	answer(w, http.StatusCreated, map[string]any{
		"id": s.App.ID, "slug": s.App.Slug, "name": m.Name, "client_id": s.App.ClientID, "client_secret": s.App.ClientSecret,
		"webhook_secret": optional(s.App.WebhookSecret), "pem": s.App.PrivateKey, "html_url": s.URL + "/apps/" + s.App.Slug,
		"owner": map[string]any{"login": "acme"}, "permissions": m.Permissions, "events": m.Events,
	})
}

// optional is null for nothing.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
