package workers

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// pace is how long a job took to come to its scripts, for who asks why builds start slowly: the log has it at the level
// of debug.
type pace struct {
	mu                 sync.Mutex
	claimed            time.Time
	fetched, container time.Duration // since then; zero for what is not done
}

// done notes that a part is done, the first time.
func (p *pace) done(part *time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *part == 0 {
		*part = time.Since(p.claimed)
	}
}

// tell says how long everything took, from the claim to the script's first line.
func (p *pace) tell(ctx context.Context, log *slog.Logger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	log.DebugContext(ctx, "the script says something", "fetched_ms", p.fetched.Milliseconds(), "container_ms", p.container.Milliseconds(),
		"after_ms", time.Since(p.claimed).Milliseconds())
}
