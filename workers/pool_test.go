package workers_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func TestPoolBuildsAndUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	uploads := slowUploads{w.farm, make(chan string, 1), make(chan struct{})}
	w.pool.Farm = uploads
	w.start()
	id := w.submit(nil, module.BuildSpec{
		Setup: "echo setting up; env | grep -E '^(GOOS|VIAM_|MODFARM_|SOURCE_)' | sort",
		Build: "echo token " + secret + "; " + makeOut,
	}, map[string]string{"src/a": "x"})
	wait(t, "the upload", uploads.reached)
	eventually(t, "the farm hears of the upload", func() bool {
		steps := w.farm.steps(id)
		return steps[len(steps)-1] == "Upload archive"
	})
	close(uploads.gate)
	if got := w.outcome(id); got.Kind != client.OutcomeDone || got.Strategy != module.StrategyNative {
		t.Fatalf("outcome %+v\n%s", got, w.farm.log(id))
	}
	log := w.farm.log(id)
	for _, want := range []string{
		"[Fetch source]fetching " + w.url, "strategy: native, because this worker is a linux/amd64 machine\n", "[Setup]setting up\n",
		"GOOS=linux\n", "VIAM_BUILD_OS=linux\n", "VIAM_BUILD_ARCH=amd64\n", "VIAM_TARGET_ARCH=amd64\n", "MODFARM_VERSION=1.2.3\n",
		"MODFARM_STRATEGY=native\n", "SOURCE_DATE_EPOCH=1", "[Build]token ***\n", "[Inspect archive]packing the folder out\n", "[Upload archive]uploaded ",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the log:\n%s", want, log)
		}
	}
	if strings.Contains(log, secret) {
		t.Errorf("the log shows the token:\n%s", log)
	}
	if sum := w.farm.archive(id); sum == "" {
		t.Error("nothing was uploaded")
	}
}

func TestPoolExplainsFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	quick := func(a *client.Assignment) { a.Settings.Timeouts.Build = 300 * time.Millisecond }
	tests := []struct {
		name   string
		change func(*client.Assignment)
		spec   module.BuildSpec
		files  map[string]string
		kind   client.OutcomeKind
		says   string
	}{
		{name: "setup", spec: module.BuildSpec{Setup: "echo oh no >&2; exit 7", Build: "true"}, kind: client.OutcomeFailed, says: "setup (echo oh no >&2; exit 7) ended with exit code 7: oh no"},
		{name: "build", spec: module.BuildSpec{Build: "echo fine; false"}, kind: client.OutcomeFailed, says: "build (echo fine; false) ended with exit code 1: fine"},
		{name: "timeout", change: quick, spec: module.BuildSpec{Build: "sleep 100"}, kind: client.OutcomeFailed, says: "build took longer than 300ms and was stopped; raise timeouts.build in modfarm.yaml"},
		{name: "no exec bit", spec: module.BuildSpec{Build: "./plain.sh"}, files: map[string]string{"plain.sh": "\x7fELF\x00"}, kind: client.OutcomeFailed, says: "plain.sh has no exec bit: git update-index --chmod=+x plain.sh"},
		{name: "no output", spec: module.BuildSpec{Build: "mkdir x; touch x/other.tar.gz", Path: "y.tar.gz"}, kind: client.OutcomeFailed, says: "left nothing at build.path y.tar.gz (there is x/other.tar.gz)"},
		{name: "output is a pipe", spec: module.BuildSpec{Build: "mkfifo out"}, kind: client.OutcomeFailed, says: "neither a file nor a folder"},
		{name: "output leads out", spec: module.BuildSpec{Build: "ln -s /etc out"}, kind: client.OutcomeFailed, says: "build.path out cannot be used"},
		{name: "not an archive", spec: module.BuildSpec{Build: "echo x > out"}, kind: client.OutcomeRefused, says: "gzip"},
		{name: "no entrypoint", spec: module.BuildSpec{Build: "mkdir out; touch out/x"}, kind: client.OutcomeRefused, says: "run.sh"},
		{name: "no workdir", change: func(a *client.Assignment) { a.Build.Workdir = "nowhere" }, spec: module.BuildSpec{Build: "true"}, kind: client.OutcomeFailed, says: `workdir "nowhere"`},
		{name: "workdir leads out", change: func(a *client.Assignment) { a.Build.Workdir = "../../.." }, spec: module.BuildSpec{Build: "true"}, kind: client.OutcomeFailed, says: `workdir "../../.."`},
		{name: "no such commit", change: func(a *client.Assignment) { a.Build.Commit = strings.Repeat("ab", 20) }, kind: client.OutcomeFailed, says: "does not have this commit"},
		{name: "wrong token", change: func(a *client.Assignment) { a.Token = "wrong-token" }, kind: client.OutcomeFailed, says: "token"},
		{name: "forbidden address", change: func(a *client.Assignment) { a.Build.Repo = "https://10.0.0.1/x" }, kind: client.OutcomeRefused, says: "private addresses"},
		{name: "git server away", change: func(a *client.Assignment) { a.Build.Repo = "http://127.0.0.1:1/x" }, kind: client.OutcomeFault, says: "does not answer"},
		{name: "wrong platform, native", spec: module.BuildSpec{Build: "mkdir out; cp /bin/true out/run.sh"}, change: func(a *client.Assignment) {
			a.Job.Platform, a.Strategies = platform("arm64"), []module.Strategy{module.StrategyQEMU}
		}, kind: client.OutcomeRefused, says: "linux/amd64"},
		{name: "not to be crossed", spec: module.BuildSpec{Build: makeOut}, change: func(a *client.Assignment) {
			a.Job.Platform, a.Strategies = platform("arm64"), []module.Strategy{module.StrategyCross}
		}, kind: client.OutcomeFallback, says: "nothing says that it cross-compiles"},
	}
	ids := make([]string, len(tests))
	for i, tc := range tests {
		ids[i] = w.submit(tc.change, tc.spec, tc.files)
	}
	for i, tc := range tests {
		got := w.outcome(ids[i])
		if got.Kind != tc.kind || !strings.Contains(got.Reason, tc.says) || strings.Contains(got.Reason, "\n") {
			t.Errorf("%s: %d %q, want %d saying %q\n%s", tc.name, got.Kind, got.Reason, tc.kind, tc.says, w.farm.log(ids[i]))
		}
	}
}

func TestPoolFallsBackOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	files := map[string]string{"Makefile": "all:\n", "main.c": ""}
	arm := func(a *client.Assignment) {
		a.Job.Platform, a.Strategies = platform("arm64"), []module.Strategy{module.StrategyCross, module.StrategyQEMU}
	}
	script := func(crossed string) module.BuildSpec {
		return module.BuildSpec{Build: `[ ! -e dirty ] || exit 9; touch dirty; if [ $MODFARM_STRATEGY = cross ]; then ` + crossed + `; else ` + makeOut + `; fi`}
	}
	for crossed, says := range map[string]string{
		`mkdir out; cp /bin/true out/run.sh`:                                                          "programs of another platform",
		`echo './x: cannot execute binary file: Exec format error'; exit 1`:                           "exec format error",
		`aarch64-linux-gnu-gcc-nowhere || $CC-x; echo "make: $CC: No such file or directory"; exit 2`: "cross compiler for linux/arm64 is missing",
	} {
		id := w.submit(arm, script(crossed), files)
		got, log := w.outcome(id), w.farm.log(id)
		if got.Kind != client.OutcomeDone || got.Strategy != module.StrategyQEMU || !strings.Contains(log, says) {
			t.Errorf("%s: %+v\n%s", crossed, got, log)
		}
		if told := w.farm.strategies(id); strings.Join(told, " ") != "cross qemu" {
			t.Errorf("%s: strategies told: %q", crossed, told)
		}
	}
	id := w.submit(arm, script(`echo 'main.c:1: error: expected ;'; exit 1`), files)
	if got := w.outcome(id); got.Kind != client.OutcomeFailed || !strings.Contains(got.Reason, "expected ;") {
		t.Errorf("a compile error: %+v", got)
	}
	id = w.submit(func(a *client.Assignment) {
		arm(a)
		a.Strategies = a.Strategies[:1]
	}, script(`mkdir out; cp /bin/true out/run.sh`), files)
	if got := w.outcome(id); got.Kind != client.OutcomeFallback || got.Strategy != module.StrategyCross {
		t.Errorf("without emulation here: %+v", got)
	}
}

func TestPoolSurvivesAFarmThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	gate := filepath.Join(t.TempDir(), "gate")
	id := w.submit(nil, module.BuildSpec{
		Build: `echo before; while [ ! -e ` + gate + ` ]; do sleep 0.05; done; seq 1 20000; echo after; ` + makeOut,
	}, nil)
	w.farm.awaitLog(t, id, "before\n")
	w.farm.away(true)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.farm.awaitRefusals(t, 20)
	w.farm.away(false)
	if got := w.outcome(id); got.Kind != client.OutcomeDone {
		t.Fatalf("outcome %+v", got)
	}
	log := w.farm.log(id)
	if !strings.Contains(log, "before\n1\n2\n3\n") || !strings.Contains(log, "\n19999\n20000\nafter\n") {
		t.Errorf("the log has holes: %.200q…", log)
	}
}

// TestPoolOnABrokenMachineClaimsNothing offers a job to a worker whose engine is away. It would only give it back,
// and jobs are not given out without end.
func TestPoolOnABrokenMachineClaimsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runner.breaks(true)
	w.start()
	id := w.submit(nil, module.BuildSpec{Build: makeOut}, nil)
	for range 2 {
		wait(t, "the question whether the machine can build", w.runner.asked)
	}
	w.farm.change(func() {
		if w.farm.claims > 0 {
			t.Errorf("%d claims", w.farm.claims)
		}
	})
	w.runner.breaks(false)
	if got := w.outcome(id); got.Kind != client.OutcomeDone {
		t.Fatalf("outcome %+v", got)
	}
}

func TestPoolStopsWhenTheLeaseIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	id := w.submit(nil, module.BuildSpec{Build: "echo started; sleep 100"}, nil)
	w.farm.awaitLog(t, id, "started\n")
	w.farm.lose(id)
	wait(t, "the end of the container", w.runner.idle())
	// A second job proves that the slot is free again and that the first one said nothing more.
	if got := w.outcome(w.submit(nil, module.BuildSpec{Build: makeOut}, nil)); got.Kind != client.OutcomeDone {
		t.Errorf("the next job: %+v", got)
	}
	if w.farm.finished(id) || w.farm.archive(id) != "" {
		t.Error("a job that another worker has was finished")
	}
}

func TestPoolCancels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bell := newFakeBell()
	w.pool.Bell = bell
	w.start()
	id := w.submit(nil, module.BuildSpec{Build: "echo started; sleep 100"}, nil)
	w.farm.awaitLog(t, id, "started\n")
	w.farm.cancel(id)
	bell.cancels <- "somebody-else"
	bell.cancels <- id
	if got := w.outcome(id); got.Kind != client.OutcomeReturned || got.Reason != "the job was cancelled" {
		t.Errorf("outcome %+v", got)
	}
}

func TestPoolIsWoken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bell := newFakeBell()
	w.pool.Bell, w.pool.Poll = bell, time.Hour
	w.start()
	w.farm.awaitClaims(t, 1)
	id := w.submit(nil, module.BuildSpec{Build: makeOut}, nil)
	wait(t, "taking the wake-up", bell.ring())
	if got := w.outcome(id); got.Kind != client.OutcomeDone {
		t.Errorf("outcome %+v", got)
	}
}

func TestPoolGivesJobsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool.Grace = 200 * time.Millisecond
	w.start()
	id := w.submit(nil, module.BuildSpec{Build: "echo started; sleep 100"}, nil)
	w.farm.awaitLog(t, id, "started\n")
	w.stop()
	if got := w.outcome(id); got.Kind != client.OutcomeReturned {
		t.Errorf("outcome %+v", got)
	}
	if err := wait(t, "the end of the pool", w.done); err != nil {
		t.Errorf("Run: %v", err)
	}
	w.done <- nil
	if !strings.Contains(w.farm.log(id), "started") {
		t.Error("the log of a job that was given back is lost")
	}
}

func TestPoolDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	gate := filepath.Join(t.TempDir(), "gate")
	id := w.submit(nil, module.BuildSpec{Build: `echo started; while [ ! -e ` + gate + ` ]; do sleep 0.05; done; ` + makeOut}, nil)
	w.farm.awaitLog(t, id, "started\n")
	w.stop()
	later := w.submit(nil, module.BuildSpec{Build: makeOut}, nil)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.outcome(id); got.Kind != client.OutcomeDone {
		t.Errorf("a running job within the grace period: %+v", got)
	}
	if err := wait(t, "the end of the pool", w.done); err != nil {
		t.Errorf("Run: %v", err)
	}
	w.done <- nil
	if w.farm.finished(later) {
		t.Error("a job was claimed while stopping")
	}
	if !w.farm.draining {
		t.Error("the farm was not told that the worker stops")
	}
}

// TestPoolInAHurry: who signals a second time does not wait for the grace; the job is given back.
func TestPoolInAHurry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hurry := make(chan struct{})
	w.pool.Grace, w.pool.Hurry = time.Hour, hurry
	w.start()
	id := w.submit(nil, module.BuildSpec{Build: `echo started; sleep 3600`}, nil)
	w.farm.awaitLog(t, id, "started\n")
	w.stop()
	close(hurry)
	if got := w.outcome(id); got.Kind != client.OutcomeReturned {
		t.Errorf("a job that was running: %+v", got)
	}
	if err := wait(t, "the end of the pool", w.done); err != nil {
		t.Errorf("Run: %v", err)
	}
	w.done <- nil
}

func TestPoolRemovesWhatWasLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := filepath.Join(w.pool.WorkDir, "jobs", "w1", "old-job")
	other := filepath.Join(w.pool.WorkDir, "jobs", "w2", "theirs")
	for _, dir := range []string{old, other} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	w.farm.awaitClaims(t, 1)
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an old folder is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("another worker's folder: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(other)); err != nil {
		t.Fatal(err)
	}
	if w.runner.reaped() != 1 {
		t.Error("containers were not reaped")
	}
}

func TestPoolOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool.Native, w.pool.Cross, w.pool.QEMU = nil, nil, nil
	if err := w.pool.Run(t.Context()); !errors.Is(err, module.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}
