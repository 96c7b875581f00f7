package main

import (
	"fmt"
	"time"
)

// fault is a case of the matrix: something that goes wrong, and what is expected then. What every trial checks
// besides is in settle.
type fault struct {
	// name is what its line begins with, and what -run chooses by.
	name string
	// does and then are its row in docs/reliability.md: what is done to the farm, and what comes of it.
	does, then string
	// within is the longest that may pass until the fault is noticed; zero for no promise.
	within time.Duration
	// short says that `make test` tries it, too.
	short bool
	// root says that it needs the rights of root: for namespaces, file systems and an engine of its own.
	root bool
	// before prepares the trial before its farm starts; may be nil.
	before func(t *trial)
	// run does it, and returns how long it took until it was noticed: from the fault to the first thing that the
	// farm or a worker did about it, or for a fault that ends by itself from its end until the work went on.
	run func(t *trial) time.Duration
}

// faults are all there are, in the order in which they are tried.
func faults() []fault {
	var all []fault
	for _, list := range [][]fault{workerFaults(), farmFaults(), nodeFaults(), redisFaults(), networkFaults(), diskFaults(), engineFaults(), cancelFaults()} {
		all = append(all, list...)
	}
	return all
}

// outcome is what came of a case.
type outcome struct {
	fault   fault
	noticed time.Duration
	err     error // what was lost; nil for nothing
}

// String is the line of a case.
func (o outcome) String() string {
	verdict := "ok"
	if o.err != nil {
		verdict = "lost"
	}
	return fmt.Sprintf("fault %s %s %.1f", o.fault.name, verdict, o.noticed.Seconds())
}

// fields are what -json prints.
func (o outcome) fields() map[string]any {
	f := map[string]any{"name": o.fault.name, "ok": o.err == nil, "noticed_seconds": o.noticed.Seconds()}
	if o.fault.within > 0 {
		f["within_seconds"] = o.fault.within.Seconds()
	}
	if o.err != nil {
		f["error"] = o.err.Error()
	}
	return f
}
