package workers_test

import (
	"testing"

	"github.com/modfarm/modfarm/workers"
)

func TestRefusalsNameTheirCure(t *testing.T) {
	t.Parallel()
	for want, exit := range map[string]workers.Exit{
		"": {Code: 1},
		" (network.build is registries, which kept it from a.example:443 and 1 more: set it to full in modfarm.yaml, or have the worker's owner add --build-registry a.example)": {Refused: []string{"a.example:443", "b.example:80"}},
		" (builds do not reach 10.0.0.5:443, which is private or the build machine's: have the worker's owner add --build-allow 10.0.0.5:443)":                                   {Blocked: []string{"10.0.0.5:443"}},
	} {
		if got := workers.KeptFrom("build", exit); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
