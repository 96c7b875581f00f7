package workers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/docker"
)

// tidy is a script that puts away what it has when it is asked to end, and does not end before.
const tidy = `trap 'echo the script tidied; exit 9' TERM; echo begun; while :; do sleep 0.1; done`

// TestTimeoutsAskFirst: in real containers, a script that takes too long hears SIGTERM and has the grace, whichever of
// the timeouts it is: what it says last is in the log, and the reason names the timeout. One that writes more than a
// log may hold has no grace.
func TestTimeoutsAskFirst(t *testing.T) {
	t.Parallel()
	w := inDocker(t, docker.Limits{Grace: time.Hour})
	w.pool.LogTotal = 1 << 20
	w.start()
	limited := func(setup, build, total time.Duration) func(*client.Assignment) {
		return func(a *client.Assignment) {
			a.Settings = &module.Settings{Timeouts: module.Timeouts{Setup: setup, Build: build, Total: total}}
		}
	}
	const short = 6 * time.Second
	cases := []struct {
		name   string
		spec   module.BuildSpec
		change func(*client.Assignment)
		says   string
		tidied bool
	}{
		{"setup", module.BuildSpec{Setup: tidy, Build: "exit 5"}, limited(short, 0, 0), "setup took longer than 6s and was stopped; raise timeouts.setup", true},
		{"build", module.BuildSpec{Build: tidy}, limited(0, short, 0), "build took longer than 6s and was stopped; raise timeouts.build", true},
		{"total", module.BuildSpec{Build: tidy}, limited(0, 0, 2*short), "the build as a whole took longer than 12s and was stopped; raise timeouts.total", true},
		{
			"log",
			module.BuildSpec{Build: `trap 'echo the script tidied' TERM; yes a line of a log | head -c 3000000; while :; do sleep 0.1; done`},
			nil,
			"build wrote more than 1MiB of log and was stopped", false,
		},
	}
	ids := make([]string, len(cases))
	for i, tc := range cases {
		ids[i] = w.submit(tc.change, tc.spec, nil)
	}
	for i, tc := range cases {
		got, log := w.outcome(ids[i]), w.farm.log(ids[i])
		if got.Kind != client.OutcomeFailed || !strings.Contains(got.Reason, tc.says) {
			t.Errorf("%s: %+v; want it failed, as %q", tc.name, got, tc.says)
		}
		if tidied := strings.Contains(log, "the script tidied"); tidied != tc.tidied {
			t.Errorf("%s: the script was asked to end: %t\n%.2000s", tc.name, tidied, log)
		}
	}
}
