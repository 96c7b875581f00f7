package main

import (
	"time"

	"github.com/modfarm/modfarm/client"
)

// healed is the longest from when a network works again until the worker's next words arrive.
const healed = 30 * time.Second

func networkFaults() []fault {
	list := []fault{
		{
			name: "network-cut-10s", does: "the network between worker and farm is cut for 10 s while the build script runs, with another worker there",
			then: "the worker goes on, attempt 1", within: healed,
			run: func(t *trial) time.Duration { return t.cutNetwork(phases()[2], 10*time.Second, 1, true) },
		},
		{
			name: "network-cut-60s", does: "the same for 60 s", then: "the other one builds it, attempt 2; the first one stops when it hears of it",
			within: deadWorker,
			run:    func(t *trial) time.Duration { return t.cutNetwork(phases()[2], time.Minute, 2, true) },
		},
		{
			name: "network-cut-60s-alone", does: "the same for 60 s, without another worker", then: "the worker takes the job up again where it was, attempt 1",
			within: healed,
			run:    func(t *trial) time.Duration { return t.cutNetwork(phases()[2], time.Minute, 1, false) },
		},
		{
			name: "network-cut-10s-upload", does: "the network is cut for 10 s in the middle of the upload, with another worker there",
			then: "the upload goes on, attempt 1", within: healed,
			run: func(t *trial) time.Duration { return t.cutNetwork(phases()[4], 10*time.Second, 1, true) },
		},
		{
			name: "network-cut-60s-upload", does: "the same for 60 s, without another worker", then: "the upload goes on, attempt 1",
			within: time.Minute,
			run:    func(t *trial) time.Duration { return t.cutNetwork(phases()[4], time.Minute, 1, false) },
		},
	}
	for i := range list {
		list[i].root = true
		list[i].before = (*trial).joinByWire
	}
	return list
}

// joinByWire has the first worker run behind a wire.
func (t *trial) joinByWire() {
	w, err := layWire(t.ctx)
	t.must("lay a wire", err)
	t.atEnd(w.remove)
	t.wire, t.host = w, w.addr
	t.elsewhere = func(first *worker) { first.in = within(w.space) }
}

// cutNetwork cuts off the worker of a job for a time. It returns how long it took until the farm missed it, or where
// it is to keep the job, from the end of the cut until it went on.
func (t *trial) cutNetwork(p phase, lasts time.Duration, attempts int, other bool) time.Duration {
	first, b := t.reach(p)
	b.attempts = attempts
	if other {
		t.startWorker("second")
	}
	t.must("cut the wire", t.wire.cut(t.ctx))
	began := time.Now()
	var noticed time.Duration
	if attempts > 1 {
		b.awaitLost(first)
		noticed = time.Since(began)
		b.letGo()
		b.awaitState(client.JobPublished)
	}
	t.sleep(lasts - time.Since(began))
	t.must("heal the wire", t.wire.heal(t.ctx))
	switch {
	case attempts > 1:
		t.must("heal the wire", first.awaitWords(t.ctx, "the lease was lost"))
		return noticed
	case p.shape.waits != "":
		return t.goesOn(b)
	}
	healed := time.Now()
	b.letGo()
	b.awaitState(client.JobPublished)
	return time.Since(healed)
}
