package docker

import (
	"bytes"
	"testing"

	"github.com/modfarm/modfarm/workers/docker/guard"
)

// TestCopierPassesOverWhatWasOnItsWay: a guard sends on to a worker that was killed, until the next one says where it
// wants to go on.
func TestCopierPassesOverWhatWasOnItsWay(t *testing.T) {
	t.Parallel()
	at := func(at int64, data string) guard.Report { return guard.Report{At: at, Data: []byte(data)} }
	for name, tc := range map[string]struct {
		reports []guard.Report
		want    string
		fails   bool
	}{
		"from there":       {reports: []guard.Report{at(2, "cd"), at(4, "ef")}, want: "cdef"},
		"later first":      {reports: []guard.Report{at(6, "gh"), {At: 8, End: true}, at(2, "cdef"), at(6, "gh")}, want: "cdefgh"},
		"the same, twice":  {reports: []guard.Report{at(2, "cd"), at(4, "ef"), at(2, "cdefg"), at(7, "h")}, want: "cdefgh"},
		"a gap afterwards": {reports: []guard.Report{at(2, "cd"), at(5, "f")}, want: "cd", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			p := &copier{to: &out, at: 2}
			var err error
			for _, r := range tc.reports {
				if err == nil {
					err = p.pass(r)
				}
			}
			if (err != nil) != tc.fails || out.String() != tc.want {
				t.Errorf("output %q, error %v; want %q", out.String(), err, tc.want)
			}
		})
	}
}
