package farm_test

import (
	"testing"

	"github.com/modfarm/modfarm/farm"
)

// TestEveryStep walks every pair of states: what the table allows is exactly what is drawn here.
func TestEveryStep(t *testing.T) {
	t.Parallel()
	legal := map[farm.JobState]map[farm.JobState]bool{
		farm.Resolving: {farm.Queued: true, farm.Published: true, farm.Failed: true, farm.Refused: true, farm.Cancelled: true},
		farm.Queued:    {farm.Running: true, farm.Failed: true, farm.Cancelled: true},
		farm.Running: {
			farm.Queued: true, farm.Waiting: true, farm.Publishing: true, farm.Built: true, farm.Failed: true,
			farm.Refused: true, farm.Cancelled: true,
		},
		farm.Waiting:    {farm.Publishing: true, farm.Failed: true, farm.Cancelled: true},
		farm.Publishing: {farm.Published: true, farm.Failed: true, farm.Refused: true},
	}
	if len(farm.States()) != 10 {
		t.Fatalf("%d states, the walk below knows 10", len(farm.States()))
	}
	for _, from := range farm.States() {
		for _, to := range farm.States() {
			if got, want := from.CanBecome(to), legal[from][to]; got != want {
				t.Errorf("%s -> %s: %t, want %t", from, to, got, want)
			}
		}
		if got, want := from.Terminal(), legal[from] == nil; got != want {
			t.Errorf("%s.Terminal() = %t, want %t", from, got, want)
		}
		if got, want := from.Done(), from == farm.Published || from == farm.Built; got != want {
			t.Errorf("%s.Done() = %t, want %t", from, got, want)
		}
	}
	if farm.JobState("lost").CanBecome(farm.Queued) {
		t.Error("an unknown state has a next one")
	}
}

// TestEveryStateEnds holds that there is a way to an end from everywhere.
func TestEveryStateEnds(t *testing.T) {
	t.Parallel()
	var reaches func(s farm.JobState, seen map[farm.JobState]bool) bool
	reaches = func(s farm.JobState, seen map[farm.JobState]bool) bool {
		if s.Terminal() {
			return true
		}
		seen[s] = true
		for _, to := range farm.States() {
			if s.CanBecome(to) && !seen[to] && reaches(to, seen) {
				return true
			}
		}
		return false
	}
	for _, s := range farm.States() {
		if !reaches(s, map[farm.JobState]bool{}) {
			t.Errorf("%s never ends", s)
		}
	}
}
