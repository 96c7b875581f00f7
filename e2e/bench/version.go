package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// startUp is the time of `modfarm version` from its start to its end: what each
// command costs before it does anything.
type startUp struct{}

// Name implements measure.
func (startUp) Name() string { return "start-up" }

// Run implements measure.
func (startUp) Run(ctx context.Context, l *lab) (result, error) {
	const runs = 8 // in a round: 40 where five are taken
	var took []float64
	for range l.rounds * runs {
		began := time.Now()
		if out, err := exec.CommandContext(ctx, l.modfarm, "version").CombinedOutput(); err != nil {
			return result{}, fmt.Errorf("modfarm version: %w\n%s", err, out)
		}
		took = append(took, float64(time.Since(began))/float64(time.Millisecond))
	}
	return result{value: median(took), bound: 30, unit: milliseconds(), samples: map[string][]float64{"ms": took}}, nil
}
