package redis

import (
	"context"
	"slices"
	"time"

	"github.com/modfarm/modfarm/module"
)

// ForgetGone is what Listen does at its start, with a time that a test can wait for.
func (r *Redis) ForgetGone(ctx context.Context, platforms []module.Platform, after time.Duration) error {
	return r.forgetGone(ctx, platforms, after)
}

// Consumers are the workers that the server knows for a platform.
func (r *Redis) Consumers(ctx context.Context, p module.Platform) ([]string, error) {
	known, err := r.client.XInfoConsumers(ctx, r.stream(p), r.group()).Result()
	names := make([]string, len(known))
	for i, c := range known {
		names[i] = c.Name
	}
	slices.Sort(names)
	return names, err
}
