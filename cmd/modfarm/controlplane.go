package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/oidc"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store"
)

// controlConfig is what a control plane is made from; the flags fill it.
type controlConfig struct {
	data         string
	database     string // empty: SQLite in data
	blobs        string // empty: a folder in data
	listen       string
	publicURL    string
	oidcIssuers  []string
	tlsCert      string // empty: no TLS
	tlsKey       string
	bytes        byteFlags
	allowPrivate bool
	workerToken  string
	farmKey      account.FarmKey
	log          *slog.Logger
}

// controlPlane is everything of a farm but the workers, opened and listening.
type controlPlane struct {
	cfg       controlConfig
	store     *store.Store
	bell      bell
	accounts  *account.Accounts
	farm      *farm.Farm
	github    *github.GitHub
	releases  *registry.Registry
	handler   http.Handler
	listener  net.Listener
	publicURL string
	lock      io.Closer // of the data folder; nil for none
}

// openControlPlane opens the port, the database and the blobs, in the order in
// which mistakes are likely. b is the Redis that wakes workers; it is closed with
// the control plane, also when opening fails.
func openControlPlane(ctx context.Context, cfg controlConfig, b bell) (*controlPlane, error) {
	c := &controlPlane{cfg: cfg, bell: b}
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *controlPlane) open(ctx context.Context) (err error) {
	cfg := c.cfg
	if c.listener, err = listen(ctx, cfg); err != nil {
		return err
	}
	if c.publicURL, err = publicURL(cfg, c.listener); err != nil {
		return err
	}
	if cfg.database == "" {
		cfg.database = filepath.Join(cfg.data, "modfarm.db")
	}
	if c.store, err = store.Open(ctx, cfg.database); err != nil {
		return fmt.Errorf("--database: %w", err)
	}
	if cfg.blobs == "" {
		cfg.blobs = filepath.Join(cfg.data, "blobs")
	}
	if cfg.blobs, err = prepareFolder("blobs", cfg.blobs); err != nil {
		return err
	}
	blobs, err := registry.NewFolder(cfg.blobs)
	if err != nil {
		return fmt.Errorf("--blobs: %w", err)
	}
	c.accounts = &account.Accounts{Store: c.store, Secret: cfg.farmKey, Log: cfg.log}
	releases := &registry.Registry{Store: c.store, Blobs: blobs, Log: cfg.log}
	if err := cfg.bytes.set(releases); err != nil {
		return err
	}
	c.releases = releases
	c.farm = &farm.Farm{
		Store: c.store, Modules: modules{releases}, Source: newRepositories(cfg.allowPrivate),
		Uploads: releases, Publisher: releases, Sealer: cfg.farmKey.Sealer("checkout-token"), Bell: c.bell.Redis, Log: cfg.log,
	}
	c.github = &github.GitHub{
		Store: c.store, Builds: c.farm, Organizations: organizations{c.accounts}, Modules: modules{releases},
		Sealer: cfg.farmKey.Sealer("github-app"), PublicURL: c.publicURL, LogKey: cfg.farmKey.SubKey("github-links"), Log: cfg.log,
		Lead: c.store.Lead,
	}
	c.farm.Tokens = c.github
	workflows, err := newWorkflows(c.publicURL, cfg.oidcIssuers)
	if err != nil {
		return err
	}
	c.handler = api.New(api.Config{
		GitHub: c.github, Workflows: workflows,
		Farm: c.farm, Registry: releases, Accounts: c.accounts, Links: &farm.Links{Store: c.store}, WorkerToken: cfg.workerToken,
		PublicURL: c.publicURL, Log: cfg.log, Version: version(),
	})
	return nil
}

// newWorkflows checks the identities of workflow runs; nil when "none" is to be trusted.
func newWorkflows(publicURL string, issuers []string) (*oidc.Verifier, error) {
	if slices.Contains(issuers, "none") {
		if len(issuers) > 1 {
			return nil, usageError{errors.New("--oidc-issuer none stands alone: leave the others out, or none")}
		}
		return nil, nil // nobody is trusted
	}
	v, err := oidc.New(publicURL, issuers)
	if err != nil {
		return nil, usageError{fmt.Errorf("--oidc-issuer: %w", err)}
	}
	return v, nil
}

// collectAt is how much the heap may grow before it is collected, in percent. The control plane keeps little and answers
// much: collecting less often costs some tens of MiB under load, and resolving is a fifth quicker (resolve-rate in
// docs/bench.md). GOGC in the environment wins.
const collectAt = 300

// Run serves and keeps builds going until ctx ends, then lets open requests
// finish for a short time.
func (c *controlPlane) Run(ctx context.Context) error {
	if _, chosen := os.LookupEnv("GOGC"); !chosen {
		debug.SetGCPercent(collectAt)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.farm.Run(ctx) })
	g.Go(func() error { return c.accounts.Run(ctx) })
	g.Go(func() error { return c.github.Run(ctx) })
	g.Go(func() error { return c.releases.Run(ctx) })
	g.Go(func() error { return c.serve(ctx) })
	return g.Wait()
}

const (
	// shutdownGrace is how long open requests may take to end: uploads, downloads and calls. It is less than the ten
	// seconds after which `docker stop` kills. Followers of logs are sent away at once.
	shutdownGrace = 8 * time.Second
	// lastWords is how long the rest has to hear that it should try again.
	lastWords = time.Second
)

func (c *controlPlane) serve(ctx context.Context) error {
	server := api.NewServer(c.handler, c.cfg.log)
	serving, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server.BaseContext = func(net.Listener) context.Context { return serving }
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(c.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", c.listener.Addr(), err)
	case <-ctx.Done():
	}
	for _, patience := range []time.Duration{shutdownGrace, lastWords} {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		err := server.Shutdown(grace)
		cancel()
		if err == nil {
			return nil
		}
		cut()
	}
	return server.Close()
}

// Close releases what openControlPlane opened.
func (c *controlPlane) Close() error {
	var faults []error
	if c.listener != nil {
		if err := c.listener.Close(); !errors.Is(err, net.ErrClosed) {
			faults = append(faults, err)
		}
	}
	faults = append(faults, c.bell.Close())
	if c.store != nil {
		faults = append(faults, c.store.Close())
	}
	if c.lock != nil {
		faults = append(faults, c.lock.Close())
	}
	return errors.Join(faults...)
}
