package docker_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

// small are limits that a script of a few lines exceeds.
func small(o *docker.Options) {
	o.Limits = docker.Limits{Memory: 64 << 20, CPUs: 1, Processes: 48, OpenFiles: 64, FileSize: 8 << 20, Disk: 48 << 20}
}

func TestExitsTellWhichLimitWasMet(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t, small)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	for _, tc := range []struct {
		name, script, says string
		check              func(workers.Exit) bool
	}{
		{"memory", "dd bs=150M count=1 if=/dev/zero of=/dev/null", "", func(e workers.Exit) bool {
			return e.Code != 0 && e.OutOfMemory && e.MemoryLimit == 64<<20 && (e.Killed == "dd" || !readsKernelLog())
		}},
		{"processes", `sh -c 'i=0; while [ $i -lt 99 ]; do sleep 1 & i=$((i+1)); done'`, "fork", func(e workers.Exit) bool {
			return e.Code != 0 && e.ForksRefused > 0 && e.ProcessLimit == 48 && !e.OutOfMemory
		}},
		{"file size", "dd bs=1M count=20 if=/dev/zero of=big", "", func(e workers.Exit) bool {
			return e.Code == 153 && e.FileSizeLimit == 8<<20 && e.ForksRefused == 0 && !e.OutOfMemory
		}},
		{"open files", `for i in {1..99}; do exec {fd}</dev/null || exit 1; done`, "Too many open files", func(e workers.Exit) bool {
			return e.Code == 1 && e.OpenFilesLimit == 64 && !e.OutOfMemory
		}},
		{"shared memory is bounded", "dd bs=1M count=40 if=/dev/zero of=/dev/shm/x; e=$?; rm -f /dev/shm/x; exit $e", "", func(e workers.Exit) bool {
			return e.Code != 0 && e.SharedMemory == 32<<20 && !e.OutOfMemory
		}},
		{
			"shared memory counts as memory",
			"for i in 1 2 3; do dd bs=1M count=8 if=/dev/zero of=/dev/shm/$i 2>&1; done; dd bs=50M count=1 if=/dev/zero of=/dev/null; e=$?; rm -f /dev/shm/*; exit $e",
			"", func(e workers.Exit) bool { return e.Code != 0 && e.OutOfMemory },
		},
		{"none", "exit 3", "", func(e workers.Exit) bool {
			return e.Code == 3 && !e.OutOfMemory && e.ForksRefused == 0
		}},
	} {
		out, exit := run(t, c, workers.Command{Script: tc.script})
		if !tc.check(exit) || !strings.Contains(out, tc.says) {
			t.Errorf("%s: %+v\n%.500s", tc.name, exit, out)
		}
	}
}

func readsKernelLog() bool {
	f, err := os.Open("/dev/kmsg")
	if err == nil {
		_ = f.Close()
	}
	return err == nil
}

// fill writes files of 4 MiB into a folder of the container until there are n, says so, and waits.
func fill(dir string, n int) string {
	return `cd ` + dir + `; for i in {1..` + strconv.Itoa(n) + `}; do dd bs=4M count=1 if=/dev/zero of=fill$i 2>/dev/null; done; echo full; sleep 90`
}

func TestDiskIsBoundedWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	for _, helper := range []bool{false, true} {
		for _, where := range []string{workers.WorkspacePath, "/tmp", "/cache"} {
			t.Run(map[bool]string{false: "worker", true: "helper"}[helper]+filepath.Base(where), func(t *testing.T) {
				t.Parallel()
				r, work := newRunner(t, small)
				if helper {
					r.CountByHelper()
				}
				room := workers.Room{Folder: folder(t, work)}
				if where == "/cache" {
					room.Cache.Key = "test-" + strings.ToLower(filepath.Base(t.Name()))
				}
				c := start(t, r, room)
				run(t, c, workers.Command{Script: "echo a build that takes little goes on"})
				said := &spoken{}
				_, err := c.Run(t.Context(), workers.Command{Script: fill(where, 14), Dir: "/", Output: said})
				over := said.since("full")
				if e, ok := errors.AsType[*workers.Exceeded](err); !ok || !strings.Contains(e.What, "of disk") || !strings.Contains(e.What, "--disk") {
					t.Fatalf("error %v, want one about the disk", err)
				}
				const promised, slack = 2 * time.Second, 5
				if over > slack*promised {
					t.Errorf("acted %v after the limit was passed, want %v at most", over, slack*promised)
				}
				t.Logf("%v after: %v", over.Round(time.Millisecond), err)
				noContainers(t, c, room)
			})
		}
	}
}

// noContainers closes a container and checks that nothing of it is left, a cache that grew too large included.
func noContainers(t *testing.T, c workers.Container, room workers.Room) {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	left, err := exec.Command("docker", "ps", "-aq", "--filter", "label=dev.modfarm.job=job-"+strings.ToLower(t.Name())).Output()
	if err != nil || len(left) > 0 {
		t.Errorf("containers left: %s, %v", left, err)
	}
	if room.Cache.Key != "" {
		if exec.Command("docker", "volume", "inspect", "modfarm-cache-"+room.Cache.Key).Run() == nil {
			t.Error("the full cache is still there")
		}
	}
}

// spoken remembers when words came.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
	when time.Time
}

// Write keeps the time of the last piece.
func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.when = time.Now()
	return s.text.Write(p)
}

// since is how long ago the word was said; zero when it was not.
func (s *spoken) since(word string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(s.text.String(), word) {
		return 0
	}
	return time.Since(s.when)
}

func TestDeepFoldersHideNothing(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t, small)
	dir := folder(t, work)
	c := start(t, r, workers.Room{Folder: dir})
	_, err := c.Run(t.Context(), workers.Command{
		Script: `for i in {1..600}; do mkdir d && cd d || exit; done; sleep 30`, Dir: workers.WorkspacePath, Output: &spoken{},
	})
	if e, ok := errors.AsType[*workers.Exceeded](err); !ok || !strings.Contains(e.What, "nested folders") {
		t.Errorf("error %v, want one about nested folders", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := r.RemoveFolder(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

func TestForkBombEndsWithItsTime(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t, small)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	late := errors.New("the step took too long")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, late)
	defer cancel()
	_, err := c.Run(ctx, workers.Command{Script: `bomb() { bomb | bomb & }; bomb; while :; do :; done`, Dir: "/", Output: &spoken{}})
	if !errors.Is(err, late) {
		t.Errorf("error %v, want the end of its time", err)
	}
	noContainers(t, c, workers.Room{})
}

func TestProcessorsAreBounded(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t, func(o *docker.Options) { o.Limits.CPUs = 0.5 })
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	started := time.Now()
	out, exit := run(t, c, workers.Command{Script: `TIMEFORMAT='%U %S'; time { for i in 1 2; do ( end=$((SECONDS+3)); while ((SECONDS<end)); do :; done ) & done; wait; }`})
	wall := time.Since(started).Seconds()
	fields := strings.Fields(out)
	if exit.Code != 0 || len(fields) != 2 {
		t.Fatalf("exit %d, output %q", exit.Code, out)
	}
	var used float64
	for _, f := range fields {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			t.Fatal(err)
		}
		used += n
	}
	if share := used / wall; share > 0.65 {
		t.Errorf("two busy processes used %.2f of a processor, want 0.5", share)
	}
}

func TestBackgroundProcessesEndWithTheCommand(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	mark := "3" + strconv.Itoa(os.Getpid()) + ".25" // a duration that nothing else sleeps
	out, exit := run(t, c, workers.Command{Script: "(sleep " + mark + " & sleep " + mark + ") & sleep " + mark + " >/dev/null 2>&1 & echo on; exit 4"})
	if exit.Code != 4 || out != "on\n" {
		t.Errorf("exit %d, output %q", exit.Code, out)
	}
	eventually(t, "the processes are gone", func() bool { return sleeping(t, mark) == 0 })
	if out, _ := run(t, c, workers.Command{Script: "echo the container goes on"}); out != "the container goes on\n" {
		t.Errorf("output %q", out)
	}
}

// eventually waits for what the engine and the kernel do beside the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// sleeping counts the processes of this machine that sleep for just so long.
func sleeping(t *testing.T, mark string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && string(data) == "sleep\x00"+mark+"\x00" { // others end meanwhile
			n++
		}
	}
	return n
}
