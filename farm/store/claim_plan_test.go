package store_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

// readsAll matches a step that reads the whole table of jobs or builds: of SQLite (by the names that the query gives
// them, without an index) and of PostgreSQL.
var readsAll = regexp.MustCompile(`(?m)SCAN (jobs|builds|[qrsjb])$|Seq Scan on (jobs|builds)`)

// TestClaimReadsIndexes holds that a claim does not read the jobs that are over, nor those that wait for a platform
// which was not asked for.
func TestClaimReadsIndexes(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			s := storetest.Reopen(t, servers.DSN(t, dialect))
			amd64, arm64 := module.Platform{OS: "linux", Arch: "amd64"}, module.Platform{OS: "linux", Arch: "arm64"}
			const over, waiting = 1000, 1000
			for i := range over + waiting {
				p, state := amd64, farm.Published
				if i < waiting {
					p, state = arm64, farm.Queued
				}
				oneJob(t, s, fmt.Sprint("old", i), p, state)
			}
			if err := s.Analyze(t.Context()); err != nil {
				t.Fatal(err)
			}
			plan, err := s.ExplainClaim(t.Context(), farm.Want{Offers: []farm.Offer{
				{Platform: amd64, Strategy: module.StrategyNative}, {Platform: amd64, Strategy: module.StrategyQEMU, Rank: 2},
			}})
			if err != nil {
				t.Fatal(err)
			}
			if readsAll.MatchString(plan) {
				t.Errorf("a claim reads a whole table:\n%s", plan)
			}
			if !strings.Contains(plan, "jobs_queued") {
				t.Errorf("the index of queued jobs is not used:\n%s", plan)
			}
		})
	}
}
