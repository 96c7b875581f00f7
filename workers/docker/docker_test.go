package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard/guardtest"
)

// hostTools is an image of this machine's own bash and small tools: enough to run commands in, and made in a
// second without a registry.
const hostTools = "modfarm/test-host-tools:2"

// engine connects to Docker, and skips where there is none.
func engine(t *testing.T) *client.Client {
	t.Helper()
	c, err := docker.Connect(t.Context())
	if err != nil {
		t.Skipf("no Docker engine: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var hostImage = sync.OnceValue(func() error {
	if exec.Command("docker", "image", "inspect", hostTools).Run() == nil {
		return nil
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	seen := map[string]bool{}
	for _, program := range []string{
		"bash", "sh", "sleep", "cat", "env", "find", "head", "id", "ls", "mkdir", "rm", "touch", "true", "stat", "dd", "getent", "kill", "du", "mkfifo",
	} {
		path, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		files, err := needed(path)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := add(w, f, seen); err != nil {
				return err
			}
		}
	}
	for _, dir := range []string{"tmp/", "root/", "etc/", "proc/", "sys/", "dev/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Mode: 0o1777, Typeflag: tar.TypeDir}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	cmd := exec.Command("docker", "import", "-", hostTools)
	cmd.Stdin = &layer
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
})

// needed lists a program and the libraries that it loads.
func needed(program string) ([]string, error) {
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil, err
	}
	return append(regexp.MustCompile(`/[^ \n]+`).FindAllString(string(out), -1), program), nil
}

func add(w *tar.Writer, path string, seen map[string]bool) error {
	if seen[path] {
		return nil
	}
	seen[path] = true
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// oneImage serves one image for every platform.
type oneImage string

func (i oneImage) Builder(context.Context, module.Platform, string, func(string)) (string, error) {
	return string(i), nil
}

func (i oneImage) Run(context.Context, module.Platform, string) (string, error) {
	return string(i), nil
}

func newRunner(t *testing.T, change ...func(*docker.Options)) (*docker.Runner, string) {
	t.Helper()
	c := engine(t)
	if err := hostImage(); err != nil {
		t.Skipf("no test image can be made of this machine's programs: %v", err)
	}
	opts := docker.Options{
		Guard: guardtest.Program(t), Engine: c, Name: "test-" + strings.ToLower(rand.Text()[:6]+t.Name()),
		WorkDir: t.TempDir(), Images: oneImage(hostTools), Limits: docker.Limits{Memory: 256 << 20, CPUs: 1},
	}
	for _, f := range change {
		f(&opts)
	}
	r, err := docker.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r, opts.WorkDir
}

func start(t *testing.T, r *docker.Runner, room workers.Room) workers.Container {
	t.Helper()
	room.Platform, room.Job = r.Host(), "job-"+strings.ToLower(t.Name())
	c, err := r.Start(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return c
}

func folder(t *testing.T, work string) string {
	t.Helper()
	dir := filepath.Join(work, "job")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs a script and returns what it wrote and its exit status.
func run(t *testing.T, c workers.Container, cmd workers.Command) (string, workers.Exit) {
	t.Helper()
	var out bytes.Buffer
	cmd.Output = &out
	if cmd.Dir == "" {
		cmd.Dir = workers.WorkspacePath
	}
	exit, err := c.Run(t.Context(), cmd)
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Script, err, out.String())
	}
	return out.String(), exit
}

func TestCommandsShareOneContainerAndFolder(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	dir := folder(t, work)
	c := start(t, r, workers.Room{Folder: dir})
	out, exit := run(t, c, workers.Command{Script: `echo one; echo two >&2; printf 'a\rb'; echo $X > /tmp/kept; mkdir sub`, Env: []string{"X=y"}})
	if exit.Code != 0 || !strings.Contains(out, "one\n") || !strings.Contains(out, "two\n") || !strings.Contains(out, "a\rb") {
		t.Errorf("exit %d, output %q", exit.Code, out)
	}
	out, exit = run(t, c, workers.Command{Script: `cat /tmp/kept; echo result > out.txt; exit 7`, Dir: workers.WorkspacePath + "/sub"})
	if exit.Code != 7 || out != "y\n" {
		t.Errorf("exit %d, output %q; want 7 and the first command's file", exit.Code, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "sub", "out.txt"))
	if err != nil || string(data) != "result\n" {
		t.Errorf("the folder holds %q, %v", data, err)
	}
}

func TestContainerIsShutIn(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t, func(o *docker.Options) { o.Limits.OpenFiles = 4096 })
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	out, _ := run(t, c, workers.Command{Script: `
		while read -r k v; do case $k in CapEff:|CapBnd:|NoNewPrivs:) echo "$k$v";; esac; done < /proc/self/status
		ls -A /var/run/docker.sock /run/docker.sock 2>/dev/null
		echo init:$(cat /proc/1/comm)
		ulimit -n; ulimit -c`})
	for _, want := range []string{
		"CapEff:00000000000000cb\n", // CHOWN DAC_OVERRIDE FOWNER SETGID SETUID
		"CapBnd:00000000000000cb\n", "NoNewPrivs:1\n", "init:docker-init\n", "4096\n0\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "docker.sock") {
		t.Errorf("the socket is inside:\n%s", out)
	}
}

func TestEnvironmentOfBuilds(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "own.pem")
	pem := "-----BEGIN CERTIFICATE-----\nb3du\n-----END CERTIFICATE-----\n"
	if err := os.WriteFile(ca, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	r, work := newRunner(t, func(o *docker.Options) {
		o.Env = docker.BuildEnv{
			Vars:     map[string]string{"HTTPS_PROXY": "http://proxy.example:3128", "GOPROXY": "https://goproxy.example"},
			CABundle: ca, Apt: `Acquire::Retries "2";`,
		}
	})
	volume := "modfarm-cache-test-" + strings.ToLower(t.Name())
	t.Cleanup(func() { // after the container
		if out, err := exec.Command("docker", "volume", "rm", volume).CombinedOutput(); err != nil {
			t.Errorf("remove the cache: %v: %s", err, out)
		}
	})
	c := start(t, r, workers.Room{Folder: folder(t, work), Cache: workers.Cache{Key: "test-" + strings.ToLower(t.Name())}})
	out, _ := run(t, c, workers.Command{Script: `env; cat /etc/apt/apt.conf.d/99modfarm "$SSL_CERT_FILE"; echo x > /etc/modfarm/ca.pem; echo y > /cache/y && echo cached`})
	for _, want := range []string{
		"https_proxy=http://proxy.example:3128\n", "HTTPS_PROXY=http://proxy.example:3128\n", "GOPROXY=https://goproxy.example\n",
		"HOME=/root\n", "CI=true\n", "GOTOOLCHAIN=local\n", "GOCACHE=/cache/go-build\n", "PIP_CERT=/etc/modfarm/ca.pem\n",
		"Acquire::https::Proxy \"http://proxy.example:3128\";\n", "Acquire::https::CaInfo \"/etc/modfarm/ca.pem\";\n",
		"Acquire::Retries \"2\";\n", pem, "Read-only file system", "cached\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%.3000s", want, out)
		}
	}
}

func TestOutOfMemoryIsSeen(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t, func(o *docker.Options) { o.Limits.Memory = 32 << 20 })
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	_, exit := run(t, c, workers.Command{Script: `dd bs=150M count=1 if=/dev/zero of=/dev/null; exit $?`})
	if exit.Code == 0 || !exit.OutOfMemory || exit.MemoryLimit != 32<<20 {
		t.Errorf("exit %+v, want out of memory", exit)
	}
}

func TestCancelKillsTheCommand(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	why := errors.New("the build was cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	started := time.Now()
	_, err := c.Run(ctx, workers.Command{
		Script: "echo started; sleep 300", Dir: "/", Output: onWrite(func() { cancel(why) }),
	})
	if !errors.Is(err, why) {
		t.Errorf("error %v, want the cause", err)
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

type onWrite func()

func (f onWrite) Write(p []byte) (int, error) { f(); return len(p), nil }

func TestBackgroundProcessDoesNotHoldTheStep(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	started := time.Now()
	out, exit := run(t, c, workers.Command{Script: "sleep 300 & echo done; exit 3"})
	if exit.Code != 3 || out != "done\n" || time.Since(started) > time.Minute {
		t.Errorf("exit %d, output %q after %v", exit.Code, out, time.Since(started))
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	dir := folder(t, work)
	c, err := r.Start(t.Context(), workers.Room{Folder: dir, Platform: r.Host(), Job: "orphan", Attempt: 2, Lease: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c, workers.Command{Script: "mkdir deep; touch deep/file"})
	list := func() string {
		out, err := exec.Command("docker", "ps", "-aq", "--filter", "label=dev.modfarm.job=orphan").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if list() == "" {
		t.Fatal("the container has no labels")
	}
	if err := r.Reap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := list(); left != "" {
		t.Errorf("left: %s", left)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("closing a reaped container: %v", err)
	}
	if err := r.RemoveFolder(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := r.RemoveFolder(t.Context(), "/etc"); err == nil {
		t.Error("a folder outside of the work folder would be removed")
	}
}

func TestProve(t *testing.T) {
	t.Parallel()
	r, _ := newRunner(t)
	a, err := r.Prove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Native) != 1 || a.Native[0] != r.Host() {
		t.Errorf("native %v", a.Native)
	}
	if got := len(a.QEMU) + len(a.Missing); got != 2 {
		t.Errorf("%d platforms are neither proved nor missing: %+v", 2-got, a)
	}
	for _, m := range a.Missing {
		if !strings.Contains(m, "qemu-user-static") {
			t.Errorf("no cure in %q", m)
		}
	}
	t.Logf("QEMU: %v, missing: %v", a.QEMU, a.Missing)
}

func TestConnectErrors(t *testing.T) {
	for host, says := range map[string]string{
		"unix:///nonexistent/docker.sock": "there is no such socket",
		"tcp://127.0.0.1:1":               "DOCKER_HOST",
	} {
		t.Setenv("DOCKER_HOST", host)
		_, err := docker.Connect(t.Context())
		if !errors.Is(err, module.ErrUnavailable) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: error %v, want %q", host, err, says)
		}
	}
}
