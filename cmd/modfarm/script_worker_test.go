package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

// handKey is where a script keeps its worker.
const handKey = "worker"

// hand is a worker that does what its script says.
type hand struct{ leases map[string]*held }

// held is a job that a script's worker has.
type held struct {
	lease client.LeaseRef
	next  int64 // where its log goes on
}

// push puts acme:widget under a ref: push main
func push(ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: push REF")
	}
	f := ts.Value(farmOf{}).(*farmOf) //nolint:forcetypeassert // set up with the script
	f.Source.Push(repo, args[0], strings.Repeat("1", 40), metaJSON)
}

// collect removes what no release needs, as a farm does a week from now.
func collect(t *testing.T, ts *testscript.TestScript) {
	t.Helper()
	f := ts.Value(farmOf{}).(*farmOf) //nolint:forcetypeassert // set up with the script
	ahead := func() time.Time { return time.Now().Add(7 * 24 * time.Hour) }
	later := &registry.Registry{Store: f.Registry.Store, Blobs: f.Registry.Blobs, Now: ahead}
	_, err := later.Collect(t.Context())
	ts.Check(err)
}

// work lets a worker take, go on with and end the job of a platform: worker claims linux/amd64, worker logs linux/amd64
// TEXT, worker fails linux/amd64 REASON, worker builds linux/amd64
func work(t *testing.T, ts *testscript.TestScript, args []string) {
	t.Helper()
	if len(args) < 2 {
		ts.Fatalf("usage: worker claims|logs|fails|builds PLATFORM [TEXT]")
	}
	f := ts.Value(farmOf{}).(*farmOf) //nolint:forcetypeassert // set up with the script
	hand := ts.Value(handKey).(*hand) //nolint:forcetypeassert // set up with the script
	platform, err := module.ParsePlatform(args[1])
	ts.Check(err)
	c, err := client.New(client.Config{URL: f.URL, WorkerToken: apitest.WorkerToken})
	ts.Check(err)
	text := strings.Join(args[2:], " ")
	job := hand.leases[args[1]]
	if job == nil && args[0] != "claims" {
		ts.Fatalf("no job for %s was claimed", args[1])
	}
	switch args[0] {
	case "claims":
		apitest.Eventually(t, "a job for "+args[1], func() bool {
			a, err := c.Claim(t.Context(), client.Worker{Name: "w1", Native: []module.Platform{platform}})
			ts.Check(err)
			if a != nil {
				hand.leases[args[1]] = &held{lease: a.Lease.LeaseRef, next: a.Job.LogSize}
			}
			return a != nil
		})
	case "logs":
		job.next, err = c.AppendLog(t.Context(), job.lease, client.LogChunk{Offset: job.next, Step: "Build", Data: []byte(text + "\n")})
		ts.Check(err)
	case "fails":
		_, err = c.Finish(t.Context(), job.lease, client.Outcome{Kind: client.OutcomeFailed, Reason: text, Strategy: module.StrategyNative})
		ts.Check(err)
	case "builds":
		_, err = c.Finish(t.Context(), job.lease, client.Outcome{Kind: client.OutcomeDone, Strategy: module.StrategyNative})
		ts.Check(err)
	default:
		ts.Fatalf("a worker does not %s", args[0])
	}
}
