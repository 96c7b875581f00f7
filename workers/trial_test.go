package workers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

func TestStartTrouble(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"./main: error while loading shared libraries: libfoo.so.1: cannot open shared object file: No such file or directory": "the library libfoo.so.1 is not there",
		"./main: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by ./main)":                         "it needs GLIBC_2.38, which is newer than the machine's",
		"exec /module/run.sh: exec format error":                                           "exec format error",
		"standard_init_linux.go:228: exec user process caused: exec format error":          "exec format error",
		"/module/run.sh: line 2: ./main: cannot execute binary file: Exec format error":    "exec format error",
		"/usr/bin/env: ‘node’: No such file or directory":                                  "its interpreter node is not there",
		"./x: ./y: /opt/bin/perl: bad interpreter: No such file or directory":              "its interpreter /opt/bin/perl is not there",
		"qemu-aarch64-static: Could not open '/lib/ld-musl-aarch64.so.1': No such file":    "its loader /lib/ld-musl-aarch64.so.1 is not there",
		"standard_init_linux.go:228: exec user process caused: no such file or directory":  "its interpreter is not there",
		"Traceback (most recent call last):\nFileNotFoundError: config.json: no such file": "",
		"usage: main SOCKET": "",
	} {
		if got := workers.StartTrouble(workers.TrialEnd{Code: 1, Output: output}); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
		if got := workers.StartTrouble(workers.TrialEnd{Alive: true, Output: output}); got != "" {
			t.Errorf("a program that lives: %q", got)
		}
	}
}

// TestSmokeRuns tries archives in the real run image: what cannot start fails the job, how it ends does not.
func TestSmokeRuns(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds in containers")
	}
	w := inDocker(t, docker.Limits{Memory: 2 << 30})
	w.pool.TrialTime = 8 * time.Second // this machine may be busy
	w.start()
	const run = "#!/bin/bash\n"
	for name, tc := range map[string]struct {
		entrypoint, build, smoke string
		kind                     client.OutcomeKind
		says                     string
	}{
		"lives":       {run + "sleep 60\n", "", "", client.OutcomeDone, "smoke run passed: the entrypoint run.sh started and ran for 8s"},
		"exit code":   {run + "exit 126\n", "", "", client.OutcomeDone, "ended by itself with exit code 126"},
		"interpreter": {"#!/opt/no/perl\n", "", "", client.OutcomeFailed, "its interpreter /opt/no/perl is not there"},
		"env":         {"#!/usr/bin/env nodejs\n", "", "", client.OutcomeFailed, "its interpreter nodejs is not there"},
		"no shebang":  {"echo hi\n", "", "", client.OutcomeFailed, "exec format error"},
		"library": {
			run + "exec $(dirname $0)/main\n", "echo 'int gone(void) {return 1;}' | gcc -shared -x c -o libgone.so - && " +
				"echo 'int gone(void); int main(void) {return gone();}' | gcc -x c -o out/main - -L. -lgone", "",
			client.OutcomeFailed, "the library libgone.so is not there",
		},
		"smoke passes": {run, "", "test -x run.sh && ! touch x && touch /tmp/x", client.OutcomeDone, "the smoke command of modfarm.yaml"},
		"smoke fails":  {run, "", "echo it is broken; exit 3", client.OutcomeFailed, "ended with exit code 3: it is broken"},
	} {
		id := w.submitAlone(map[string]string{"run.sh": tc.entrypoint, "name": name}, module.BuildSpec{
			Build: "mkdir out && cp run.sh out/ && chmod +x out/run.sh; " + tc.build,
		}, func(a *client.Assignment) {
			settings := *module.DefaultSettings()
			settings.Smoke = tc.smoke
			a.Settings = &settings
		})
		got := w.outcome(id)
		if got.Kind != tc.kind || !strings.Contains(got.Reason+w.farm.log(id), tc.says) {
			t.Errorf("%s: %+v; want %q in\n%s", name, got, tc.says, w.farm.log(id))
		}
	}
}
