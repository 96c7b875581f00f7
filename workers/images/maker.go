package images

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/module"
)

// Image is one image that the engine has.
type Image struct {
	// Ref is the name to run it by.
	Ref string
	// ID is the engine's digest of it, "sha256:…".
	ID string
	// Platform is what runs in it.
	Platform module.Platform
}

// Maker makes images in one engine. Docker and CacheDir are needed, all else may be left
// empty. It is safe for concurrent use, also by several processes with one CacheDir.
type Maker struct {
	// Docker is the engine that gets the images.
	Docker *client.Client
	// CacheDir keeps downloads, records and locks; work in progress is in it, too. It
	// is created when absent.
	CacheDir string
	// Mirror is the registry to pull Debian's image from, "mirror.example.com:5000";
	// empty for the engine's own default.
	Mirror string
	// Progress is told, in a sentence, what is being waited for. It may be called from
	// several goroutines.
	Progress func(string)
	// Env is how this machine reaches the outside.
	Env BuildEnv
	// Log gets details; nil for none.
	Log *slog.Logger

	pulls *pullMemory // shared with the makers of Telling; nil until first used
	once  sync.Once
}

// pullMemory remembers for some time that no registry was reachable: asking a silent
// one again for each image would cost half a minute each time.
type pullMemory struct {
	mu     sync.Mutex
	failed error
	at     time.Time
}

// pullAgain is how long a registry that could not be reached is left alone.
const pullAgain = 10 * time.Minute

func (p *pullMemory) remember(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed, p.at = err, time.Now()
}

func (p *pullMemory) recall() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) > pullAgain {
		return nil
	}
	return p.failed
}

// Telling is the same maker with another Progress: callers who wait for different
// images want to hear about their own.
func (m *Maker) Telling(progress func(string)) *Maker {
	return &Maker{
		Docker: m.Docker, CacheDir: m.CacheDir, Mirror: m.Mirror, Env: m.Env, Log: m.Log,
		Progress: progress, pulls: m.memory(),
	}
}

func (m *Maker) memory() *pullMemory {
	m.once.Do(func() {
		if m.pulls == nil {
			m.pulls = &pullMemory{}
		}
	})
	return m.pulls
}

// Ensure returns the image of the recipe, and makes it first when the engine lacks it. A
// second caller, in this or another process, waits for the first. The error says what is
// missing on this machine and wraps module.ErrUnavailable when the image can be made
// neither way.
func (m *Maker) Ensure(ctx context.Context, r Recipe) (Image, error) {
	if img, ok, err := m.find(ctx, r); ok || err != nil {
		return img, err
	}
	unlock, err := m.lock(ctx, r.fileName(), "another process makes the image "+r.Ref())
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if img, ok, err := m.find(ctx, r); ok || err != nil {
		return img, err
	}
	return m.make(ctx, r)
}

// Find returns the image of the recipe; ok is false when the engine lacks it.
func (m *Maker) Find(ctx context.Context, r Recipe) (img Image, ok bool, err error) {
	return m.find(ctx, r)
}

// EnsureAll is Ensure for several recipes, two at a time; the images are in their order.
func (m *Maker) EnsureAll(ctx context.Context, recipes ...Recipe) ([]Image, error) {
	made := make([]Image, len(recipes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i, r := range recipes {
		group.Go(func() (err error) {
			made[i], err = m.Ensure(ctx, r)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return made, nil
}

// Renew makes the image of the recipe again, with the packages that Debian has today,
// although the engine may have it already. The old one is removed unless it is in use.
func (m *Maker) Renew(ctx context.Context, r Recipe) (Image, error) {
	unlock, err := m.lock(ctx, r.fileName(), "another process makes the image "+r.Ref())
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	old, had, err := m.find(ctx, r)
	if err != nil {
		return Image{}, err
	}
	img, err := m.make(ctx, r)
	if err == nil && had && old.ID != img.ID {
		if _, err := m.Docker.ImageRemove(ctx, old.ID, client.ImageRemoveOptions{}); err != nil {
			m.log().Info("the old image stays, as it is in use", "image", old.ID, "error", err)
		}
	}
	return img, err
}

// find asks the engine for the recipe's image. An image of that name with another
// recipe's label counts as absent.
func (m *Maker) find(ctx context.Context, r Recipe) (Image, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got, err := m.Docker.ImageInspect(ctx, r.Ref())
	if errdefs.IsNotFound(err) {
		return Image{}, false, nil
	}
	if err != nil {
		return Image{}, false, fmt.Errorf("asking the container engine for %s: %w", r.Ref(), err)
	}
	if got.Config == nil || got.Config.Labels[labelRecipe] != r.Hash() {
		return Image{}, false, nil
	}
	return Image{Ref: r.Ref(), ID: got.ID, Platform: r.Platform}, true, nil
}

// makeTimeout bounds all that making one image takes, downloads on a slow line included.
const makeTimeout = 2 * time.Hour

// make makes the image, pulling first, and records it. The caller holds the lock.
func (m *Maker) make(ctx context.Context, r Recipe) (Image, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	rec, err := m.pull(ctx, r)
	if unreachable, ok := errors.AsType[*unreachableError](err); ok {
		m.say("no registry is reachable; making %s from Debian packages", r.Ref())
		rec, err = m.bootstrap(ctx, r)
		if err != nil {
			err = errors.Join(err, fmt.Errorf("pulling instead was not possible: %w", unreachable))
		}
	}
	if err != nil {
		return Image{}, fmt.Errorf("making the image %s: %w", r.Ref(), err)
	}
	img, ok, err := m.find(ctx, r)
	if err != nil {
		return Image{}, err
	}
	if !ok {
		return Image{}, fmt.Errorf("making the image %s: the engine took it, but does not list it; look into the engine's log", r.Ref())
	}
	rec.ImageID, rec.Seconds, rec.MadeAt = img.ID, int(time.Since(start).Seconds()), start.UTC()
	if err := m.writeRecord(r, rec); err != nil {
		return Image{}, err
	}
	m.say("made %s in %d s", r.Ref(), rec.Seconds)
	return img, nil
}

// say reports progress.
func (m *Maker) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if m.Progress != nil {
		m.Progress(text)
	}
	m.log().Debug("progress", "text", text)
}

// log is the logger, never nil.
func (m *Maker) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}

// dir returns a folder within CacheDir and creates it.
func (m *Maker) dir(parts ...string) (string, error) {
	if m.CacheDir == "" {
		return "", fmt.Errorf("%w: no cache folder is set for images", module.ErrInvalid)
	}
	root, err := filepath.Abs(m.CacheDir)
	if err != nil {
		return "", fmt.Errorf("image cache folder: %w", err)
	}
	dir := filepath.Join(append([]string{root}, parts...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("image cache folder: %w; name one that can be written", err)
	}
	return dir, nil
}

// DefaultCacheDir is where images are cached when nothing else is asked, so that all
// programs of a user share downloads: modfarm/images in the user's cache folder.
func DefaultCacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder for images: %w; set HOME or XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, "modfarm", "images"), nil
}
