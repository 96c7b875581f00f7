package docker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard/guardtest"
)

// kept is an output in a file, which has what was written as soon as Write returns.
type kept struct {
	file *os.File
	size int64
}

// Write implements io.Writer.
func (k *kept) Write(p []byte) (int, error) {
	n, err := k.file.Write(p)
	k.size += int64(n)
	return n, err
}

// Settled implements workers.Settler.
func (k *kept) Settled() int64 { return k.size }

// Files of a worker that is to be killed, beside the job's folder.
const (
	heldFile   = "held.json"
	outputFile = "output"
)

// holdRunning runs a script until somebody kills this process.
func holdRunning(folder, script string) error {
	ctx, work := context.Background(), filepath.Dir(folder)
	engine, err := docker.Connect(ctx)
	if err != nil {
		return err
	}
	r, err := docker.New(ctx, docker.Options{
		Engine: engine, Name: os.Getenv(holdName), WorkDir: work, Images: oneImage(hostTools), Guard: os.Getenv(holdGuard), Alone: alone,
	})
	if err != nil {
		return err
	}
	c, err := r.Start(ctx, workers.Room{Folder: folder, Platform: r.Host(), Job: os.Getenv(holdName)})
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(work, outputFile))
	if err != nil {
		return err
	}
	var herr error
	exit, err := c.Run(ctx, workers.Command{
		Script: script, Dir: workers.WorkspacePath, Network: module.NetworkNone, Output: &kept{file: file},
		Held: func(h workers.Held) { herr = os.WriteFile(filepath.Join(work, heldFile), h, 0o600) },
	})
	return fmt.Errorf("it ended too early, with %+v: %w", exit, errors.Join(err, herr))
}

// alone is longer than any of these tests.
const alone = 10 * time.Minute

// left is what a killed worker left.
type left struct {
	opts   docker.Options
	room   workers.Room
	held   workers.Held
	output []byte // what it has for good
	id     string // of the container
}

// killRunning kills a worker while it runs a script, as soon as it has some of the output.
func killRunning(t *testing.T, script string) (l left) {
	t.Helper()
	e := engine(t)
	if err := hostImage(); err != nil {
		t.Skipf("no test image can be made of this machine's programs: %v", err)
	}
	work := t.TempDir()
	name := "test-taken-" + strings.ToLower(rand.Text()[:8])
	l.opts = docker.Options{Engine: e, Name: name, WorkDir: work, Images: oneImage(hostTools), Guard: guardtest.Program(t), Alone: alone}
	l.room = workers.Room{Folder: folder(t, work), Platform: module.HostPlatform(), Job: name}
	l.kill(t, script)
	return l
}

func (l *left) kill(t *testing.T, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holdFolder+"="+l.room.Folder, holdGuard+"="+l.opts.Guard, holdName+"="+l.opts.Name, holdScript+"="+script)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(l.opts.WorkDir, outputFile)
	eventually(t, "the worker has some output", func() bool {
		data, err := os.ReadFile(output)
		return err == nil && len(data) > 100
	})
	l.id = containerOf(t, l.opts.Engine, l.room.Job)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if said.Len() > 0 {
		t.Fatalf("the worker said %s", said.String())
	}
	var err error
	if l.held, err = os.ReadFile(filepath.Join(l.opts.WorkDir, heldFile)); err != nil {
		t.Fatal(err)
	}
	if l.output, err = os.ReadFile(output); err != nil {
		t.Fatal(err)
	}
}

// lines are those of a script that counts.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return b.String()
}

// again is a second runner of the same name and folder, as a worker that is started again makes it.
func again(t *testing.T, opts docker.Options, held ...workers.Held) *docker.Runner {
	t.Helper()
	r, err := docker.New(t.Context(), opts)
	if err == nil {
		err = r.Reap(t.Context(), held...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestScriptIsTakenUp(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		// meanwhile is what happens while no worker is there.
		meanwhile func(t *testing.T, dir string)
		code      int
	}{
		"while it runs": {
			script: `for i in {1..300}; do echo "line $i"; sleep 0.01; done; until [ -e go ]; do sleep 0.05; done; exit 7`, code: 7,
			meanwhile: func(t *testing.T, dir string) {
				t.Helper()
				time.AfterFunc(time.Second, func() { _ = os.WriteFile(filepath.Join(dir, "go"), nil, 0o644) })
			},
		},
		"after its end": {
			script: `for i in {1..300}; do echo "line $i"; done; until [ -e go ]; do sleep 0.05; done; touch ended`,
			meanwhile: func(t *testing.T, dir string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the script ends", func() bool {
					_, err := os.Stat(filepath.Join(dir, "ended"))
					return err == nil
				})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := killRunning(t, tc.script)
			tc.meanwhile(t, l.room.Folder)
			second := again(t, l.opts, l.held)
			box, err := second.TakeUp(t.Context(), l.room, l.held)
			if err != nil {
				t.Fatal(err)
			}
			defer box.Close(context.WithoutCancel(t.Context()))
			if now := containerOf(t, l.opts.Engine, l.room.Job); now != l.id {
				t.Errorf("the container was %s and is %s", l.id, now)
			}
			out := bytes.NewBuffer(l.output)
			exit, err := box.Resume(t.Context(), int64(len(l.output)), workers.Command{Output: out})
			if err != nil || exit.Code != tc.code {
				t.Errorf("exit %+v, %v; want %d", exit, err, tc.code)
			}
			if out.String() != lines(300) {
				t.Errorf("output %q", out.String())
			}
			// The container goes on being one, cut off from everything.
			said, exit := run(t, box, workers.Command{Script: `(exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null || echo and cut off; exit 3`})
			if exit.Code != 3 || said != "and cut off\n" {
				t.Errorf("exit %+v, output %q", exit, said)
			}
		})
	}
}

// TestTakenUpScriptIsEnded: time limits and people end a script that was taken up as any other.
func TestTakenUpScriptIsEnded(t *testing.T) {
	t.Parallel()
	l := killRunning(t, `for i in {1..300}; do echo "line $i"; sleep 0.01; done; sleep 3600`)
	second := again(t, l.opts, l.held)
	box, err := second.TakeUp(t.Context(), l.room, l.held)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close(context.WithoutCancel(t.Context()))
	ctx, cancel := context.WithCancelCause(t.Context())
	out := bytes.NewBuffer(l.output)
	_, err = box.Resume(ctx, int64(len(l.output)), workers.Command{Output: writer(func(p []byte) (int, error) {
		n, err := out.Write(p)
		if strings.HasSuffix(out.String(), "line 300\n") {
			cancel(errEnded)
		}
		return n, err
	})})
	if !errors.Is(err, errEnded) || out.String() != lines(300) {
		t.Errorf("error %v, output %q", err, out.String())
	}
	eventually(t, "the container has ended", func() bool {
		got, err := l.opts.Engine.ContainerInspect(t.Context(), l.id, client.ContainerInspectOptions{})
		return err == nil && !got.Container.State.Running
	})
}

// TestWhatIsNotThereIsNotTakenUp: what is left of a build that cannot go on is removed, whatever is missing.
func TestWhatIsNotThereIsNotTakenUp(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(l left) string{
		"container": func(l left) string { return l.id },
		"guard": func(l left) string {
			var h struct{ Guard string }
			_ = json.Unmarshal(l.held, &h)
			return h.Guard
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := killRunning(t, `for i in {1..300}; do echo "line $i"; done; sleep 3600`)
			if _, err := l.opts.Engine.ContainerRemove(t.Context(), take(l), client.ContainerRemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
			second := again(t, l.opts, l.held)
			if _, err := second.TakeUp(t.Context(), l.room, l.held); !errors.Is(err, module.ErrUnavailable) {
				t.Errorf("error %v, want one of this machine", err)
			}
			if err := second.Drop(t.Context(), l.held); err != nil {
				t.Error(err)
			}
			if left := job(t, l.room.Job); len(left) > 0 {
				t.Errorf("containers are left: %v", left)
			}
		})
	}
}

// TestNobodyTakesItUp: the next worker removes what is not held.
func TestNobodyTakesItUp(t *testing.T) {
	t.Parallel()
	l := killRunning(t, `for i in {1..300}; do echo "line $i"; done; sleep 3600`)
	again(t, l.opts)
	if left := job(t, l.room.Job); len(left) > 0 {
		t.Errorf("containers are left: %v", left)
	}
	pipes, err := filepath.Glob(filepath.Join(l.opts.WorkDir, "pipes", "*", "*"))
	if err != nil || len(pipes) > 0 {
		t.Errorf("pipes are left: %v, %v", pipes, err)
	}
}
