package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

// soloFlags are those of commands that build one job on this machine, as a worker would, for nobody but the caller.
type soloFlags struct {
	limits limitFlags
	build  buildEnvFlags
	reach  reachFlags
	images imageFlags
	output string
	shell  bool
}

func (f *soloFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.output, "output", "", "file for the archive (default none is kept)")
	flags.BoolVar(&f.shell, "shell", true, "open a shell in the container when a script fails, where there is a terminal")
	f.limits.add(flags)
	f.build.add(flags)
	f.reach.add(flags)
	f.images.add(flags)
}

// solo is a worker for one job, whose farm is this process.
type solo struct {
	pool   *workers.Pool
	runner *docker.Runner
	farm   *soloFarm
	work   string
	lock   io.Closer // of the work folder
}

// soloPrefix begins the names of the workers of local builds.
const soloPrefix = "solo-"

// prepare makes a worker. image names the one builder image to use; empty for the one that workers use.
func (f *soloFlags) prepare(ctx context.Context, lookup lookupFunc, image string, out, progress io.Writer) (_ *solo, err error) {
	limits, logs, err := f.limits.parse()
	if err != nil {
		return nil, usageError{err}
	}
	env, ca, err := f.build.values(lookup)
	if err != nil {
		return nil, err
	}
	reach, err := f.reach.parse()
	if err != nil {
		return nil, err
	}
	engine, err := docker.Connect(ctx)
	if err != nil {
		return nil, err
	}
	maker, err := f.images.maker(imageEnv(env, ca), func(text string) { fmt.Fprintln(progress, text) })
	if err != nil {
		return nil, err
	}
	s := &solo{farm: &soloFarm{out: out, output: f.output, ended: make(chan struct{})}}
	if err := errors.Join(sweepSolos(ctx, engine), docker.Sweep(ctx, engine, soloPrefix)); err != nil {
		fmt.Fprintln(progress, "what earlier local builds left could not be removed:", err)
	}
	name := soloPrefix + uuid.NewString()[:8]
	if s.work, s.lock, err = newSoloFolder(name); err != nil {
		return nil, err
	}
	s.runner, err = docker.New(ctx, docker.Options{
		Engine: engine, Name: name, WorkDir: s.work, Images: exactImages{builders{maker, ctx, new(sync.Map)}, image}, Limits: limits,
		Env: docker.BuildEnv{Vars: env, CABundle: ca}, Reach: reach, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, errors.Join(err, s.closeFolder())
	}
	ability, err := s.runner.Prove(ctx)
	if err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	s.pool = &workers.Pool{
		Name: name, Farm: s.farm, Runner: s.runner, Host: s.runner.Host(), WorkDir: s.work, Slots: 1, Poll: time.Hour, Grace: -1, PutAll: f.output != "",
		Native: ability.Native, Cross: ability.Cross, QEMU: ability.QEMU,
		LogLine: int(logs.line), LogTotal: logs.total, Timeouts: f.limits.timeouts, Secrets: docker.BuildEnv{Vars: env}.Secrets(),
	}
	if f.shell && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) { //nolint:gosec // file descriptors are small
		s.pool.Failed = openShell
	}
	return s, nil
}

func (s *solo) close(ctx context.Context) error {
	return errors.Join(s.runner.Close(ctx), s.closeFolder())
}

func (s *solo) closeFolder() error { return errors.Join(os.RemoveAll(s.work), s.lock.Close()) }

// strategies are what this machine can do for a platform, the best first, as a farm would say.
func (s *solo) strategies(p module.Platform) []module.Strategy {
	var list []module.Strategy
	for _, can := range []struct {
		strategy  module.Strategy
		platforms []module.Platform
	}{{module.StrategyNative, s.pool.Native}, {module.StrategyCross, s.pool.Cross}, {module.StrategyQEMU, s.pool.QEMU}} {
		if slices.Contains(can.platforms, p) {
			list = append(list, can.strategy)
		}
	}
	return list
}

// build builds one job to its end.
func (s *solo) build(ctx context.Context, a *client.Assignment) error {
	if len(a.Strategies) == 0 {
		return errors.Join(hinted(fmt.Errorf("%w: this machine cannot build for %s", module.ErrUnavailable, a.Job.Platform),
			"see what is missing with 'modfarm doctor'"), s.close(ctx))
	}
	a.Job.ID, a.Lease = uuid.NewString(), client.Lease{TTL: time.Minute}
	a.Lease.JobID = a.Job.ID
	s.farm.assignment = a
	run, stop := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.farm.ended:
		case <-ctx.Done():
		}
		stop()
	}()
	err := errors.Join(s.pool.Run(run), s.close(ctx))
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return errors.Join(err, s.farm.verdict())
}

// soloFarm is a farm with one job, in this process.
type soloFarm struct {
	out        io.Writer
	output     string
	assignment *client.Assignment
	source     func(context.Context, io.Writer) error // of a build of uploaded source
	ended      chan struct{}

	mu      sync.Mutex
	step    string
	outcome client.Outcome
}

var _ workers.Farm = (*soloFarm)(nil)

// Claim implements workers.Jobs.
func (f *soloFarm) Claim(_ context.Context, w client.Worker) (*client.Assignment, error) {
	if w.Draining {
		return nil, nil //nolint:nilnil // nothing to do is not an error
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.assignment
	f.assignment = nil
	return a, nil
}

// Resume implements workers.Jobs: nothing goes on after this process.
func (f *soloFarm) Resume(context.Context, client.Worker, client.LeaseRef) (*client.Assignment, error) {
	return nil, client.ErrLeaseLost
}

// Extend implements workers.Leases.
func (f *soloFarm) Extend(context.Context, client.LeaseRef, client.Progress) (client.Directive, error) {
	return client.Directive{TTL: time.Minute}, nil
}

// AppendLog implements workers.Leases.
func (f *soloFarm) AppendLog(_ context.Context, _ client.LeaseRef, c client.LogChunk) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := c.Offset + int64(len(c.Data))
	if c.Step == workers.StepUpload { // nothing goes anywhere, but the archive is tried meanwhile
		c.Step, c.Data = "Smoke run", withoutUpload(c.Data)
	}
	if len(c.Data) == 0 {
		return next, nil
	}
	if c.Step != f.step {
		f.step = c.Step
		fmt.Fprintf(f.out, "== %s\n", c.Step)
	}
	if _, err := f.out.Write(c.Data); err != nil {
		return 0, fmt.Errorf("%w: print the log: %w", module.ErrInvalid, err)
	}
	return next, nil
}

// withoutUpload leaves out what the pool says of sending the archive: PutArchive says what is kept.
func withoutUpload(text []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("uploaded ")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// GetSource implements workers.Leases.
func (f *soloFarm) GetSource(ctx context.Context, _ client.LeaseRef, _ string, w io.Writer) error {
	return f.source(ctx, w)
}

// PutArchive implements workers.Leases.
func (f *soloFarm) PutArchive(_ context.Context, _ client.LeaseRef, _ module.Strategy, file io.ReadSeeker, _ func(sent, total int64)) (client.Archive, error) {
	if f.output != "" {
		if err := writeBeside(f.output, file); err != nil {
			return client.Archive{}, fmt.Errorf("%w: --output: %w", module.ErrInvalid, err)
		}
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return client.Archive{}, err
	}
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return client.Archive{}, err
	}
	a := client.Archive{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: size}
	if f.output != "" {
		f.mu.Lock()
		defer f.mu.Unlock()
		_, err = fmt.Fprintf(f.out, "kept %s: %d bytes, sha256:%s\n", f.output, a.Size, a.SHA256)
	}
	return a, err
}

func writeBeside(name string, file io.ReadSeeker) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(name), ".modfarm-")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, file)
	if err := errors.Join(err, out.Chmod(0o644), out.Close()); err != nil { //nolint:gosec // as tar would make it
		return errors.Join(err, os.Remove(out.Name()))
	}
	return os.Rename(out.Name(), name)
}

// Finish implements workers.Leases.
func (f *soloFarm) Finish(_ context.Context, _ client.LeaseRef, o client.Outcome) (client.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outcome = o
	close(f.ended)
	return client.Job{}, nil
}

// verdict is how the job ended.
func (f *soloFarm) verdict() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.outcome.Kind {
	case client.OutcomeDone, client.OutcomeReturned, 0: // given back: the caller stopped it
		return nil
	}
	return fmt.Errorf("%w: %s", errBuildFailed, cmp.Or(f.outcome.Reason, "no reason is known"))
}

// openShell lets the caller look around where a script failed.
func openShell(ctx context.Context, box workers.Container, c workers.Command) {
	shell, ok := box.(workers.Shell)
	if !ok {
		return
	}
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd()) //nolint:gosec // file descriptors are small
	fmt.Fprintf(os.Stderr, "The script failed. This is a shell where it ran; it was: %s\nLeave it with exit.\n", c.Script)
	t := workers.Terminal{In: os.Stdin, Out: os.Stdout}
	if width, height, err := term.GetSize(out); err == nil {
		t.Width, t.Height = uint(width), uint(height) //nolint:gosec // of a terminal
	}
	before, err := term.MakeRaw(in)
	if err == nil {
		defer func() { _ = term.Restore(in, before) }() // the terminal is the caller's again at the end
	}
	if err := shell.Shell(ctx, c, t); err != nil {
		fmt.Fprintf(os.Stderr, "%v\r\n", err)
	}
}

// exactImages gives builds one image, whatever it is called by now.
type exactImages struct {
	builders
	image string
}

// Builder implements docker.Images.
func (e exactImages) Builder(ctx context.Context, p module.Platform, distro string, say func(string)) (string, error) {
	if e.image == "" {
		return e.builders.Builder(ctx, p, distro, say)
	}
	return e.image, nil
}
