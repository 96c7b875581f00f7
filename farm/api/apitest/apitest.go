// Package apitest runs a whole control plane for tests: the API on a port of this machine, over a
// database and a folder of the test's own. It owns nothing else, and only the repositories are not
// real: Source says what they hold.
package apitest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/oidc"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store"
	"github.com/modfarm/modfarm/module"
)

// WorkerToken is what workers of a started Farm prove themselves with.
const WorkerToken = "worker-token-of-the-test"

// Farm is a control plane that runs until its test ends.
type Farm struct {
	// URL is where it listens, without a path; Addr is its host and port.
	URL, Addr string
	// Org owns the modules; KeyID and Key are its owner's.
	Org        account.Org
	KeyID, Key string

	Handler  http.Handler
	Farm     *farm.Farm
	Registry *registry.Registry
	Accounts *account.Accounts
	// GitHub has no App and does not run.
	GitHub *github.GitHub
	Links  *farm.Links
	// Workflows checks the identities of workflow runs; nil without issuers.
	Workflows *oidc.Verifier
	Source    *Source
	// Log is everything that was logged, at debug level.
	Log *Log

	options Options
	secret  account.FarmKey
	db      *store.Store
	blobs   string // the folder of the bytes
	stop    func() // ends the server and what runs beside it
}

// Audience is who the identities of workflow runs must be made for.
const Audience = "https://farm.example.com"

// Options say how a farm differs from the usual one.
type Options struct {
	// Database is the store's; empty is SQLite.
	Database string
	// Bell is its Redis; nil for none.
	Bell farm.Bell
	// Issuers are whose workflow runs are given keys; none are by default.
	Issuers []string
}

// Start runs a farm whose organization has the namespace "acme".
func Start(tb testing.TB) *Farm {
	tb.Helper()
	return StartWith(tb, Options{})
}

// StartWith is Start with options.
func StartWith(tb testing.TB, o Options) *Farm {
	tb.Helper()
	dir := tb.TempDir()
	if o.Database == "" {
		o.Database = filepath.Join(dir, "farm.db")
	}
	f := &Farm{Source: &Source{}, Log: &Log{}, options: o, secret: account.NewFarmKey(), blobs: filepath.Join(dir, "blobs")}
	f.assemble(tb)
	var key bool
	var err error
	f.Org, f.KeyID, f.Key, key, err = f.Accounts.Bootstrap(tb.Context(), "Acme", "acme")
	must(tb, err)
	if !key {
		tb.Fatal("the database of the farm is not a new one")
	}
	f.serve(tb, "127.0.0.1:0")
	tb.Cleanup(func() {
		f.stop()
		f.CloseStore(tb)
	})
	return f
}

// Restart ends the farm in the middle of whatever it does, as a crash would, and starts it again on its port, with what
// is in its database.
func (f *Farm) Restart(tb testing.TB) {
	tb.Helper()
	f.stop()
	f.CloseStore(tb)
	f.assemble(tb)
	f.serve(tb, f.Addr)
}

func (f *Farm) serve(tb testing.TB, addr string) {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", addr)
	must(tb, err)
	f.Addr = l.Addr().String()
	f.URL = "http://" + f.Addr
	server := api.NewServer(f.Handler, nil)
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("serve: %v", err)
		}
	})
	running.Go(func() {
		if err := f.Farm.Run(ctx); err != nil {
			tb.Errorf("run the farm: %v", err)
		}
	})
	running.Go(func() {
		if err := f.Accounts.Run(ctx); err != nil {
			tb.Errorf("run the accounts: %v", err)
		}
	})
	f.stop = func() {
		_ = server.Close() // its connections are the test's own
		cancel()
		running.Wait()
	}
}

func (f *Farm) assemble(tb testing.TB) {
	tb.Helper()
	db, err := store.Open(tb.Context(), f.options.Database)
	must(tb, err)
	f.db = db
	blobs, err := registry.NewFolder(f.blobs)
	must(tb, err)
	log := slog.New(slog.NewJSONHandler(f.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	secret := f.secret
	f.Accounts = &account.Accounts{Store: db, Secret: secret}
	f.Registry = &registry.Registry{Store: db, Blobs: blobs, Log: log}
	f.Farm = &farm.Farm{
		Store: db, Modules: modules{f.Registry}, Source: f.Source, Uploads: f.Registry, Publisher: f.Registry,
		Sealer: secret.Sealer("checkout-token"), Log: log, Bell: f.options.Bell,
	}
	f.Links = &farm.Links{Store: db}
	f.GitHub = &github.GitHub{
		Store: db, Builds: f.Farm, Organizations: organizations{f.Accounts}, Modules: modules{f.Registry},
		Sealer: secret.Sealer("github-app"), PublicURL: "http://farm.example.com", LogKey: secret.SubKey("github-links"), Log: log,
	}
	f.Workflows, err = oidc.New(Audience, f.options.Issuers)
	must(tb, err)
	f.Handler = api.New(api.Config{
		GitHub: f.GitHub, Workflows: f.Workflows, Farm: f.Farm, Registry: f.Registry, Accounts: f.Accounts, Links: f.Links, WorkerToken: WorkerToken, Log: log, Version: "test",
	})
}

// CloseStore takes the database away from under the farm.
func (f *Farm) CloseStore(tb testing.TB) {
	tb.Helper()
	must(tb, f.db.Close())
}

// NoBytes fails the test while bytes of any upload are left.
func (f *Farm) NoBytes(tb testing.TB) {
	tb.Helper()
	Eventually(tb, "no bytes are left", func() bool {
		left := 0
		err := filepath.WalkDir(f.blobs, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				left++
			}
			return nil // what is removed meanwhile is not left
		})
		return err == nil && left == 0
	})
}

// AddOrg makes another organization and returns it with a key of the role.
func (f *Farm) AddOrg(tb testing.TB, name, namespace string, role account.Role) (org account.Org, keyID, key string) {
	tb.Helper()
	made, err := f.Accounts.CreateOrg(tb.Context(), name, namespace)
	must(tb, err)
	keyID, key = f.AddKey(tb, made.Org.ID, role)
	return made.Org, keyID, key
}

// AddKey makes a key.
func (f *Farm) AddKey(tb testing.TB, orgID string, role account.Role) (keyID, key string) {
	tb.Helper()
	k, secret, err := f.Accounts.CreateKey(tb.Context(), orgID, account.KeySpec{Role: role})
	must(tb, err)
	return k.ID, secret
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// organizations tells GitHub's side which organizations there are.
type organizations struct{ a *account.Accounts }

// OrgIDs implements github.Organizations.
func (o organizations) OrgIDs(ctx context.Context) (ids []string, err error) {
	list, err := o.a.Orgs(ctx)
	for _, org := range list {
		ids = append(ids, org.ID)
	}
	return ids, err
}

// modules tells the farm which modules the registry has.
type modules struct{ r *registry.Registry }

// Lookup implements farm.Modules.
func (m modules) Lookup(ctx context.Context, id module.ID) (module.ID, string, error) {
	found, err := m.r.Module(ctx, registry.ForFarm(), id)
	return found.ID(), found.OrgID, err
}

// Log collects log lines.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds lines.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// String is all lines so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Eventually waits until ok, looking often; what says what is waited for.
func Eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			tb.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}
