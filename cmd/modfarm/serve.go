package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/oidc"
	"github.com/modfarm/modfarm/farm/redis"
)

// controlFlags are the flags of every command that runs a control plane.
type controlFlags struct {
	data, database, blobs    string
	redis                    string
	listen, publicURL        string
	oidcIssuers              []string
	tlsCert, tlsKey          string
	org, namespace           string
	workerTokenFile          string
	allowPrivateRepositories bool
	bytes                    byteFlags
	log                      logFlags
}

func (f *controlFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.data, "data", defaultData(), "folder of everything that is not placed elsewhere: database, blobs, keys")
	flags.StringVar(&f.database, "database", "", "database: a file for SQLite, or postgres://… (default modfarm.db in --data)")
	flags.StringVar(&f.blobs, "blobs", "", "folder of the archives (default blobs in --data)")
	flags.StringVar(&f.redis, "redis", "", "redis://… that wakes the workers (default an embedded one)")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the one port: RPC, downloads, workers")
	flags.StringVar(&f.publicURL, "public-url", "", "how the world names this farm, as https://farm.example.com (default the address it listens on)")
	flags.StringSliceVar(&f.oidcIssuers, "oidc-issuer", []string{oidc.GitHub}, "whose workflow runs are given keys for their identity; https://HOST/_services/token for a GitHub Enterprise Server, or none")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "certificate with its chain (PEM): the port serves TLS, too; renewed files are noticed")
	flags.StringVar(&f.tlsKey, "tls-key", "", "key of --tls-cert (PEM)")
	flags.StringVar(&f.org, "org", "default", "name of the organization that the first start makes")
	flags.StringVar(&f.namespace, "namespace", "local", "its public namespace: what its module ids begin with")
	flags.StringVar(&f.workerTokenFile, "worker-token-file", "", "file with the secret that workers show (default worker.token in --data, made at the first start)")
	flags.BoolVar(&f.allowPrivateRepositories, "allow-private-repositories", false, "fetch repositories from private and link-local addresses, and over http")
	f.bytes.add(flags)
	f.log.add(flags)
}

// secrets are the farm's own secrets, read or made at the first start.
type secrets struct {
	farmKey     account.FarmKey
	workerToken string
}

func (f *controlFlags) secrets(lookup lookupFunc) (s secrets, err error) {
	if text, ok := lookup("MODFARM_FARM_KEY"); ok && text != "" {
		if s.farmKey, err = account.ParseFarmKey(text); err != nil {
			return s, fmt.Errorf("MODFARM_FARM_KEY: %w", err)
		}
	} else if s.farmKey, err = account.LoadFarmKey(filepath.Join(f.data, "farm.key")); err != nil {
		return s, err
	}
	if s.workerToken, _ = lookup("MODFARM_WORKER_TOKEN"); s.workerToken != "" {
		return s, nil
	}
	if f.workerTokenFile != "" {
		s.workerToken, err = readToken("worker-token-file", f.workerTokenFile)
		return s, err
	}
	s.workerToken, err = readOrMakeToken("worker-token-file", filepath.Join(f.data, "worker.token"))
	return s, err
}

// open prepares the folder, the secrets and Redis, and opens a control plane.
func (f *controlFlags) open(ctx context.Context, lookup lookupFunc, log *slog.Logger) (*controlPlane, error) {
	if err := account.CheckOrg(f.org, f.namespace); err != nil {
		return nil, usageError{fmt.Errorf("--org, --namespace: %w", err)}
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return nil, usageError{errors.New("--tls-cert and --tls-key belong together: give both, or neither")}
	}
	var err error
	if f.data, err = prepareFolder("data", f.data); err != nil {
		return nil, err
	}
	lock, err := lockFolder("data", f.data)
	if err != nil {
		return nil, err
	}
	c, err := f.openLocked(ctx, lookup, log)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	c.lock = lock
	return c, nil
}

func (f *controlFlags) openLocked(ctx context.Context, lookup lookupFunc, log *slog.Logger) (*controlPlane, error) {
	secrets, err := f.secrets(lookup)
	if err != nil {
		return nil, err
	}
	bell, err := f.openRedis(ctx)
	if err != nil {
		return nil, err
	}
	return openControlPlane(ctx, controlConfig{
		data: f.data, database: f.database, blobs: f.blobs, listen: f.listen, publicURL: f.publicURL, oidcIssuers: f.oidcIssuers,
		tlsCert: f.tlsCert, tlsKey: f.tlsKey, bytes: f.bytes, allowPrivate: f.allowPrivateRepositories, workerToken: secrets.workerToken, farmKey: secrets.farmKey, log: log,
	}, bell)
}

// bell is a Redis and what else has to be closed with it.
type bell struct {
	*redis.Redis
	embedded *redis.Embedded // nil for one that was named
}

// Close closes the connections, then the embedded server.
func (b bell) Close() error {
	err := b.Redis.Close()
	if b.embedded != nil {
		b.embedded.Close()
	}
	return err
}

// openRedis connects to the Redis that was named, or starts the embedded one.
func (f *controlFlags) openRedis(ctx context.Context) (b bell, err error) {
	url := f.redis
	if url == "" {
		if b.embedded, err = redis.StartEmbedded(ctx); err != nil {
			return b, fmt.Errorf("start the embedded Redis: %w", err)
		}
		url = b.embedded.URL()
	}
	if b.Redis, err = redis.Open(ctx, url); err != nil {
		if b.embedded != nil {
			b.embedded.Close()
		}
		return b, fmt.Errorf("--redis: %w", err)
	}
	return b, nil
}

func newServe(lookup lookupFunc) *cobra.Command {
	var f controlFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the control plane: API, registry and queue, without a worker",
		Long: `Run the control plane of a farm: the API, the registry and the queue.
Workers join with 'modfarm worker --farm URL --redis URL'; they show the token
of --worker-token-file (or of MODFARM_WORKER_TOKEN).

The farm key, under which secrets at rest are sealed, is farm.key in --data, or
MODFARM_FARM_KEY.`,
		Example: `  modfarm serve --data /srv/modfarm --redis redis://redis:6379 --listen :8080 --public-url https://farm.example.com`,
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.redis == "" {
				return usageError{errors.New("--redis is empty: workers on other machines need a Redis that they reach, as redis://host:6379; for everything in one process run 'modfarm up'")}
			}
			log, err := f.log.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c, err := f.open(cmd.Context(), lookup, log)
			if err != nil {
				return err
			}
			if err := f.welcome(cmd.Context(), cmd.OutOrStdout(), c); err != nil {
				return errors.Join(err, c.Close())
			}
			return errors.Join(c.Run(cmd.Context()), c.Close())
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().Lookup("redis").Usage = "redis://… that wakes the workers; needed, since they have to reach it, too"
	return cmd
}

// welcome makes the first organization and its key on the first start and says
// where the farm is.
func (f *controlFlags) welcome(ctx context.Context, out io.Writer, c *controlPlane) error {
	org, id, key, created, err := c.accounts.Bootstrap(ctx, f.org, f.namespace)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "modfarm %s: %s (namespace %q)\n", version(), c.publicURL, org.Namespace)
	if !created {
		if f.namespace != "local" && f.namespace != org.Namespace {
			fmt.Fprintf(out, "--namespace %s changes nothing: the farm in %s was made with %q\n", f.namespace, f.data, org.Namespace)
		}
		return nil
	}
	lines := fmt.Sprintf("MODFARM_URL=%s\nMODFARM_KEY_ID=%s\nMODFARM_KEY=%s\n", c.publicURL, id, key)
	if file, ok := out.(*os.File); ok && isTerminal(file) {
		fmt.Fprintf(out, "\nThe first API key, an owner's. It is shown once; keep it:\n\n%s\n", strings.ReplaceAll(lines, "MODFARM_", "export MODFARM_"))
		return nil
	}
	path := filepath.Join(f.data, "api-key.env")
	if err := writeSecret(path, "# The first API key of this farm, an owner's. Move it to where it is needed.\n"+lines); err != nil {
		return err
	}
	fmt.Fprintf(out, "the first API key is in %s; in a shell: set -a; . %s; set +a\n", path, path)
	return nil
}
