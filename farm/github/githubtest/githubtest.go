// Package githubtest is a GitHub on loopback for tests: the part of the REST API that a GitHub App, its webhook and a
// workflow use, smart-HTTP git over the same repositories, and an issuer of workflow identities. Signatures, tokens,
// permissions and pages are really checked; what goes wrong at GitHub is switched on with Fail, Lose and Double.
// It keeps everything in memory but the repositories, and it is never part of the product.
package githubtest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/module/source/gittest"
)

// App is a GitHub App as its owner knows it.
type App struct {
	ID            int64
	Slug          string
	Name          string
	ClientID      string
	ClientSecret  string
	WebhookSecret string
	// PrivateKey is in PEM.
	PrivateKey string
}

// Server is a running GitHub with one App.
type Server struct {
	// URL is the server's address, without a slash at the end: both "https://github.com" and, with /api/v3 behind it,
	// the API, as in GitHub Enterprise.
	URL string
	// App is the App that is registered from the start.
	App App

	tb   testing.TB
	root string // of bare repositories, as owner/name.git
	git  http.Handler
	key  *rsa.PrivateKey // the App's

	mu            sync.Mutex
	oidc          *rsa.PrivateKey // the issuer's
	rotations     int             // of it
	nextID        int64
	hookURL       string
	repos         map[string]*Repo // by lower-case owner/name
	installations map[int64]*installation
	tokens        map[string]*installationToken
	deliveries    []*delivery
	checks        map[int64]*CheckRun
	faults        []*fault
	lose, double  int
	limit         int // requests left; negative for no limit
	manifests     map[string]manifest
	requests      []string
	sending       sync.WaitGroup
}

// Start runs a GitHub until the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{
		tb: tb, root: tb.TempDir(), key: newKey(tb), oidc: newKey(tb), nextID: 1000, limit: -1,
		repos: map[string]*Repo{}, installations: map[int64]*installation{}, tokens: map[string]*installationToken{},
		checks: map[int64]*CheckRun{}, manifests: map[string]manifest{},
	}
	s.App = App{
		ID: 4711, Slug: "modfarm-test", Name: "Modfarm Test", ClientID: "Iv1.test", ClientSecret: rand.Text(),
		WebhookSecret: rand.Text(), PrivateKey: inPEM(s.key),
	}
	git, err := gittest.Handler(s.root)
	if err != nil {
		tb.Fatal(err)
	}
	s.git = git
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	web := &httptest.Server{Listener: listener, Config: &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}}
	web.Start()
	s.URL = web.URL
	tb.Cleanup(func() {
		s.sending.Wait()
		web.Close()
	})
	return s
}

// APIURL is the base of the REST API.
func (s *Server) APIURL() string { return s.URL + "/api/v3/" }

func newKey(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func inPEM(key *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func (s *Server) handler() http.Handler {
	api := http.NewServeMux()
	s.appRoutes(api)
	s.repositoryRoutes(api)
	s.checkRoutes(api)
	s.deliveryRoutes(api)
	api.HandleFunc("POST /app-manifests/{code}/conversions", s.convertManifest)
	api.HandleFunc("GET /rate_limit", s.rateLimit)

	mux := http.NewServeMux()
	mux.Handle("/api/v3/", s.faulty(http.StripPrefix("/api/v3", api)))
	mux.HandleFunc("GET /settings/apps/new", s.newAppPage)
	mux.HandleFunc("POST /settings/apps/new", s.newApp)
	mux.HandleFunc("POST /organizations/{account}/settings/apps/new", s.newApp)
	mux.Handle("GET /_oidc/.well-known/openid-configuration", s.faulty(http.HandlerFunc(s.oidcConfiguration)))
	mux.Handle("GET /_oidc/.well-known/jwks", s.faulty(http.HandlerFunc(s.jwks)))
	mux.HandleFunc("GET /_oidc/token", s.idTokenEndpoint)
	mux.Handle("/", s.faulty(http.HandlerFunc(s.serveGit)))
	return mux
}

// Requests lists what was asked of the API and of git so far, as "METHOD /path".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// id is a new number, as all of GitHub's ids are.
func (s *Server) id() int64 {
	s.nextID++
	return s.nextID
}

// problem answers as GitHub does.
func problem(w http.ResponseWriter, status int, format string, args ...any) {
	answer(w, status, map[string]any{"message": fmt.Sprintf(format, args...), "documentation_url": "https://docs.github.com/rest"})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller has gone
}

// repoKey is how repositories are found: GitHub's names have no case.
func repoKey(owner, name string) string { return strings.ToLower(owner + "/" + name) }

// gitTime bounds what is asked of git for one request.
const gitTime = 30 * time.Second

func (s *Server) gitIn(dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), gitTime)
	defer cancel()
	return gittest.Git(ctx, dir, args...)
}
