package docker_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard/guardtest"
)

// Variables by which this program is a worker in the middle of a build, to be killed.
const (
	holdFolder = "MODFARM_TEST_HOLD_FOLDER"
	holdGuard  = "MODFARM_TEST_HOLD_GUARD"
	holdName   = "MODFARM_TEST_HOLD_NAME"
	holdScript = "MODFARM_TEST_HOLD_SCRIPT"
	killedName = "test-killed-worker"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(holdFolder); folder != "" {
		if script := os.Getenv(holdScript); script != "" {
			fmt.Fprintln(os.Stdout, holdRunning(folder, script))
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, hold(folder))
		select {} // until somebody kills it
	}
	os.Exit(m.Run())
}

// hold starts a build and leaves it alone.
func hold(folder string) error {
	ctx := context.Background()
	engine, err := docker.Connect(ctx)
	if err != nil {
		return err
	}
	r, err := docker.New(ctx, docker.Options{
		Engine: engine, Name: killedName, WorkDir: filepath.Dir(folder), Images: oneImage(hostTools), Guard: os.Getenv(holdGuard),
	})
	if err != nil {
		return err
	}
	_, err = r.Start(ctx, workers.Room{Folder: folder, Platform: r.Host(), Job: killedName})
	return err
}

// A worker that is killed cannot clean up. Its guards see the end of their orders and go, the network with them,
// and the next worker of the name takes the rest away.
func TestKilledWorkerLeavesNoNetwork(t *testing.T) {
	t.Parallel()
	e := engine(t)
	if err := hostImage(); err != nil {
		t.Skipf("no test image can be made of this machine's programs: %v", err)
	}
	work := t.TempDir()
	dir, program := folder(t, work), guardtest.Program(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holdFolder+"="+dir, holdGuard+"="+program)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 200)
	n, _ := out.Read(said)
	if string(said[:n]) != "<nil>\n" {
		t.Fatalf("the worker to be killed says %q", said[:n])
	}
	if left := job(t, killedName); len(left) != 2 {
		t.Fatalf("containers %v, want a build and its guard", left)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	var left []string
	eventually(t, "only the build is left", func() bool {
		left = job(t, killedName)
		return len(left) == 1
	})
	inside, err := exec.Command("docker", "exec", left[0], "cat", "/proc/net/dev").CombinedOutput()
	if err != nil || strings.Contains(string(inside), "eth") {
		t.Errorf("the build still has a network: %v\n%s", err, inside)
	}
	r, err := docker.New(t.Context(), docker.Options{
		Engine: e, Name: killedName, WorkDir: work, Images: oneImage(hostTools), Guard: program,
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := job(t, killedName); len(left) > 0 {
		t.Errorf("the next worker leaves %v", left)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
