package workers_test

import (
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// TestLogSaysWhichSettingsAreUnused: what modfarm.yaml sets and nothing acts on is named in one line of the log.
func TestLogSaysWhichSettingsAreUnused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	for _, tc := range []struct {
		settings string
		line     string
	}{
		{"publish: all", ""},
		{"smoke: ./main --version", "modfarm.yaml: smoke: accepted for later, not used yet\n"},
		{
			"caches: [node_modules]\nsmoke: 'true'\nsnapshot: [setup.sh]",
			"modfarm.yaml: caches, smoke, snapshot: accepted for later, not used yet\n",
		},
	} {
		settings, err := module.ParseSettings([]byte(tc.settings))
		if err != nil {
			t.Fatal(err)
		}
		id := w.submit(func(a *client.Assignment) { a.Settings = settings }, module.BuildSpec{Build: makeOut}, map[string]string{"a": tc.settings})
		if got := w.outcome(id); got.Kind != client.OutcomeDone {
			t.Fatalf("outcome %+v\n%s", got, w.farm.log(id))
		}
		log := w.farm.log(id)
		said := strings.Count(log, "not used yet")
		switch {
		case tc.line == "" && said != 0, tc.line != "" && (said != 1 || !strings.Contains(log, tc.line)):
			t.Errorf("%q: want the line %q once, in:\n%s", tc.settings, tc.line, log)
		}
	}
}
