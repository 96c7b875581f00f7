package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
)

// TestReadmeQuickStart runs the commands under "Run a farm" of the README as they
// stand there: copied by somebody with two terminals.
func TestReadmeQuickStart(t *testing.T) {
	root := checkout(t)
	if _, err := road.PrepareFarm(t.Context(), root, &lines{t: t}, bothPlatforms()); err != nil {
		t.Fatal(err)
	}
	start, key, use := quickStart(t, filepath.Join(root, "README.md"))
	home := t.TempDir()
	work := t.TempDir()
	script := fmt.Sprintf(`set -euo pipefail
cd '%s'
%s %s --listen %s >"$HOME/farm.log" 2>&1 &
farm=$!
trap 'kill -TERM $farm; wait $farm' EXIT
for ((i = 0; i < 600; i++)); do
  if [ -e ~/acme-farm/api-key.env ]; then break; fi
  kill -0 $farm
  sleep 0.1
done
%s
cd '%s'
%s
`, root, start, strings.Join(road.UpArgs(os.LookupEnv), " "), freePort(t), key, work, use)

	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	var out bytes.Buffer
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+cacheHome(t), "GOCACHE="+goEnv(t, "GOCACHE"), "GOPATH="+goEnv(t, "GOPATH"))
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		farm, _ := os.ReadFile(filepath.Join(home, "farm.log")) // what there is helps
		t.Fatalf("the quick start: %v\n%s\nthe farm said:\n%s", err, out.String(), farm)
	}
	for _, want := range []string{"published acme:widget 0.1.0 linux/amd64", "published acme:widget 0.1.0 linux/arm64"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	archive := filepath.Join(work, "widget", "0.1.0-linux-arm64", "acme-widget.tar.gz")
	if info, err := os.Stat(archive); err != nil || info.Size() == 0 {
		t.Errorf("the download: %v", err)
	}
}

// quickStart takes the three blocks of commands apart: those that start the farm,
// the one that reads the key, and those of the second terminal.
func quickStart(t *testing.T, file string) (start, key, use string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Run a farm\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var found []string
	for _, part := range strings.Split(section, "```sh\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		found = append(found, block)
	}
	if len(found) != 3 || !strings.Contains(found[0], "\nmodfarm up ") || !strings.Contains(found[2], "build start") {
		t.Fatalf("the quick start has other blocks than this test runs: %q", found)
	}
	return found[0], found[1], found[2]
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// cacheHome keeps the images' records where they are, although HOME is another.
func cacheHome(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}
