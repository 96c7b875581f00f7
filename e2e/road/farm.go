package road

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/modfarm/modfarm/client"
)

// Farm is a "modfarm up" that runs as a process of its own.
type Farm struct {
	binary string
	dir    string
	url    string
	env    []string // the first key, for the commands of a user
	cmd    *exec.Cmd
	ended  chan error
	log    string
}

// startTimeout bounds how long a farm may take until it answers; most of it is
// the worker proving its platforms.
const startTimeout = 60 * time.Second

// StartFarm starts a farm on a free port of loopback, with its data in the
// folder farm of cfg.Dir, and returns when it answers. A second call with the
// same folder, after Stop, starts the same farm again. Of cfg it needs Dir,
// Modfarm and UpArgs.
func StartFarm(ctx context.Context, cfg Config) (*Farm, error) {
	return startFarm(ctx, cfg, "up")
}

// StartServe is StartFarm for a control plane alone, without a worker, on a real
// Redis.
func StartServe(ctx context.Context, cfg Config, redisURL string) (*Farm, error) {
	// The URL holds a password: every user of the machine reads arguments.
	return startFarm(ctx, cfg, "serve", "MODFARM_REDIS="+redisURL)
}

func startFarm(ctx context.Context, cfg Config, command string, env ...string) (*Farm, error) {
	dir := filepath.Join(cfg.Dir, "farm")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the farm's folder: %w", err)
	}
	addr, err := address(ctx, filepath.Join(cfg.Dir, "farm.address"))
	if err != nil {
		return nil, err
	}
	f := &Farm{
		binary: cfg.Modfarm, dir: dir, url: "http://" + addr,
		ended: make(chan error, 1), log: filepath.Join(cfg.Dir, "farm.log"),
	}
	out, err := os.OpenFile(f.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644) // of the same farm, started again
	if err != nil {
		return nil, fmt.Errorf("open the farm's log: %w", err)
	}
	defer out.Close()
	args := append([]string{command, "--data", dir, "--listen", addr, "--namespace", Namespace}, cfg.UpArgs...)
	f.cmd = exec.Command(cfg.Modfarm, args...) //nolint:noctx // ended by Stop with SIGTERM, so that it can drain
	f.cmd.Env = slices.Concat(os.Environ(), env, cfg.Env)
	f.cmd.Stdout, f.cmd.Stderr = out, out
	// A group of its own: Ctrl-C in the terminal reaches the road, which then
	// stops the farm in order.
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := f.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the farm: %w", err)
	}
	go func() { f.ended <- f.cmd.Wait() }()
	if err := f.waitReady(ctx); err != nil {
		return nil, errors.Join(err, f.Stop())
	}
	return f, nil
}

// URL is where the farm listens.
func (f *Farm) URL() string { return f.url }

// Dir is the farm's data folder.
func (f *Farm) Dir() string { return f.dir }

// LogFile is where the farm's own log goes.
func (f *Farm) LogFile() string { return f.log }

// PID is the farm's process.
func (f *Farm) PID() int { return f.cmd.Process.Pid }

// Key is the farm's first API key. It is secret.
func (f *Farm) Key() (id, secret string) { return f.key("MODFARM_KEY_ID"), f.key("MODFARM_KEY") }

// Client talks to the farm with its first key.
func (f *Farm) Client() (*client.Client, error) {
	return client.New(client.Config{
		URL: f.url, KeyID: f.key("MODFARM_KEY_ID"), Key: f.key("MODFARM_KEY"), UserAgent: "modfarm-road",
	})
}

// listenAgain listens on the loopback address that the file remembers, if it is
// free, and otherwise on another one, which it remembers. Addresses that stay
// let a second run find what the first one left: caches are kept by repository.
func listenAgain(ctx context.Context, file string) (net.Listener, error) {
	remembered, err := os.ReadFile(file)
	if err == nil {
		if l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", string(remembered)); err == nil {
			return l, nil
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	if err := os.WriteFile(file, []byte(l.Addr().String()), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("remember a port: %w", err), l.Close())
	}
	return l, nil
}

// address is one that a program started next can listen on.
func address(ctx context.Context, file string) (string, error) {
	l, err := listenAgain(ctx, file)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitReady returns when the farm answers and its first key is on disk.
func (f *Farm) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-f.ended:
			f.ended <- err
			return fmt.Errorf("the farm ended at start (%w):\n%s", err, f.tail())
		case <-ctx.Done():
			return fmt.Errorf("the farm did not answer within %s:\n%s", startTimeout, f.tail())
		case <-tick.C:
		}
		if f.healthy(ctx) && f.readKey() == nil {
			return nil
		}
	}
}

func (f *Farm) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// readKey takes the first API key from the file that a farm started without a
// terminal leaves behind.
func (f *Farm) readKey() error {
	text, err := os.ReadFile(filepath.Join(f.dir, "api-key.env"))
	if err != nil {
		return err
	}
	f.env = nil
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			f.env = append(f.env, line)
		}
	}
	return nil
}

// key returns the value of one line of the key file, such as MODFARM_KEY_ID.
func (f *Farm) key(name string) string {
	for _, line := range f.env {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value
		}
	}
	return ""
}

// modfarm runs a command of the program with the first key in its environment.
func (f *Farm) modfarm(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, f.binary, args...)
	cmd.Env = append(os.Environ(), f.env...)
	cmd.Env = append(cmd.Env, "MODFARM_URL="+f.url)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("modfarm %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return nil
}

// Stop asks the farm to drain and waits for its end.
func (f *Farm) Stop() error {
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the farm: %w", err)
	}
	select {
	case err := <-f.ended:
		f.ended <- err
		if err != nil {
			return fmt.Errorf("the farm ended with an error (%w):\n%s", err, f.tail())
		}
		return nil
	case <-time.After(startTimeout):
		_ = f.cmd.Process.Kill()
		return fmt.Errorf("the farm did not drain within %s:\n%s", startTimeout, f.tail())
	}
}

// Kill ends the farm at once, as a power cut would, and waits until it is gone.
func (f *Farm) Kill() error {
	if err := f.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the farm: %w", err)
	}
	f.ended <- <-f.ended // killed, and says so
	return nil
}

// tail is the end of the farm's log, for error messages.
func (f *Farm) tail() string {
	text, err := os.ReadFile(f.log)
	if err != nil {
		return err.Error()
	}
	const most = 4000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(text)
}
