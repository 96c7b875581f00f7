package workers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/docker"
)

// TestPoolBoundsContainers: whole jobs in real containers, each of which goes too far in one way. What must be left of
// them is nothing, which the end of the test checks.
func TestPoolBoundsContainers(t *testing.T) {
	t.Parallel()
	w := inDocker(t, docker.Limits{
		Memory: 256 << 20, Processes: 64, OpenFiles: 256, FileSize: 20 << 20, Disk: 96 << 20,
	})
	w.pool.LogTotal = 8 << 20
	w.start()
	short := func(a *client.Assignment) {
		a.Settings = &module.Settings{Timeouts: module.Timeouts{Build: 4 * time.Second}}
	}
	cases := []struct {
		name, build string
		change      func(*client.Assignment)
		kind        client.OutcomeKind
		says        []string
	}{
		{
			"memory", "tail /dev/zero", nil, client.OutcomeFailed,
			[]string{"build ran out of memory: the kernel ended ", "when all 256MiB were used", "--memory"},
		},
		{
			"disk", "for i in {1..9}; do dd if=/dev/zero of=/var/tmp/$i bs=1M count=16; done; sleep 60", nil, client.OutcomeFailed,
			[]string{"build used ", "MiB of disk (", "MiB in the rest of the container", "a build may use 96MiB here", "--disk"},
		},
		{
			"a log of 1 GB", "yes one line of a log that has a great many of them | head -c 1000000000; sleep 60", nil, client.OutcomeFailed,
			[]string{"build wrote more than 8MiB of log and was stopped", "--log-total"},
		},
		{
			"a step after one that a killed process did not end", "exit 5", func(a *client.Assignment) {
				a.Manifest.Build.Setup = "(tail /dev/zero); echo and on"
			}, client.OutcomeFailed, []string{"build (exit 5) ended with exit code 5"},
		},
		{
			"file size", "dd if=/dev/zero of=big bs=1M count=40", nil, client.OutcomeFailed,
			[]string{"build wrote a file larger than the 20MiB", "--file-size"},
		},
		{
			"threads", `python3 -c 'import threading, time
for _ in range(200): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()'`, nil, client.OutcomeFailed,
			[]string{"build was refused a new process or thread", "64 may run at a time here", "--pids"},
		},
		{
			"open files", "python3 -c 'kept = [open(\"/dev/null\") for _ in range(999)]'", nil, client.OutcomeFailed,
			[]string{"build had too many open files", "256", "--open-files", "Too many open files"},
		},
		{
			"fork bomb", "bomb() { bomb | bomb & }; bomb; while :; do :; done", short, client.OutcomeFailed,
			[]string{"build took longer than 4s and was stopped", "timeouts.build"},
		},
		{
			"leftovers", `mkdir -m 0 closed; touch closed/file; mkfifo pipe closed/pipe; chown 1234 pipe
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("closed/socket")'
sleep 1000 & nohup bash -c 'while :; do echo still here >>closed/file; sleep 0.1; done' >/dev/null 2>&1 &
` + makeOut, nil, client.OutcomeDone, nil,
		},
	}
	ids := make([]string, len(cases))
	for i, tc := range cases {
		ids[i] = w.submit(tc.change, module.BuildSpec{Build: tc.build}, map[string]string{"kept": tc.name})
	}
	for i, tc := range cases {
		got := w.outcome(ids[i])
		if got.Kind != tc.kind {
			t.Errorf("%s: %+v\n%s", tc.name, got, w.farm.log(ids[i]))
		}
		for _, want := range tc.says {
			if !strings.Contains(got.Reason, want) {
				t.Errorf("%s: no %q in %q", tc.name, want, got.Reason)
			}
		}
	}
}
