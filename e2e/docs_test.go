package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// TestDocumentedFarmsStart starts every farm that a document starts with "modfarm
// up", with all the flags shown there; only its folder, its port and its worker's name are others.
// That the remaining commands exist, with their flags, is held by package house.
func TestDocumentedFarmsStart(t *testing.T) {
	root := checkout(t)
	program, err := road.PrepareFarm(t.Context(), root, &lines{t: t}, []module.Platform{module.HostPlatform()})
	if err != nil {
		t.Fatal(err)
	}
	commands := documentedFarms(t, root)
	if len(commands) < 4 {
		t.Fatalf("only %d commands found: %q", len(commands), commands)
	}
	for _, command := range commands {
		t.Run(command, func(t *testing.T) {
			t.Parallel() // they mostly wait
			startAndStop(t, program, command)
		})
	}
}

func documentedFarms(t *testing.T, root string) []string {
	t.Helper()
	var commands []string
	for _, name := range []string{"README.md", "docs/operate.md", "docs/cli.md"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "```sh\n")[1:] {
			block, _, _ := strings.Cut(part, "\n```")
			for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
				line = strings.TrimSpace(line)
				if strings.HasPrefix(line, "modfarm up") {
					commands = append(commands, line)
				}
			}
		}
	}
	slices.Sort(commands)
	return slices.Compact(commands) // several documents start the plain one
}

// startAndStop runs one command in a folder that has the files it names, waits
// until the farm answers, and stops it in order.
func startAndStop(t *testing.T, program, command string) {
	t.Helper()
	dir := t.TempDir()
	certificates, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "company.pem"), certificates, 0o644); err != nil {
		t.Fatal(err)
	}
	address := freePort(t)
	args := append(strings.Fields(command)[1:], "--data", filepath.Join(dir, "farm"), "--listen", address, "--name", workerName())
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://proxy.example.com:3128")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ready := waitAnswer(t, "http://"+address+"/healthz", ended)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && ready == nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if ready != nil || err != nil {
			t.Errorf("%v, and it ended with: %v\n%s", ready, err, out.String())
		}
	case <-time.After(30 * time.Second):
		t.Errorf("it did not stop\n%s", out.String())
	}
}

// waitAnswer waits until the address answers. When the program ends first, its
// end is put back for whoever waits for it.
func waitAnswer(t *testing.T, url string, ended chan error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			return nil
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("the farm ended before it answered: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
