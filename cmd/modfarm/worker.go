package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/redis"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/images"
)

// workerFlags are the flags of every command that runs a worker.
type workerFlags struct {
	name      string
	slots     int
	platforms []string
	drain     time.Duration
	cacheSize string
	limits    limitFlags
	build     buildEnvFlags
	reach     reachFlags
	images    imageFlags
}

func (f *workerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.name, "name", "", "name of this worker, unique in its farm and on its container engine (default the machine's, with letters of the work folder's own)")
	flags.IntVar(&f.slots, "slots", max(1, runtime.NumCPU()), "builds at the same time")
	flags.StringSliceVar(&f.platforms, "platforms", nil, "take jobs of these platforms only (default all that this machine can build)")
	flags.DurationVar(&f.drain, "drain", 10*time.Second, "how long running builds may go on after Ctrl-C; those that do not end are given back")
	flags.StringVar(&f.cacheSize, "cache-size", "", "what the caches of this worker may take, as 50g; those used longest ago go first (default 20g, or a quarter of what the disk has free where that is less)")
	f.limits.add(flags)
	f.build.add(flags)
	f.reach.add(flags)
	f.images.add(flags)
}

// workerParts is what a worker needs of its surroundings.
type workerParts struct {
	farmURL, token string
	redis          *redis.Redis
	work           string
	allowPrivate   bool
	log            *slog.Logger
}

// worker is a prepared worker: its platforms are proved.
type worker struct {
	pool   *workers.Pool
	runner *docker.Runner
	lock   io.Closer
	caches int64 // bytes that its caches may take
	// release lets go of the leases of an earlier process, which the pool has taken over.
	release func()
}

// buildsAlone is how long builds go on while their worker is away: long enough for it to be started again, and no
// longer than that, since what it leaves behind may have gone to another worker.
const buildsAlone = 3 * time.Minute

// prepare reaches the container engine, proves the platforms and says which
// cannot run here.
func (f *workerFlags) prepare(ctx context.Context, lookup lookupFunc, p workerParts) (*worker, error) {
	only, limits, logs, err := f.parse()
	if err != nil {
		return nil, err
	}
	caches, err := units.RAMInBytes(cmp.Or(f.cacheSize, "0"))
	if err != nil || caches < 0 {
		return nil, usageError{fmt.Errorf("--cache-size %q: a size such as 20g is wanted", f.cacheSize)}
	}
	env, ca, err := f.build.values(lookup)
	if err != nil {
		return nil, err
	}
	reach, err := f.reach.parse()
	if err != nil {
		return nil, err
	}
	if p.work, err = prepareFolder("work", p.work); err != nil {
		return nil, err
	}
	lock, err := lockFolder("work", p.work)
	if err != nil {
		return nil, err
	}
	w, err := f.connect(ctx, only, docker.Options{
		WorkDir: p.work, Limits: limits, Slots: f.slots, Env: docker.BuildEnv{Vars: env, CABundle: ca}, Reach: reach, Log: p.log,
	}, p)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	w.lock, w.caches = lock, cmp.Or(caches, docker.CacheLimit(p.work))
	w.pool.Secrets = append(w.pool.Secrets, docker.BuildEnv{Vars: env}.Secrets()...)
	w.pool.LogLine, w.pool.LogTotal, w.pool.Timeouts = int(logs.line), logs.total, f.limits.timeouts
	return w, nil
}

// connect is prepare once the flags are read.
func (f *workerFlags) connect(ctx context.Context, only []module.Platform, options docker.Options, p workerParts) (*worker, error) {
	var err error
	if f.name == "" {
		if f.name, err = workerName(p.work); err != nil {
			return nil, err
		}
	}
	farm, err := client.New(client.Config{URL: p.farmURL, WorkerToken: p.token, UserAgent: "modfarm-worker/" + version()})
	if err != nil {
		return nil, err
	}
	held, release := context.WithCancel(ctx)
	go (&workers.Pool{Name: f.name, Farm: farm, WorkDir: p.work, Log: p.log}).Hold(held)
	w, err := f.connectEngine(ctx, only, options, farm, p)
	if err != nil {
		release()
		return nil, err
	}
	w.release = release
	return w, nil
}

// connectEngine reaches the engine and proves what it can do.
func (f *workerFlags) connectEngine(ctx context.Context, only []module.Platform, options docker.Options, farm *client.Client, p workerParts) (*worker, error) {
	engine, err := docker.Connect(ctx)
	if err != nil {
		return nil, err
	}
	maker, err := f.images.maker(imageEnv(options.Env.Vars, options.Env.CABundle), nil)
	if err != nil {
		return nil, err
	}
	options.Engine, options.Name, options.Images, options.Alone = engine, f.name, builders{maker, ctx, new(sync.Map)}, buildsAlone
	runner, err := docker.New(ctx, options)
	if err != nil {
		return nil, err
	}
	ability, err := runner.Prove(ctx)
	if err != nil {
		return nil, errors.Join(err, runner.Close(ctx))
	}
	for _, sentence := range ability.Missing {
		p.log.WarnContext(ctx, "a platform cannot run here", "why", sentence)
	}
	w := f.assemble(runner, ability, only, farm, p)
	w.pool.Secrets = append(w.pool.Secrets, options.Env.Secrets()...)
	return w, nil
}

// assemble makes the pool of a worker whose abilities are proved.
func (f *workerFlags) assemble(runner *docker.Runner, a docker.Ability, only []module.Platform, farm *client.Client, p workerParts) *worker {
	pool := &workers.Pool{
		Name: f.name, Farm: farm, Bell: p.redis.WithLog(p.log), Runner: runner, Host: runner.Host(), Memory: runner.Memory(), WorkDir: p.work, Slots: f.slots,
		Fetcher: &source.Git{Policy: source.Policy{AllowPrivate: p.allowPrivate}},
		Native:  among(a.Native, only), Cross: among(a.Cross, only), QEMU: among(a.QEMU, only),
		Secrets: []string{p.token}, Grace: cmp.Or(max(0, f.drain), -1), Log: p.log,
	}
	return &worker{pool: pool, runner: runner}
}

// among keeps the platforms that were asked for; all when none were.
func among(able, only []module.Platform) []module.Platform {
	if len(only) == 0 {
		return able
	}
	return slices.DeleteFunc(slices.Clone(able), func(p module.Platform) bool { return !slices.Contains(only, p) })
}

// Run builds until ctx ends and takes away what the worker made in the engine.
func (w *worker) Run(ctx context.Context) error {
	beside, end := context.WithCancel(ctx)
	tended := make(chan error, 1)
	go func() { tended <- w.runner.TendCaches(beside, w.caches) }()
	err := w.pool.Run(ctx)
	w.release()
	end()
	return errors.Join(err, <-tended, w.runner.Close(ctx), w.lock.Close())
}

// parse checks the flags; all mistakes at once.
func (f *workerFlags) parse() (only []module.Platform, limits docker.Limits, logs logLimits, err error) {
	var faults []error
	if f.slots < 1 {
		faults = append(faults, fmt.Errorf("--slots %d: at least 1", f.slots))
	}
	for _, name := range f.platforms {
		p, err := module.ParsePlatform(name)
		if err == nil && !p.Buildable() {
			err = fmt.Errorf("%q cannot be built by a worker", name)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("--platforms: %w", err))
		}
		only = append(only, p)
	}
	limits, logs, err = f.limits.parse()
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, limits, logs, usageError{err}
	}
	return only, limits, logs, nil
}

// builders makes images for the container runner.
type builders struct {
	maker *images.Maker
	// background ends what is made beside the builds.
	background context.Context //nolint:containedctx // of the worker, not of a call
	making     *sync.Map       // of run images, by name
}

// Run implements docker.Images. A run image that is absent is made beside the builds: no build waits for it.
func (b builders) Run(ctx context.Context, p module.Platform, distro string) (string, error) {
	recipe, err := images.Run(p, distro)
	if err != nil {
		return "", fmt.Errorf("%w: there is no small image of %s to try archives in", module.ErrNotFound, p)
	}
	image, ok, err := b.maker.Find(ctx, recipe)
	if ok || err != nil {
		return image.Ref, err
	}
	if _, known := b.making.LoadOrStore(recipe.Ref(), true); !known {
		go func() {
			_, _ = b.maker.Ensure(b.background, recipe) // the next build says that it is absent
			b.making.Delete(recipe.Ref())
		}()
	}
	return "", fmt.Errorf("%w: the small image of %s is only being made; `modfarm images make --kind run %s` waits for it", module.ErrNotFound, p, p)
}

// Builder implements docker.Images.
func (b builders) Builder(ctx context.Context, p module.Platform, distro string, say func(string)) (string, error) {
	recipe, err := images.Builder(p, distro)
	if err != nil {
		return "", err
	}
	image, err := b.maker.Telling(say).Ensure(ctx, recipe)
	return image.Ref, err
}

func newWorker(lookup lookupFunc) *cobra.Command {
	var f workerFlags
	var log logFlags
	var farmURL, redisURL, tokenFile, work string
	var allowPrivate bool
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run a worker: build what a farm hands out, in containers",
		Long: `Run a worker. It asks the farm for jobs, builds each in a container of the local
Docker engine and sends logs and archives back. It holds no key of the registry:
its token lets it ask for jobs, and each job's lease lets it send that job's bytes.

Ctrl-C or SIGTERM drains it: it takes no more jobs and lets those that run end within
--drain. What has not ended then, or at a second signal, is stopped and given back,
without counting as an attempt; its containers are removed. A third one ends at once.

The token is read from --token-file or MODFARM_WORKER_TOKEN.`,
		Example: `  modfarm worker --farm https://farm.example.com --redis redis://redis:6379 --token-file worker.token`,
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := workerToken(tokenFile, lookup)
			if err != nil {
				return err
			}
			if farmURL == "" || redisURL == "" {
				return usageError{errors.New("--farm and --redis are both needed: the farm's URL, and the Redis that the farm was started with")}
			}
			logger, err := log.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			bell, err := redis.Open(cmd.Context(), redisURL)
			if err != nil {
				return fmt.Errorf("--redis: %w", err)
			}
			defer bell.Close()
			w, err := f.prepare(cmd.Context(), lookup, workerParts{
				farmURL: farmURL, token: token, redis: bell, work: work, allowPrivate: allowPrivate, log: logger,
			})
			if err != nil {
				return err
			}
			hurry, quiet := secondSignal()
			defer quiet()
			w.pool.Hurry = hurry
			return w.Run(cmd.Context())
		},
	}
	cmd.AddCommand(newWorkerList(lookup), newWorkerDrain(lookup))
	f.add(cmd.Flags())
	log.add(cmd.Flags())
	cmd.Flags().StringVar(&farmURL, "farm", "", "URL of the farm")
	cmd.Flags().StringVar(&redisURL, "redis", "", "redis://… of the farm")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "file with the worker token of the farm (worker.token in its data folder)")
	cmd.Flags().StringVar(&work, "work", filepath.Join(defaultData(), "work"), "folder for checkouts; the Docker engine has to see it under the same path")
	cmd.Flags().BoolVar(&allowPrivate, "allow-private-repositories", false, "fetch repositories from private and link-local addresses, and over http")
	return cmd
}

func workerToken(file string, lookup lookupFunc) (string, error) {
	if file != "" {
		return readToken("token-file", file)
	}
	if token, ok := lookup("MODFARM_WORKER_TOKEN"); ok && token != "" {
		return token, nil
	}
	return "", usageError{errors.New("no worker token: copy worker.token of the farm's data folder here and name it with --token-file")}
}

// secondSignal is closed at the second signal to end; the first one ends the command's context. From then on signals do
// what they do by themselves: a third one ends the process. quiet stops listening.
func secondSignal() (second <-chan struct{}, quiet func()) {
	signals, hurry, over := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		for range 2 {
			select {
			case <-over:
				return
			case <-signals:
			}
		}
		close(hurry)
	}()
	return hurry, sync.OnceFunc(func() { close(over) })
}
