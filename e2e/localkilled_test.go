package e2e_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// TestKilledLocalBuild: what a local build left that was killed with SIGKILL in the middle of its script is removed by
// the next one; what a living one has stays.
func TestKilledLocalBuild(t *testing.T) {
	t.Parallel()
	modfarm, temp := upConfig(t).Modfarm, t.TempDir()
	begin := func(script string) (cmd *exec.Cmd, said *bufio.Reader) {
		t.Helper()
		dir := t.TempDir()
		meta := metaOf(t, module.ID{Namespace: "acme", Name: "killed"}, script, nil)
		if err := os.WriteFile(filepath.Join(dir, "meta.json"), []byte(meta), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd = exec.CommandContext(t.Context(), modfarm, append([]string{"module", "build", "local", "--in-container"}, road.UpArgs(os.LookupEnv)...)...)
		cmd.Dir, cmd.Env, cmd.WaitDelay = dir, append(os.Environ(), "TMPDIR="+temp), 10*time.Second
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewReader(out)
	}
	begun := func(said *bufio.Reader) {
		t.Helper()
		for line := ""; line != "begun\n"; {
			var err error
			if line, err = said.ReadString('\n'); err != nil {
				t.Fatalf("the build did not begin: %v", err)
			}
		}
	}
	workers := func() (names []string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(temp, "modfarm-build-*", "worker"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, string(name))
		}
		return names
	}
	running := func(worker string) bool {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "docker", "ps", "-q", "--filter", "label=dev.modfarm.worker="+worker).Output()
		if err != nil {
			t.Fatal(err)
		}
		return len(strings.TrimSpace(string(out))) > 0
	}

	dead, said := begin("echo begun; sleep 3600")
	begun(said)
	killed := workers()[0]
	if err := dead.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.Wait() // it was killed
	if !running(killed) {
		t.Fatalf("nothing runs of the killed build %s", killed)
	}

	living, said := begin("echo begun; sleep 3600")
	begun(said)
	if running(killed) {
		t.Errorf("the containers of %s still run", killed)
	}
	names := workers()
	if len(names) != 1 || names[0] == killed {
		t.Fatalf("the work folders are of %q", names)
	}
	third, said := begin("echo begun; exit 5")
	_, _ = io.Copy(io.Discard, said)
	if err := third.Wait(); err == nil {
		t.Error("a build that fails ends well")
	}
	if !running(names[0]) {
		t.Error("another build ended the one that goes on")
	}
	if err := living.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, said)
	var ended *exec.ExitError
	if err := living.Wait(); !errors.As(err, &ended) {
		t.Errorf("the interrupted build ended with %v", err)
	}
	if running(names[0]) || len(workers()) > 0 {
		t.Errorf("left: containers %t, folders %q", running(names[0]), workers())
	}
}
