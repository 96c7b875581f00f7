package e2e_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	docker "github.com/moby/moby/client"
)

// leaks collects where secrets were seen. It is safe for concurrent use.
type leaks struct {
	forms map[string]string // form to the secret's name

	mu    sync.Mutex
	found []string
}

func newLeaks(secrets map[string]string) *leaks {
	l := &leaks{forms: map[string]string{}}
	for name, secret := range secrets {
		for _, form := range spellings(secret) {
			l.forms[form] = name
		}
	}
	return l
}

// look searches a text.
func (l *leaks) look(where, text string) {
	for form, name := range l.forms {
		if at := strings.Index(text, form); at >= 0 {
			l.add(fmt.Sprintf("the %s is in %s: …%q…", name, where, text[max(0, at-60):min(len(text), at+len(form)+20)]))
		}
	}
}

func (l *leaks) add(leak string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.found, leak) {
		l.found = append(l.found, leak)
	}
}

func (l *leaks) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.found)
}

func (l *leaks) lookInFile(where, name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		l.add(fmt.Sprintf("%s cannot be read: %v", where, err))
		return
	}
	l.look(where, string(text))
}

// lookInFolder searches every file of the farm but those that are there to keep a
// secret, which only their owner may read.
func (l *leaks) lookInFolder(dir string) {
	keepers := []string{"farm.key", "worker.token", "api-key.env"}
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // a job's folder goes away while it is looked at
		}
		if filepath.Dir(name) == dir && slices.Contains(keepers, d.Name()) {
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				l.add(fmt.Sprintf("%s has the mode %v, want 0600", d.Name(), info.Mode()))
			}
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil {
			l.look("the file "+strings.TrimPrefix(name, dir), string(text))
		}
		return nil
	})
}

// watcher looks at the machine while a build runs.
type watcher struct {
	quit, done           chan struct{}
	containers, programs int
	fetches              int
	script               bool
}

// startWatch samples all processes, the worker's containers and its work folder.
func startWatch(t *testing.T, y *yard, found *leaks) *watcher {
	t.Helper()
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer engine.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for round := 0; ; round++ {
			w.processes(found)
			if round%20 == 0 {
				w.containers += inspectContainers(t, engine, y.worker, found)
				found.lookInFolder(filepath.Join(y.farm.Dir(), "work"))
			}
			select {
			case <-w.quit:
				return
			case <-tick.C:
			}
		}
	}()
	return w
}

// processes looks at the arguments of all processes, and at the environment of
// those that run in another process namespace: the ones in containers.
func (w *watcher) processes(found *leaks) {
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return
	}
	arguments, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range arguments {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		w.programs++
		line := string(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
		w.script = w.script || strings.Contains(line, "sleep 2.71828")
		if strings.Contains(line, "git fetch") {
			w.fetches++
		}
		found.look("the arguments of a process", line)
		if space, err := os.Readlink(filepath.Join(filepath.Dir(file), "ns/pid")); err == nil && space != own {
			if text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "environ")); err == nil {
				found.look("the environment of a process in a container", string(text))
			}
		}
	}
}

// stop ends the watch and proves that there was something to see.
func (w *watcher) stop(t *testing.T) {
	t.Helper()
	close(w.quit)
	<-w.done
	t.Logf("seen: %d arguments, %d of them git fetch, and %d containers", w.programs, w.fetches, w.containers)
	if !w.script || w.containers == 0 {
		t.Errorf("the watch missed the build: script seen %t, containers %d", w.script, w.containers)
	}
}
