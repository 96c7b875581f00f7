package e2e_test

import (
	"bufio"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	docker "github.com/moby/moby/client"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// TestInterruptedDemoLeavesNothing presses Ctrl-C in the middle of the demo: the
// signal goes to the whole process group, as a terminal sends it.
func TestInterruptedDemoLeavesNothing(t *testing.T) {
	root := checkout(t)
	// What is made once is made here, so that the demo's own time is spent on the road.
	if _, _, err := road.Prepare(t.Context(), root, &lines{t: t}, bothPlatforms()); err != nil {
		t.Fatal(err)
	}
	before := engineThings(t)
	dir, worker := t.TempDir(), workerName()
	program := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./demo").CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-dir", dir)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "MODFARM_NAME="+worker)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	in.Close()

	saw := interruptAt(t, out, ": Build", func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) })
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted demo ends with 0")
	}
	if !saw {
		t.Fatal("no build ran before the demo ended")
	}
	nothingNew(t, before, worker)
	for _, line := range processesOf(t, dir) {
		t.Errorf("a process is left: %s", line)
	}
}

// TestFailedRoadLeavesNothing sends two modules along the road, of which one
// fails while the other is built.
func TestFailedRoadLeavesNothing(t *testing.T) {
	cfg := roadConfig(t, "v0.1.0")
	before, worker := engineThings(t), workerName()
	cfg.Root, cfg.UpArgs = brokenCheckout(t, cfg.Root), append(cfg.UpArgs, "--name", worker)
	r, err := road.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = r.TravelAll(t.Context(), road.CSensor(), road.GoSensor()); err == nil || !strings.Contains(err.Error(), "c-sensor") {
		t.Errorf("the road of a broken module: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("stop the farm: %v", err)
	}
	nothingNew(t, before, worker)
}

func bothPlatforms() []module.Platform {
	return []module.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}}
}

func workerName() string { return "road-" + strings.ToLower(rand.Text()[:8]) }

// brokenCheckout is what a road reads of the checkout, with a c-sensor that does
// not build.
func brokenCheckout(t *testing.T, root string) string {
	t.Helper()
	broken := t.TempDir()
	for _, name := range []string{"c-sensor", "go-sensor"} {
		if err := os.CopyFS(filepath.Join(broken, "examples", name), os.DirFS(filepath.Join(root, "examples", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"action.yml", "upload/action.yml"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(broken, name)), 0o755), os.WriteFile(filepath.Join(broken, name), text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for file, content := range map[string]string{
		"examples/c-sensor/build.sh": "#!/bin/sh\necho the sensor library is missing >&2\nexit 7\n",
	} {
		if err := os.WriteFile(filepath.Join(broken, file), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return broken
}

// interruptAt reads output to its end and interrupts once, at the first line
// with the words. It says whether it did.
func interruptAt(t *testing.T, out io.Reader, words string, interrupt func() error) bool {
	t.Helper()
	done := false
	deadline := time.AfterFunc(5*time.Minute, func() { _ = interrupt() })
	defer deadline.Stop()
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		t.Log(scanner.Text())
		if done || !strings.Contains(scanner.Text(), words) {
			continue
		}
		done = true
		if err := interrupt(); err != nil {
			t.Errorf("interrupt: %v", err)
		}
	}
	return done
}

// engineThings lists the containers, volumes and networks of workflows.
func engineThings(t *testing.T) []string {
	t.Helper()
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	ours := make(docker.Filters).Add("name", "act-")
	containers, err := engine.ContainerList(t.Context(), docker.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		t.Fatal(err)
	}
	volumes, err := engine.VolumeList(t.Context(), docker.VolumeListOptions{Filters: ours})
	if err != nil {
		t.Fatal(err)
	}
	networks, err := engine.NetworkList(t.Context(), docker.NetworkListOptions{Filters: ours})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range containers.Items {
		all = append(all, "container "+strings.Join(c.Names, ","))
	}
	for _, v := range volumes.Items {
		all = append(all, "volume "+v.Name)
	}
	for _, n := range networks.Items {
		all = append(all, "network "+n.Name)
	}
	return all
}

// nothingNew compares with what was there before, and looks for the worker's own.
func nothingNew(t *testing.T, before []string, worker string) {
	t.Helper()
	left, err := road.LeftoversOf(t.Context(), worker)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(left, engineThings(t)...) {
		if !slices.Contains(before, name) {
			t.Errorf("left in the engine: %s", name)
		}
	}
}

// processesOf lists the processes that have the folder in their arguments or
// work below it.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, proc := range entries {
		args, _ := os.ReadFile(filepath.Join(proc, "cmdline")) // it may have ended
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		if strings.Contains(string(args), dir) || strings.HasPrefix(cwd, dir) {
			found = append(found, filepath.Base(proc)+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}
