package workers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/redis/redistest"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
	"github.com/modfarm/modfarm/module/source/gittest"
	"github.com/modfarm/modfarm/workers"
)

// logPieces is how many pieces the script of a logRoad writes, one each hundredth of a second or slower.
const logPieces = 300

// logRoad is a log's whole way: a script of this machine's bash, a worker, a farm over HTTP with a real database and a
// real Redis, and readers.
type logRoad struct {
	farm    *apitest.Farm
	redis   *redistest.Server
	line    *line // between the worker and the farm
	job     string
	content []byte // what the script writes
}

func newLogRoad(t *testing.T, dialect string) *logRoad {
	t.Helper()
	servers, err := storetest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.Stop(); err != nil {
			t.Error(err)
		}
	})
	r := &logRoad{redis: redistest.Start(t), content: terminalOutput()}
	r.farm = apitest.StartWith(t, apitest.Options{Database: servers.DSN(t, dialect), Bell: redistest.Open(t, r.redis.URL())})
	r.line = startLine(t, r.farm.Addr)
	r.submit(t)
	r.startPool(t)
	return r
}

// submit starts a build of a repository with a script that copies the content to its output, piece by piece.
func (r *logRoad) submit(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	git, err := gittest.NewRepo(t.Context(), root, "acme/widget.git", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const meta = `{"module_id": "acme:widget", "visibility": "private", "entrypoint": "main", "models": [], "build": {
		"build": "./build.sh", "path": "out", "arch": ["linux/amd64"]}}`
	size := len(r.content) / logPieces // the last piece is the rest
	script := fmt.Sprintf("#!/bin/bash\nexec 3<content\nfor i in {1..%d}; do\n\tdd bs=%d count=1 status=none <&3\n\tsleep 0.01\ndone\ncat <&3\n", logPieces-1, size)
	commit, err := git.Commit(t.Context(), map[string]string{"meta.json": meta, "build.sh": script, "content": string(r.content)})
	if err != nil {
		t.Fatal(err)
	}
	server, err := gittest.NewServer(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	repo := server.URL + "/acme/widget.git"
	r.farm.Source.Push(repo, "main", commit, meta)
	c := r.reader(t)
	orgs, err := c.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.CreateModule(t.Context(), orgs[0].ID, "widget")
	if err != nil {
		t.Fatal(err)
	}
	build, err := c.StartBuild(t.Context(), client.BuildRequest{
		Module: id, Repo: repo, Ref: "main", Platforms: []module.Platform{platform("amd64")},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Build(t.Context(), build)
	if err != nil {
		t.Fatal(err)
	}
	r.job = got.Jobs[0].ID
}

// startPool starts the worker, whose every word to the farm goes over the line.
func (r *logRoad) startPool(t *testing.T) {
	t.Helper()
	c, err := client.New(client.Config{URL: r.line.url, WorkerToken: apitest.WorkerToken})
	if err != nil {
		t.Fatal(err)
	}
	pool := &workers.Pool{
		Name: "w1", Farm: c, Bell: redistest.Open(t, r.redis.URL()), Fetcher: new(source.Git), Runner: newHostRunner(), Host: platform("amd64"),
		Native: []module.Platform{platform("amd64")}, WorkDir: t.TempDir(), Slots: 1, Poll: 50 * time.Millisecond,
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- pool.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := wait(t, "the end of the pool", done); err != nil {
			t.Errorf("Run: %v", err)
		}
		if left, err := filepath.Glob(filepath.Join(pool.WorkDir, "jobs", "*", "*")); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
}

func (r *logRoad) reader(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: r.farm.URL, KeyID: r.farm.KeyID, Key: r.farm.Key})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// terminalOutput is what tools write to terminals, and bytes that are no text at all.
func terminalOutput() []byte {
	var b bytes.Buffer
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's noise
	for i := range 4000 {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "\r\x1b[2K%3d%% [%-20s]", i*100/4000, strings.Repeat("=", i*20/4000))
		case 1:
			fmt.Fprintf(&b, "\x1b[1;32mok\x1b[0m %d\r\n", i)
		case 2:
			b.WriteString("größer als 10 € 日本 \U0001F680\n")
		case 3:
			b.Write([]byte{0xff, 0xfe, 0xc3, 0x28, 0x00, 0xe2, 0x82, '\n', 0x07, 0x08})
		default:
			for range dice.IntN(200) {
				b.WriteByte(byte(dice.IntN(256)))
			}
		}
	}
	return b.Bytes()
}

// TestLogSurvives has readers follow a log, all along or coming and going, while everything on its way breaks once:
// each of them has every byte exactly once in the end.
func TestLogSurvives(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			r := newLogRoad(t, dialect)
			crowd := r.crowd(t, 50)
			slow := r.stuckReader(t)
			watcher := r.follow(t)
			for i, fault := range []func(){
				r.line.cut,
				func() { r.farm.Restart(t) },
				func() { r.redis.Do(t, "FLUSHALL") },
				r.redis.Kill,
				func() { r.redis.Restart(t) },
				func() { r.line.closeFor(t, 3) },
				func() { r.farm.Restart(t) },
			} {
				watcher.await(t, (i+1)*len(r.content)/10)
				fault()
			}
			want := wait(t, "the end of the log", watcher.done)
			if n := bytes.Count(want, r.content); n != 1 {
				t.Errorf("the %d bytes that the script wrote are %d times in the log of %d", len(r.content), n, len(want))
			}
			for i, got := range crowd() {
				if !bytes.Equal(got, want) {
					t.Errorf("reader %d has %d bytes, and not the %d that there are", i, len(got), len(want))
				}
			}
			if got := slow(); !bytes.Equal(got, want) {
				t.Errorf("the slow reader has %d bytes, and not the %d that there are", len(got), len(want))
			}
		})
	}
}

// watch is a reader from the beginning to the end.
type watch struct {
	mu   sync.Mutex
	text []byte
	grew chan struct{} // holds one token when there is more
	done chan []byte
}

func (r *logRoad) follow(t *testing.T) *watch {
	t.Helper()
	w := &watch{grew: make(chan struct{}, 1), done: make(chan []byte, 1)}
	c := r.reader(t)
	go func() {
		err := c.FollowLog(t.Context(), r.job, 0, func(c client.LogChunk) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.text = append(w.text, c.Data...)
			select {
			case w.grew <- struct{}{}:
			default:
			}
			return nil
		})
		if err != nil {
			t.Errorf("a reader from the beginning: %v", err)
		}
		w.done <- w.text
	}()
	return w
}

// await waits until the reader has so many bytes.
func (w *watch) await(t *testing.T, size int) {
	t.Helper()
	for {
		w.mu.Lock()
		enough := len(w.text) >= size
		w.mu.Unlock()
		if enough {
			return
		}
		wait(t, "more of the log", w.grew)
	}
}

// crowd is readers that leave at random and come back where they were. The function it returns waits for what they read.
func (r *logRoad) crowd(t *testing.T, n int) func() [][]byte {
	t.Helper()
	texts := make([][]byte, n)
	var all sync.WaitGroup
	for i := range n {
		c := r.reader(t)
		all.Go(func() {
			for {
				leave, left := rand.IntN(len(r.content)/3), errors.New("left") //nolint:gosec // a test's dice
				from := len(texts[i])
				err := c.FollowLog(t.Context(), r.job, int64(from), func(c client.LogChunk) error {
					texts[i] = append(texts[i], c.Data...)
					if len(texts[i])-from > leave {
						return left
					}
					return nil
				})
				if err == nil {
					return
				}
				if !errors.Is(err, left) {
					t.Errorf("reader %d: %v", i, err)
					return
				}
			}
		})
	}
	return func() [][]byte { all.Wait(); return texts }
}

// stuckReader takes the first piece and then nothing, until the function it returns lets it go on and waits.
func (r *logRoad) stuckReader(t *testing.T) func() []byte {
	t.Helper()
	c, free, done := r.reader(t), make(chan struct{}), make(chan []byte, 1)
	go func() {
		var text []byte
		err := c.FollowLog(t.Context(), r.job, 0, func(c client.LogChunk) error {
			<-free
			text = append(text, c.Data...)
			return nil
		})
		if err != nil {
			t.Errorf("the slow reader: %v", err)
		}
		done <- text
	}()
	return func() []byte { close(free); return wait(t, "the end of the slow reader", done) }
}

// line is a way to the farm that can be cut.
type line struct {
	url, target string

	mu      sync.Mutex
	closed  bool
	refused chan struct{} // gets a token for each connection that found it closed
	open    map[net.Conn]bool
}

func startLine(t *testing.T, target string) *line {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &line{url: "http://" + l.Addr().String(), target: target, open: map[net.Conn]bool{}, refused: make(chan struct{}, 100)}
	var running sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); w.close(); running.Wait() })
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.relay(near) })
		}
	})
	return w
}

// relay copies until one side ends.
func (w *line) relay(near net.Conn) {
	defer w.forget(near)
	far, err := net.Dial("tcp", w.target)
	if err != nil || !w.remember(near, far) {
		return
	}
	defer w.forget(far)
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() { _, _ = io.Copy(way[0], way[1]); ended <- struct{}{} }()
	}
	<-ended
}

func (w *line) remember(near, far net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		select {
		case w.refused <- struct{}{}:
		default:
		}
		_ = far.Close()
		return false
	}
	w.open[near], w.open[far] = true, true
	return true
}

func (w *line) forget(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, c)
	_ = c.Close()
}

// cut breaks what is connected; new connections are made.
func (w *line) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Close()
	}
}

// close cuts and lets nobody through.
func (w *line) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cut()
}

// closeFor closes until so many connections were refused.
func (w *line) closeFor(t *testing.T, connections int) {
	t.Helper()
	w.close()
	for range connections {
		wait(t, "a refused connection", w.refused)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = false
}
