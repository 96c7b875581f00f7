package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	docker "github.com/moby/moby/client"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/farm/redis"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/images"
)

// lab is what trials share: the program that is tried, a folder and the machine's container engine. Nothing of it
// is left after close, but the logs of what was lost.
type lab struct {
	root, dir string
	modfarm   string // the program
	out       io.Writer
	engine    *docker.Client
}

// openLab works below a checkout. Without a program it makes it, and the builder image.
func openLab(ctx context.Context, root, modfarm string, out io.Writer) (*lab, error) {
	if _, err := os.Stat(filepath.Join(root, "action.yml")); err != nil {
		return nil, fmt.Errorf("run it as `make faults` from the top of the checkout: %w", err)
	}
	redis.LogTo(slog.New(slog.DiscardHandler)) // a Redis that is away is nothing to talk about here
	l := &lab{root: root, out: out}
	var err error
	if modfarm == "" {
		modfarm, err = road.PrepareFarm(ctx, root, out, []module.Platform{platform()})
	}
	if err == nil {
		l.modfarm, err = filepath.Abs(modfarm)
	}
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.logs(), 0o755); err != nil {
		return nil, err
	}
	if l.dir, err = os.MkdirTemp(filepath.Dir(l.logs()), ""); err != nil {
		return nil, err
	}
	if l.engine, err = docker.New(docker.FromEnv); err == nil {
		_, err = l.image(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reach the container engine: %w", err), l.close())
	}
	return l, nil
}

// logs is the folder that keeps what the processes of lost trials said.
func (l *lab) logs() string { return filepath.Join(l.root, ".cache", "faults", "logs") }

func (l *lab) close() error {
	err := os.RemoveAll(l.dir)
	if l.engine != nil {
		err = errors.Join(err, l.engine.Close())
	}
	return err
}

func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(l.out, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// image is the builder image of this machine's platform.
func (l *lab) image(ctx context.Context) (string, error) {
	recipe, err := images.Builder(platform(), "")
	if err != nil {
		return "", err
	}
	if _, err := l.engine.ImageInspect(ctx, recipe.Ref()); err != nil {
		return "", fmt.Errorf("the builder image is not there (make images): %w", err)
	}
	return recipe.Ref(), nil
}

// keepLogs copies what the processes of a lost trial said to where they are found afterwards.
func (t *trial) keepLogs(name string) error {
	found, err := filepath.Glob(filepath.Join(t.dir, "*.log"))
	if err != nil {
		return err
	}
	dir := filepath.Join(t.logs(), name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	t.say("%s: what the processes said is in %s", name, dir)
	return nil
}
