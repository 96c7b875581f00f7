package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/store"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

var errEnough = errors.New("seen")

// oneJob is a build with one job in a state.
func oneJob(tb testing.TB, s *store.Store, id string, p module.Platform, state farm.JobState) {
	tb.Helper()
	rec := &farm.Record{Build: farm.Build{
		ID: id, OrgID: "org" + id[len(id)-1:], Module: module.ID{Namespace: "acme", Name: "widget" + id}, CreatedAt: start, Publish: module.PublishEach,
	}}
	rec.Jobs = []*farm.JobRecord{{OrgID: rec.Build.OrgID, Job: farm.Job{
		ID: "job" + id, BuildID: id, Platform: p, State: state, CreatedAt: start, QueuedAt: start, StartedAt: start,
	}}}
	add(tb, s, rec)
}

// BenchmarkFull measures what every build meets in a database with 10,000 finished jobs and 1,000 that wait for another
// platform: adding it, claiming it, and a claim that finds nothing.
func BenchmarkFull(b *testing.B) {
	for _, dialect := range storetest.Dialects() {
		b.Run(dialect, func(b *testing.B) {
			s := storetest.Reopen(b, servers.DSN(b, dialect))
			amd64, arm64 := module.Platform{OS: "linux", Arch: "amd64"}, module.Platform{OS: "linux", Arch: "arm64"}
			for i := range 11_000 {
				p, state := amd64, farm.Published
				if i%11 == 0 {
					p, state = arm64, farm.Queued
				}
				oneJob(b, s, fmt.Sprint("old", i), p, state)
			}
			want := farm.Want{Offers: []farm.Offer{{Platform: amd64, Strategy: module.StrategyNative}}}
			i := 0
			b.Run("add and claim", func(b *testing.B) {
				for b.Loop() {
					oneJob(b, s, fmt.Sprint("new", i), amd64, farm.Queued)
					if _, err := s.ClaimJob(b.Context(), want, func(j *farm.JobRecord) error {
						j.Job.State = farm.Published
						return nil
					}); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
			b.Run("claim nothing", func(b *testing.B) {
				for b.Loop() {
					if _, err := s.ClaimJob(b.Context(), want, func(*farm.JobRecord) error { return nil }); !errors.Is(err, module.ErrNotFound) {
						b.Fatal(err)
					}
				}
			})
			b.Run("look at a line of a thousand", func(b *testing.B) {
				deep := farm.Want{Offers: []farm.Offer{{Platform: arm64, Strategy: module.StrategyNative}}}
				for b.Loop() {
					if _, err := s.ClaimJob(b.Context(), deep, func(*farm.JobRecord) error { return errEnough }); !errors.Is(err, errEnough) {
						b.Fatal(err)
					}
				}
			})
			b.Run("sweep", func(b *testing.B) {
				for b.Loop() {
					for _, state := range []farm.JobState{farm.Running, farm.Publishing, farm.Resolving} {
						if _, err := s.Overdue(b.Context(), state, start.Add(time.Hour), 1000); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		})
	}
}
