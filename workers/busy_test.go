package workers_test

import (
	"testing"
	"time"

	"github.com/modfarm/modfarm/workers"
)

func TestAliveForTheMachine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		loadavg          string
		processors       int
		native, emulated time.Duration
	}{
		{"0.00 0.01 0.05 1/389 32265\n", 2, 300 * time.Millisecond, time.Second},
		{"2.00 1.00 0.50 1/389 32265\n", 2, 300 * time.Millisecond, time.Second},
		{"6.00 4.00 2.00 2/389 32265\n", 2, 900 * time.Millisecond, 3 * time.Second},
		{"0.10 0.10 0.10 8/389 32265\n", 2, 1200 * time.Millisecond, 4 * time.Second}, // the burst began a moment ago
		{"500.0 400.0 300.0 900/9000 1\n", 2, 3 * time.Second, 10 * time.Second},
		{"", 2, 900 * time.Millisecond, 3 * time.Second},
		{"much more than that 1\n", 2, 900 * time.Millisecond, 3 * time.Second},
	} {
		native, emulated := workers.AliveFor(c.loadavg, c.processors)
		if native != c.native || emulated != c.emulated {
			t.Errorf("%q on %d: %s native and %s emulated, want %s and %s", c.loadavg, c.processors, native, emulated, c.native, c.emulated)
		}
	}
}
