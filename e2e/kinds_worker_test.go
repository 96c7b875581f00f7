package e2e_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
)

// process is a worker that runs as a program of its own.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed at its end
	err   error         // how it ended, once ended is closed
	work  string        // its work folder

	mu  sync.Mutex
	out strings.Builder
}

// Write keeps what the program says.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(text)
}

// said is everything the program has said.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// begin starts the program. It is ended with the test, if it was not before.
func (p *process) begin(t *testing.T) *process {
	t.Helper()
	p.ended = make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { removeCaches(t, p.name()) }) // after the next line
	t.Cleanup(func() { p.stop(t) })
	return p
}

// removeCaches removes the caches that a worker made, which outlive it on purpose.
func removeCaches(t *testing.T, worker string) {
	t.Helper()
	// The test's context is over.
	list, err := exec.Command("docker", "volume", "ls", "--quiet", "--filter", "label=dev.modfarm.owner="+worker).Output()
	if err != nil {
		t.Error(err)
	}
	for volume := range strings.FieldsSeq(string(list)) {
		if out, err := exec.Command("docker", "volume", "rm", volume).CombinedOutput(); err != nil {
			t.Errorf("docker volume rm: %v: %s", err, out)
		}
	}
}

// stop has the worker drain, and waits for its end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		t.Errorf("the worker did not end within a minute:\n%s", p.said())
		return
	}
	if p.err != nil && !t.Failed() {
		t.Errorf("the worker ended with %v:\n%s", p.err, p.said())
	}
}

// awaitReady waits until the worker has proved its platforms.
func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.said(), "worker ready") {
		select {
		case <-ctx.Done():
			t.Fatalf("the worker did not get ready:\n%s", p.said())
		case <-p.ended:
			t.Fatalf("the worker ended at start:\n%s", p.said())
		case <-tick.C:
		}
	}
}

// workerArgs are those that every worker gets; the token's file is for its user
// only.
func (s *kinds) workerArgs(name, tokenFile string) []string {
	return []string{"worker", "--farm", s.farm.URL(), "--name", name, "--slots", "2", "--token-file", tokenFile}
}

// copyToken gives a worker's user the farm's token in a file.
func (s *kinds) copyToken(t *testing.T, file string, uid int) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(s.farm.Dir(), "worker.token"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file, token, 0o600), os.Chown(file, uid, uid)); err != nil {
		t.Fatal(err)
	}
}

func startRoot(t *testing.T, s *kinds, name string) *process {
	t.Helper()
	work := filepath.Join(t.TempDir(), "work")
	args := s.workerArgs(name, filepath.Join(s.farm.Dir(), "worker.token"))
	p := &process{work: work, cmd: exec.Command(s.modfarm, append(args, "--work", work)...)}
	p.cmd.Env = append(os.Environ(), "MODFARM_REDIS="+s.redis)
	return p.begin(t)
}

// startUser starts a worker of a new user with a home and nothing else, who is in
// the group that the Docker socket belongs to.
func startUser(t *testing.T, s *kinds, name string) *process {
	t.Helper()
	u := newUser(t, s.dir, socketGroup(t))
	p := &process{work: filepath.Join(u.home, ".local", "share", "modfarm", "work")}
	token := filepath.Join(u.home, "worker.token")
	s.copyToken(t, token, u.uid)
	p.cmd = u.command(t, s.modfarm, s.workerArgs(name, token), "MODFARM_REDIS="+s.redis)
	return p.begin(t)
}

// account is a user of this machine that the test made.
type account struct {
	home     string
	uid, gid int
	groups   []uint32
}

func newUser(t *testing.T, dir string, groups ...uint32) account {
	t.Helper()
	name := "modfarm-" + strings.ToLower(rand.Text()[:8])
	u := account{home: filepath.Join(dir, name), groups: groups}
	args := []string{"--user-group", "--create-home", "--home-dir", u.home, "--shell", "/bin/sh", name}
	for _, g := range groups {
		args = append([]string{"--groups", strconv.FormatUint(uint64(g), 10)}, args...)
	}
	if out, err := exec.CommandContext(t.Context(), "useradd", args...).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v: %s", err, out)
	}
	t.Cleanup(func() {
		out, err := exec.Command("userdel", name).CombinedOutput() // the test's context is over
		if err != nil {
			t.Errorf("userdel: %v: %s", err, out)
		}
	})
	entry, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	u.uid, err = strconv.Atoi(entry.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if u.gid, err = strconv.Atoi(entry.Gid); err != nil {
		t.Fatal(err)
	}
	return u
}

// command is a copy of the program, run as the user: the checkout may be out of the
// user's reach.
func (u account) command(t *testing.T, program string, args []string, env ...string) *exec.Cmd {
	t.Helper()
	own := filepath.Join(u.home, "modfarm")
	data, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(own, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(own, args...)
	cmd.Dir = u.home
	cmd.Env = append([]string{"HOME=" + u.home, "PATH=" + os.Getenv("PATH"), "DOCKER_HOST=" + os.Getenv("DOCKER_HOST")}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid), Groups: u.groups}, //nolint:gosec // ids are small
	}
	return cmd
}

const dockerSocket = "/var/run/docker.sock"

// socketGroup is the group that may use the engine.
func socketGroup(t *testing.T) uint32 {
	t.Helper()
	info, err := os.Stat(dockerSocket)
	if err != nil {
		t.Skipf("the engine has no local socket: %v", err)
	}
	return info.Sys().(*syscall.Stat_t).Gid
}

// startContainer starts a worker in the product's image, as docs/operate.md says.
func startContainer(t *testing.T, s *kinds, name string) *process {
	t.Helper()
	work := filepath.Join(s.dir, "container", "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	return s.runImage(t, name, work, "--volume", work+":"+work)
}

// runImage runs the worker in a container that has the engine's socket, the
// token, and what more says.
func (s *kinds) runImage(t *testing.T, name, work string, more ...string) *process {
	t.Helper()
	socketGroup(t)
	token := filepath.Join(t.TempDir(), "worker.token")
	s.copyToken(t, token, 0)
	args := []string{
		"run", "--rm", "--init", "--network", "host", "--env", "MODFARM_REDIS",
		"--volume", dockerSocket + ":" + dockerSocket, "--volume", token + ":/run/secrets/worker.token:ro",
	}
	args = append(append(args, more...), s.image)
	args = append(append(args, s.workerArgs(name, "/run/secrets/worker.token")...), "--work", work)
	p := &process{work: work, cmd: exec.Command("docker", args...)}
	p.cmd.Env = append(os.Environ(), "MODFARM_REDIS="+s.redis)
	return p.begin(t)
}

// TestWorkerSaysWhatIsMissing starts workers that cannot work, which say in one
// sentence what to do.
func TestWorkerSaysWhatIsMissing(t *testing.T) {
	s := openKinds(t)
	t.Run("work folder is not the engine's", func(t *testing.T) {
		work := filepath.Join(s.dir, "unmounted", "work")
		p := s.runImage(t, "kind-unmounted", work)
		p.fails(t, "does not see the work folder "+work, "-v "+work+":"+work)
	})
	t.Run("work folder is another one of the machine", func(t *testing.T) {
		work := filepath.Join(s.dir, "elsewhere", "work")
		if err := os.MkdirAll(work, 0o755); err != nil {
			t.Fatal(err)
		}
		p := s.runImage(t, "kind-elsewhere", work)
		p.fails(t, "does not see the work folder "+work, "-v "+work+":"+work)
	})
	t.Run("user outside the group", func(t *testing.T) {
		u := newUser(t, s.dir)
		token := filepath.Join(u.home, "worker.token")
		s.copyToken(t, token, u.uid)
		p := &process{cmd: u.command(t, s.modfarm, s.workerArgs("kind-outside", token), "MODFARM_REDIS="+s.redis)}
		p.begin(t).fails(t, "add the user to the docker group")
	})
}

// fails wants the worker to end by itself with one line that holds the words, and
// nothing of it in the engine.
func (p *process) fails(t *testing.T, words ...string) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("the worker did not end:\n%s", p.said())
	}
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the worker ended with %v, want exit code 1", p.err)
	}
	p.err = nil // as wanted
	said := strings.TrimSpace(p.said())
	t.Log(said)
	if strings.Contains(said, "\n") {
		t.Errorf("more than one line was said")
	}
	for _, want := range words {
		if !strings.Contains(said, want) {
			t.Errorf("the sentence does not say %q", want)
		}
	}
	left, err := road.LeftoversOf(t.Context(), p.name())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q (%v)", left, err)
	}
}

// name is the worker's.
func (p *process) name() string {
	for i, arg := range p.cmd.Args {
		if arg == "--name" {
			return p.cmd.Args[i+1]
		}
	}
	return ""
}
