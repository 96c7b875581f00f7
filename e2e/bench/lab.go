package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	docker "github.com/moby/moby/client"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
	"github.com/modfarm/modfarm/workers/images"
)

// lab is what measures are taken in: a folder, a git server and, from when the
// first measure asks for one, a farm. Nothing of it is left after close.
type lab struct {
	root, dir string
	modfarm   string // the program
	rounds    int
	out       io.Writer
	git       *gittest.Server
	engine    *docker.Client
	shared    *farm
	repos     int       // made so far
	noise     noiseFile // 1 GiB to move; made when the first measure asks for it
	idle      *idleness // what was seen of an idle farm; nil before
}

// openLab works below the folder it is called in, which has to be the checkout.
// Without a program it makes it, and the builder images.
func openLab(ctx context.Context, modfarm string, rounds int, out io.Writer) (*lab, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(root, "action.yml")); err != nil {
		return nil, fmt.Errorf("run it as `make bench` from the top of the checkout: %w", err)
	}
	l := &lab{root: root, modfarm: modfarm, rounds: rounds, out: out}
	if modfarm == "" {
		platforms := []module.Platform{module.HostPlatform(), {OS: "linux", Arch: "arm64"}}
		if l.modfarm, err = road.PrepareFarm(ctx, root, out, platforms); err != nil {
			return nil, err
		}
	} else if l.modfarm, err = filepath.Abs(modfarm); err != nil {
		return nil, err
	}
	parent := filepath.Join(root, ".cache", "bench")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	if l.dir, err = os.MkdirTemp(parent, ""); err != nil {
		return nil, err
	}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(err, l.close(ctx))
	}
	return l, nil
}

func (l *lab) open(ctx context.Context) (err error) {
	if l.engine, err = docker.New(docker.FromEnv); err != nil {
		return fmt.Errorf("reach the container engine: %w", err)
	}
	if _, err := l.image(ctx); err != nil {
		return err
	}
	repositories := filepath.Join(l.dir, "git")
	if err := os.MkdirAll(repositories, 0o755); err != nil {
		return err
	}
	l.git, err = gittest.NewServer(repositories) //nolint:contextcheck // it lives until close
	return err
}

func (l *lab) close(ctx context.Context) error {
	var faults []error
	if l.shared != nil {
		faults = append(faults, l.shared.close(ctx, l.engine))
	}
	if l.git != nil {
		faults = append(faults, l.git.Close())
	}
	faults = append(faults, l.removeAll(ctx, l.dir))
	if l.engine != nil {
		faults = append(faults, l.engine.Close())
	}
	return errors.Join(faults...)
}

func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(l.out, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// image is the builder image of this machine's platform.
func (l *lab) image(ctx context.Context) (string, error) {
	recipe, err := images.Builder(module.HostPlatform(), "")
	if err != nil {
		return "", err
	}
	if _, err := l.engine.ImageInspect(ctx, recipe.Ref()); err != nil {
		return "", fmt.Errorf("the builder image is not there: %w", err)
	}
	return recipe.Ref(), nil
}

// farm is the one that measures share; it starts when the first asks for it.
func (l *lab) farm(ctx context.Context) (*farm, error) {
	if l.shared != nil {
		return l.shared, nil
	}
	f, err := l.openFarm(ctx, "shared")
	if err != nil {
		return nil, err
	}
	l.shared = f
	return f, nil
}

// repository serves a copy of a folder, with some files added, under an address
// that was never used before, at the tag v1.0.0: nothing of it is in any cache.
func (l *lab) repository(ctx context.Context, folder string, files map[string]string) (url string, err error) {
	repo, url, err := l.newRepository(ctx, folder)
	if err != nil {
		return "", err
	}
	_, err = repo.Commit(ctx, files, "v1.0.0")
	return url, err
}

// newRepository is one without a commit.
func (l *lab) newRepository(ctx context.Context, folder string) (repo *gittest.Repo, url string, err error) {
	l.repos++
	name := fmt.Sprintf("repo-%d", l.repos)
	work := filepath.Join(l.dir, "work", name)
	if folder != "" {
		if err := os.CopyFS(work, os.DirFS(folder)); err != nil {
			return nil, "", fmt.Errorf("copy %s: %w", folder, err)
		}
	}
	repo, err = gittest.NewRepo(ctx, filepath.Join(l.dir, "git"), name+".git", work)
	return repo, l.git.URL + "/" + name + ".git", err
}
