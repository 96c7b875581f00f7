package e2e_test

import (
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// limitArgs are limits that a case can exceed in seconds.
func limitArgs() []string {
	return []string{
		"--memory", "640m", "--cpus", "1.5", "--pids", "400", "--disk", "600m", "--file-size", "300m", "--open-files", "1000",
		"--log-total", "2m", "--log-line", "1k",
	}
}

// limitCases exceed every limit that a worker sets. Each sentence says which limit
// it was, how much of it there was, and which setting raises it.
func limitCases() []badCase {
	return []badCase{
		{
			name: "log-of-1gb", build: "yes 'a line of a log that nobody reads' | head -c 1000000000", want: client.JobFailed,
			says: []string{"build wrote more than 2MiB of log", "--log-total"}, after: logIsBounded,
		},
		{
			name: "log-of-one-line", build: "head -c 1500000 /dev/zero | tr '\\0' x; echo; " + goodBuild, want: client.JobPublished, after: logIsBounded,
		},
		{
			name: "forks-without-end", build: "python3 -c 'import os, time\nwhile os.fork(): pass\ntime.sleep(100)'", want: client.JobFailed,
			says: []string{"build", "400 may run at a time", "--pids"},
		},
		{
			name: "forks-and-waits", build: "f() { f | f; }; f", want: client.JobFailed, // bash tries again and again
			files: map[string]string{"modfarm.yaml": "timeouts:\n  build: 4s\n"}, says: []string{"build took longer than 4s", "timeouts.build"},
		},
		{
			name: "eats-memory", build: "tail /dev/zero", want: client.JobFailed,
			says: []string{"build ran out of memory", "tail", "640MiB", "--memory"},
		},
		{
			name: "eats-shared-memory", build: "for i in 1 2 3 4; do head -c 200M /dev/zero > /dev/shm/part$i || exit; done", want: client.JobFailed,
			says: []string{"build", "memory"},
		},
		{
			name: "fills-the-workspace", build: "for i in 1 2 3 4 5 6 7 8; do head -c 200M /dev/zero > part$i; done; sleep infinity", want: client.JobFailed,
			says: []string{"build used", "600MiB", "--disk"},
		},
		{
			name: "fills-the-layer", build: "for i in 1 2 3 4 5 6 7 8; do head -c 200M /dev/zero > /opt/part$i; done; sleep infinity", want: client.JobFailed,
			says: []string{"build used", "600MiB", "--disk"},
		},
		{
			name: "file-too-large", build: "head -c 400M /dev/zero > large", want: client.JobFailed,
			says: []string{"build wrote a file larger than the 300MiB", "--file-size"},
		},
		{
			name: "opens-too-many", want: client.JobFailed,
			build: `python3 -c 'f = [open("/dev/null") for _ in range(2000)]'`, says: []string{"too many open files", "1000", "--open-files"},
		},
		{
			name: "takes-all-processors", build: "for i in 1 2 3 4 5 6; do yes >/dev/null & done; sleep 3; kill $(jobs -p); " + goodBuild,
			want: client.JobPublished,
		},
		{
			name: "timeout-of-the-worker", build: goodBuild, want: client.JobPublished,
			files: map[string]string{"modfarm.yaml": "timeouts:\n  build: 100h\n"},
			after: logSays("timeouts.build in modfarm.yaml is 100h", "--timeout-build"),
		},
		{
			name: "setup-never-ends", build: goodBuild, meta: func(m *module.Manifest) { m.Build.Setup = "sleep infinity" },
			files: map[string]string{"modfarm.yaml": "timeouts:\n  setup: 2s\n"}, want: client.JobFailed,
			says: []string{"setup took longer than 2s", "timeouts.setup in modfarm.yaml"},
		},
	}
}

// logIsBounded holds a log to the limit, with the worker's own lines on top.
func logIsBounded(t *testing.T, _ *yard, b client.Build, log string) {
	t.Helper()
	const most = 2<<20 + 64<<10
	if b.Jobs[0].LogSize > most || len(log) > most {
		t.Errorf("the log has %d bytes", b.Jobs[0].LogSize)
	}
}
