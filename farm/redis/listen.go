package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/modfarm/modfarm/module"
)

// Listen calls wake for rings on the platforms until ctx ends, and returns nil then (within two seconds); the
// error says that the connection was closed. Each ring
// wakes one listening worker, and no further ring is taken while wake runs: a worker without a free slot should keep
// wake waiting, so that another worker gets the ring. After anything that may have lost rings (start, a lost
// connection, a server that was emptied) wake is called too. wake should claim until there is nothing left.
func (r *Redis) Listen(ctx context.Context, worker string, platforms []module.Platform, wake func()) error {
	if len(platforms) == 0 {
		<-ctx.Done()
		return nil
	}
	lost := true // rings from before this worker came
	var out outage
	for ctx.Err() == nil {
		if lost {
			err := r.makeGroups(ctx, platforms)
			if errors.Is(err, redis.ErrClosed) {
				return err
			}
			out.note(ctx, r.log(), err)
			if err != nil {
				wait(ctx, pause)
				continue
			}
			if err := r.forgetGone(ctx, platforms, gone); err != nil {
				r.log().DebugContext(ctx, "workers that are gone are still known to Redis", "error", err)
			}
			lost = false
			wake()
			continue
		}
		rung, err := r.read(ctx, worker, platforms)
		switch {
		case errors.Is(err, redis.ErrClosed):
			return err
		case err != nil:
			lost = true
			if !isNoGroup(err) {
				out.note(ctx, r.log(), err)
				wait(ctx, pause)
			}
		case rung:
			wake()
		}
	}
	return nil
}

// read waits for one ring. Rings are not acknowledged: a ring that a dying worker took is rung again by the farm.
func (r *Redis) read(ctx context.Context, worker string, platforms []module.Platform) (bool, error) {
	streams := make([]string, 0, 2*len(platforms))
	for _, p := range platforms {
		streams = append(streams, r.stream(p))
	}
	for range platforms {
		streams = append(streams, ">")
	}
	got, err := r.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: r.group(), Consumer: worker, Streams: streams, Count: 1, Block: blockFor, NoAck: true,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return len(got) > 0, err
}

// makeGroups makes the consumer groups that are missing, and with them the streams. They begin at 0, not at the end:
// what was rung before is at worst one claim too many.
func (r *Redis) makeGroups(ctx context.Context, platforms []module.Platform) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, p := range platforms {
		err := r.client.XGroupCreateMkStream(ctx, r.stream(p), r.group(), "0").Err()
		if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
			return err
		}
	}
	return nil
}

// gone is how long nothing was heard of a worker that counts as gone. Listen asks every two seconds, but servers before
// Redis 7.2 only see who is given a ring.
const gone = time.Hour

// forgetGone removes the consumers of workers of which nothing was heard for so long: names may never come back, as those
// of containers. Nothing of theirs is lost, as rings are not acknowledged, and who is there all the same is made a consumer
// again by its next ring.
func (r *Redis) forgetGone(ctx context.Context, platforms []module.Platform, after time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, p := range platforms {
		known, err := r.client.XInfoConsumers(ctx, r.stream(p), r.group()).Result()
		if err != nil {
			return err
		}
		for _, c := range known {
			if c.Idle < after {
				continue
			}
			if err := r.client.XGroupDelConsumer(ctx, r.stream(p), r.group(), c.Name).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// isNoGroup says that a stream or its group is gone: the server was emptied, or restarted without its data.
func isNoGroup(err error) bool {
	return strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED")
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
