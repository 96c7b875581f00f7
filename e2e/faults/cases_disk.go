package main

import (
	"path/filepath"
	"time"

	"github.com/modfarm/modfarm/client"
)

// diskFull is how long a farm's disk stays full: longer than a lease.
const diskFull = 20 * time.Second

func diskFaults() []fault {
	return []fault{
		{
			name: "disk-full-worker", does: "the worker's disk is full while the build script runs, with another worker there",
			then: "the other one builds it", within: deadWorker, root: true,
			before: func(t *trial) { t.disk = t.mountDisk(filepath.Join(t.dir, "work", "first"), 256) },
			run:    fillWorker,
		},
		{
			name: "disk-full-farm", does: "the farm's disk is full for 20 s while the build script runs, with another worker there",
			then: "the worker goes on, attempt 1", within: backSoon, root: true,
			before: func(t *trial) { t.disk = t.mountDisk(filepath.Join(t.dir, "farm"), 64) },
			run:    func(t *trial) time.Duration { return t.fillFarm(phases()[2]) },
		},
		{
			name: "disk-full-farm-upload", does: "the disk of the farm's archives is full for 20 s when one is sent",
			then: "the worker sends it again, attempt 1", within: 2 * backSoon, root: true,
			before: func(t *trial) {
				blobs := filepath.Join(t.dir, "blobs")
				t.disk = t.mountDisk(blobs, 64)
				t.farmArgs = []string{"--blobs", blobs}
			},
			run: func(t *trial) time.Duration { return t.fillFarm(phases()[4]) },
		},
	}
}

func fillWorker(t *trial) time.Duration {
	first, b := t.reach(phases()[2])
	t.startWorker("second")
	t.must("fill a disk", t.disk.fill())
	began := time.Now()
	b.awaitLost(first)
	noticed := time.Since(began)
	b.letGo()
	b.awaitState(client.JobPublished)
	t.must("free a disk", t.disk.free())
	return noticed
}

// fillFarm fills a disk of the farm for a time while a job is in a phase.
func (t *trial) fillFarm(p phase) time.Duration {
	_, b := t.reach(p)
	b.attempts = 1
	t.startWorker("second")
	t.must("fill a disk", t.disk.fill())
	for _, h := range b.holds { // uploads meet the full disk
		h.release()
	}
	t.sleep(diskFull)
	t.must("free a disk", t.disk.free())
	if p.shape.waits != "" {
		return t.goesOn(b)
	}
	began := time.Now()
	b.letGo()
	b.awaitState(client.JobPublished)
	return time.Since(began)
}
