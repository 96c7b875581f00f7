package workers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
)

// TestPoolBoundsWhatScriptsDo: each script goes too far in one way, the job ends with a sentence, and the pool goes on.
func TestPoolBoundsWhatScriptsDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool.LogTotal, w.pool.LogLine = 1<<20, 1000
	w.pool.Timeouts = module.Timeouts{Setup: time.Second, Build: 20 * time.Second}
	w.start()
	wish := func(s module.Timeouts) func(*client.Assignment) {
		return func(a *client.Assignment) { a.Settings = &module.Settings{Timeouts: s} }
	}
	inMod := func(a *client.Assignment) { a.Build.Workdir = "mod" }
	for _, tc := range []struct {
		name   string
		change func(*client.Assignment)
		spec   module.BuildSpec
		kind   client.OutcomeKind
		says   []string
		logs   string
	}{
		{
			"more time than the worker gives", wish(module.Timeouts{Setup: time.Hour}),
			module.BuildSpec{Setup: "sleep 100", Build: "true"},
			client.OutcomeFailed,
			[]string{"setup took longer than 1s and was stopped; ", "--timeout-setup"},
			"timeouts.setup in modfarm.yaml is 1h0m0s, and this worker allows 1s: 1s is used (--timeout-setup of the worker)",
		},
		{
			"less time than the worker gives", wish(module.Timeouts{Total: 700 * time.Millisecond}),
			module.BuildSpec{Build: "sleep 100"},
			client.OutcomeFailed,
			[]string{"the build as a whole took longer than 700ms", "raise timeouts.total in modfarm.yaml (this worker allows up to 3h0m0s)"},
			"",
		},
		{
			"an endless log", nil,
			module.BuildSpec{Build: "yes; sleep 100"},
			client.OutcomeFailed,
			[]string{"build wrote more than 1MiB of log and was stopped; ", "--log-total"},
			"The scripts wrote more than 1MiB, the most that a log keeps here",
		},
		{
			"a line without an end", nil,
			module.BuildSpec{Build: "tr '\\0' x </dev/zero"},
			client.OutcomeFailed,
			[]string{"build wrote more than 1MiB of log"},
			"bytes of this line are left out (--log-line of the worker)\n",
		},
		{
			"a long line", nil,
			module.BuildSpec{Build: "head -c 9000 /dev/zero | tr '\\0' x; echo; echo and on; " + makeOut},
			client.OutcomeDone,
			nil, "x … 8000 bytes of this line are left out (--log-line of the worker)\nand on\n",
		},
		{
			"a pipe at build.path", nil,
			module.BuildSpec{Build: "mkfifo out"},
			client.OutcomeFailed,
			[]string{"build.path out is neither a file nor a folder"},
			"",
		},
		{
			"a pipe in the folder", nil,
			module.BuildSpec{Build: makeOut + "; mkfifo out/pipe"},
			client.OutcomeRefused,
			[]string{"pipe", "is neither a file, a folder nor a link"},
			"",
		},
		{
			"a link out of the workspace", nil,
			module.BuildSpec{Build: "ln -s /etc out"},
			client.OutcomeFailed,
			[]string{"build.path out cannot be used", "inside the module's folder"},
			"",
		},
		{
			"a link to a file outside", nil,
			module.BuildSpec{Build: "ln -s ../../../../../../../../../../etc/passwd out"},
			client.OutcomeFailed,
			[]string{"build.path out cannot be used", "inside the module's folder"},
			"",
		},
		{
			"a link in place of the module's folder", inMod,
			module.BuildSpec{Build: "cd ..; mv mod was; ln -s /etc mod", Path: "ssl"},
			client.OutcomeFailed,
			[]string{"removed or replaced the module's folder"},
			"",
		},
		{
			"a pipe that claims to be a script", nil,
			module.BuildSpec{Build: "mkfifo run; echo './run: cannot execute: required file not found'; exit 126"},
			client.OutcomeFailed,
			[]string{"ended with exit code 126: ./run: cannot execute"},
			"",
		},
		{"an ordinary build after all that", nil, module.BuildSpec{Build: makeOut}, client.OutcomeDone, nil, ""},
	} {
		id := w.submit(tc.change, tc.spec, map[string]string{"mod/kept": tc.name})
		got, log := w.outcome(id), w.farm.log(id)
		if got.Kind != tc.kind || !strings.Contains(log, tc.logs) {
			t.Errorf("%s: %+v\n%.2000s", tc.name, got, log)
		}
		for _, want := range tc.says {
			if !strings.Contains(got.Reason, want) {
				t.Errorf("%s: no %q in %q", tc.name, want, got.Reason)
			}
		}
		if len(log) > 1<<20+10_000 {
			t.Errorf("%s: the log has %d bytes", tc.name, len(log))
		}
	}
}

func TestSentencesOfLimits(t *testing.T) {
	t.Parallel()
	limits := workers.Exit{
		Code: 1, MemoryLimit: 4 << 30, SharedMemory: 1 << 30, ProcessLimit: 4096, OpenFilesLimit: 65536, FileSizeLimit: 50 << 30,
	}
	with := func(change func(*workers.Exit)) workers.Exit {
		e := limits
		change(&e)
		return e
	}
	for _, tc := range []struct {
		exit         workers.Exit
		output, want string
	}{
		{
			with(func(e *workers.Exit) { e.OutOfMemory, e.Killed = true, "cc1plus" }), "Killed",
			`build ran out of memory: the kernel ended "cc1plus" when all 4GiB were used; build with fewer processes at a time (make -j1), or have the worker's owner raise --memory`,
		},
		{
			with(func(e *workers.Exit) { e.ForksRefused = 7 }), "",
			"build was refused a new process or thread 7 times: 4096 may run at a time here, and that many did; run fewer at a time, or have the worker's owner raise --pids",
		},
		{
			limits, "RuntimeError: can't start new thread\n",
			"build was refused a new process or thread: 4096 may run at a time here, and that many did; run fewer at a time, or have the worker's owner raise --pids: RuntimeError: can't start new thread",
		},
		{
			with(func(e *workers.Exit) { e.Code = 153 }), "",
			"build wrote a file larger than the 50GiB that one file may have here; write less into one file, or have the worker's owner raise --file-size",
		},
		{
			limits, "OSError: [Errno 24] Too many open files: 'x'\n",
			"build had too many open files: one process may have 65536 here; close some, or have the worker's owner raise --open-files: OSError: [Errno 24] Too many open files: 'x'",
		},
		{
			limits, "dd: error writing '/dev/shm/x': No space left on device\n",
			"build found a file system full: /dev/shm holds 1GiB here, which count as memory, and the rest is the worker's disk; write to /tmp instead, " +
				"or have the worker's owner free space: dd: error writing '/dev/shm/x': No space left on device",
		},
		{limits, "undefined: foo\n", ""},
	} {
		if got := workers.Exhausted(tc.exit, tc.output); got != tc.want {
			t.Errorf("%q:\n got %q\nwant %q", tc.output, got, tc.want)
		}
	}
}
