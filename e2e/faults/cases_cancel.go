package main

import (
	"os"
	"os/exec"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// How long it may take until nothing of a cancelled build runs on its worker, or lies there. Without Redis a worker
// hears of it when it extends its lease, every 5 s.
const (
	cancelled            = 2 * time.Second
	cancelledWithoutBell = 8 * time.Second
)

// stubbornBuild is a build whose script ignores SIGTERM.
func stubbornBuild() phase {
	p := phases()[2]
	p.shape.stubborn = true
	return p
}

func cancelFaults() []fault {
	return []fault{
		{
			name: "build-cancelled-fetch", does: "a build is cancelled while the source is fetched",
			then: "it ends cancelled; nothing of it runs or lies on the worker any more", within: cancelled,
			run: func(t *trial) time.Duration { return t.cancelAt(phases()[0], t.cancel) },
		},
		{
			name: "build-cancelled-setup", does: "the same while the setup script runs, which ignores SIGTERM", then: "the same", within: cancelled,
			run: func(t *trial) time.Duration {
				p := phases()[1]
				p.shape.stubborn = true
				return t.cancelAt(p, t.cancel)
			},
		},
		{
			name: "build-cancelled-build", does: "the same while the build script runs, which ignores SIGTERM", then: "the same", within: cancelled, short: true,
			run: func(t *trial) time.Duration { return t.cancelAt(stubbornBuild(), t.cancel) },
		},
		{
			name: "build-cancelled-upload", does: "the same in the middle of the upload", then: "the same", within: cancelled,
			run: func(t *trial) time.Duration { return t.cancelAt(phases()[4], t.cancel) },
		},
		{
			name: "build-cancelled-emulated", does: "the same while the build script runs under QEMU, and ignores SIGTERM", then: "the same",
			within: cancelled, before: (*trial).emulate,
			run: func(t *trial) time.Duration { return t.cancelAt(stubbornBuild(), t.cancel) },
		},
		{
			name: "platform-cancelled", does: "one platform of two is cancelled by the command line while its build script runs, and ignores SIGTERM",
			then: "the same; the other platform waits on", within: cancelled, run: cancelPlatform,
		},
		{
			name: "build-cancelled-without-redis", does: "a build is cancelled while Redis is away", then: "the same, when its worker extends its lease",
			within: cancelledWithoutBell,
			run: func(t *trial) time.Duration {
				return t.cancelAt(stubbornBuild(), func(b *build) {
					t.must("kill Redis", t.redis.kill())
					t.cancel(b)
				})
			},
		},
		{
			name: "worker-stopped", does: "SIGTERM of the worker while the build script runs, which ignores it, with another worker there",
			then: "it gives the job back, and the other one builds it, attempt 1", within: backSoon, run: stopWorker,
		},
	}
}

// cancelAt has a build cancelled while its job is in a phase, and returns how long it took until nothing of it was
// left on its worker.
func (t *trial) cancelAt(p phase, cancel func(*build)) time.Duration {
	_, b := t.reach(p)
	b.cancelled = true
	began := time.Now()
	cancel(b)
	t.until("nothing is left of the build", func() (bool, error) {
		left, err := t.left()
		return len(left) == 0, err
	})
	noticed := time.Since(began)
	if !t.redis.running() {
		t.must("start Redis", t.redis.start(t.ctx))
	}
	for _, h := range b.holds {
		h.release()
	}
	return noticed
}

func (t *trial) cancel(b *build) {
	_, err := t.client.CancelBuild(t.ctx, b.id)
	t.must("cancel a build", err)
}

// cancelPlatform cancels one platform of a build; no worker builds the other one.
func cancelPlatform(t *trial) time.Duration {
	t.further = []module.Platform{emulated()}
	noticed := t.cancelAt(stubbornBuild(), func(b *build) {
		cmd := exec.CommandContext(t.ctx, t.modfarm, "module", "build", "cancel", b.id, "--platform", platform().String())
		id, key := t.farm.Key()
		cmd.Env = append(os.Environ(), "MODFARM_URL="+t.farm.URL(), "MODFARM_KEY_ID="+id, "MODFARM_KEY="+key)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.fail("modfarm module build cancel: %w: %s", err, out)
		}
	})
	b := t.builds[0]
	got, err := t.client.Build(t.ctx, b.id)
	t.must("look at a build", err)
	for _, j := range got.Jobs {
		if j.Platform == emulated() && j.State != client.JobQueued {
			t.fail("the other platform is %s: %s", j.State, j.Reason)
		}
	}
	t.cancel(b)
	return noticed
}

// emulated is a platform that this machine builds under QEMU.
func emulated() module.Platform {
	arm64 := module.Platform{OS: "linux", Arch: "arm64"}
	if platform() == arm64 {
		return module.Platform{OS: "linux", Arch: "amd64"}
	}
	return arm64
}

// emulate has the trial build for a platform that is emulated. Its image is made when it is not there.
func (t *trial) emulate() {
	_, err := road.PrepareFarm(t.ctx, t.root, t.out, []module.Platform{emulated()})
	t.must("make the builder image of "+emulated().String(), err)
	t.target = emulated()
}

// stopWorker ends a worker as a service manager does. It drains for no time.
func stopWorker(t *trial) time.Duration {
	first, b := t.reach(stubbornBuild())
	b.attempts = 1
	second := t.startWorker("second")
	began := time.Now()
	t.must("stop a worker", first.stop())
	b.await("the other worker has the job", func(j client.Job) bool { return j.State == client.JobRunning && j.Worker == second.name })
	noticed := time.Since(began)
	b.letGo()
	b.awaitState(client.JobPublished)
	return noticed
}
