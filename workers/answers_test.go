package workers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// gate answers claims by a script, the last answer for ever, and tells of each.
type gate struct {
	*fakeFarm
	mu      sync.Mutex
	answers []error
	asked   chan int
	count   int
}

func (g *gate) Claim(context.Context, client.Worker) (*client.Assignment, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.answers[min(g.count, len(g.answers)-1)]
	g.count++
	select {
	case g.asked <- g.count:
	default:
	}
	return nil, err
}

// logLines collects what a pool logs.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestRefusedWorkerEnds(t *testing.T) {
	t.Parallel()
	w, log := newWorld(t), new(logLines)
	unauthorized := fmt.Errorf("%w: the worker token is wrong", module.ErrUnauthorized)
	w.pool.Farm = &gate{fakeFarm: w.farm, answers: []error{unauthorized}, asked: make(chan int, 100)}
	w.pool.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := w.pool.Run(ctx)
	if !errors.Is(err, module.ErrUnauthorized) || !strings.Contains(err.Error(), "token") {
		t.Errorf("Run: %v; want the farm's refusal", err)
	}
	if strings.Contains(log.String(), "ready") {
		t.Errorf("a worker that was refused says:\n%s", log)
	}
}

// TestReadyWhenTheFarmAnswers has a farm that is away at first and later once more, and that once forgets the token.
func TestReadyWhenTheFarmAnswers(t *testing.T) {
	t.Parallel()
	w, log := newWorld(t), new(logLines)
	away := fmt.Errorf("%w: the farm is away", module.ErrUnavailable)
	forgot := fmt.Errorf("%w: the worker token is wrong", module.ErrUnauthorized)
	g := &gate{fakeFarm: w.farm, answers: []error{away, nil, away, forgot, nil}, asked: make(chan int, 100)}
	w.pool.Farm = g
	w.pool.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.pool.Run(ctx) }()
	for asked := range g.asked {
		if asked == 2 && !strings.Contains(log.String(), "no jobs can be claimed") {
			t.Errorf("a farm that is away is not told of:\n%s", log)
		}
		if asked > len(g.answers) {
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	told := log.String()
	for _, want := range []string{"no jobs can be claimed", "worker ready", "the farm answers again"} {
		if strings.Count(told, want) == 0 {
			t.Errorf("nothing says %q:\n%s", want, told)
		}
	}
	if n := strings.Count(told, "worker ready"); n != 1 || strings.Index(told, "worker ready") < strings.Index(told, "no jobs can be claimed") {
		t.Errorf("ready %d times, or before the farm answered:\n%s", n, told)
	}
}
