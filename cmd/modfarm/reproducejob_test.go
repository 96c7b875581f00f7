package main

import (
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// TestReproducible holds that a job which cannot be run again is refused before anything is started, with status 1.
func TestReproducible(t *testing.T) {
	t.Parallel()
	ended := client.Job{Platform: amd64, State: client.JobPublished, Terminal: true, Strategy: module.StrategyNative}
	running := client.Job{Platform: amd64, State: client.JobRunning, Strategy: module.StrategyNative}
	const repo = "https://git.example.com/acme/widget"
	for name, tt := range map[string]struct {
		build client.Build
		says  string
	}{
		"ended":    {client.Build{Repo: repo, Commit: "aaaa", Jobs: []client.Job{ended}}, ""},
		"running":  {client.Build{Repo: repo, Commit: "aaaa", Jobs: []client.Job{running}}, "is still running"},
		"uploaded": {client.Build{Commit: "aaaa", Jobs: []client.Job{ended}}, ""},
	} {
		_, err := jobOf(tt.build, amd64)
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || exitCode(t.Context(), err) != exitFailed):
			t.Errorf("%s: %v, want %q with status %d", name, err, tt.says, exitFailed)
		}
	}
}
