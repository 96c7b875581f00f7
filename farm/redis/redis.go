// Package redis is the farm's bell: it wakes workers through one stream per platform, carries cancel messages, tells
// readers that a log grew, and knows which workers are there. It owns every key name, and the embedded server that a
// farm on one machine uses. It keeps nothing that matters: whatever is lost, the rows of the database stay true and
// the farm rings again.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

var _ farm.Bell = (*Redis)(nil)

const (
	// callTimeout bounds one command that does not block.
	callTimeout = 5 * time.Second
	// blockFor is how long one read waits for a ring. go-redis ends a blocking read only when it returns, so this is
	// also the longest that Listen goes on after its context ended.
	blockFor = 2 * time.Second
	// streamLength is about how many rings a stream keeps for workers that are away. More are of no use: one ring makes
	// a worker claim until nothing is left.
	streamLength = 1000
	// pause is how long to wait after an error before the next try.
	pause = time.Second

	defaultPrefix = "modfarm:"
)

// Redis is a connection to the server. It is safe for concurrent use.
type Redis struct {
	client   *redis.Client
	prefix   string
	logger   *slog.Logger // nil for none
	watchers *watchers
}

// Open connects to a server by its URL, redis:// or rediss:// (TLS), and checks that it answers.
func Open(ctx context.Context, url string) (*Redis, error) {
	options, err := redis.ParseURL(url)
	if err != nil { // the error of ParseURL repeats the URL, and with it the password
		return nil, fmt.Errorf("%w: the Redis address is not understood; use redis://user:password@host:6379/0", module.ErrInvalid)
	}
	options.ClientName = "modfarm"
	options.DialTimeout = callTimeout
	options.DialerRetries, options.MaxRetries = 1, 1 // a ring that fails is rung again; nobody should wait for it
	options.ConnMaxIdleTime = 2 * time.Minute        // a connection that a failover left behind ages out
	options.ConnMaxLifetime = 30 * time.Minute
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	r := &Redis{client: redis.NewClient(options), prefix: defaultPrefix}
	r.watchers = &watchers{client: r.client, by: map[string]*channel{}}
	if err := r.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: Redis at %s does not answer; check that it runs, and its user and password: %w",
			module.ErrUnavailable, options.Addr, err), r.Close())
	}
	return r, nil
}

// WithPrefix returns the same connection with other key names, so that several farms can share one server. The
// default is "modfarm:".
func (r *Redis) WithPrefix(prefix string) *Redis {
	return &Redis{client: r.client, prefix: prefix, logger: r.logger, watchers: r.watchers}
}

// Close ends the connection, also for all that WithPrefix returned.
func (r *Redis) Close() error { return errors.Join(r.watchers.close(), r.client.Close()) }

// Ping says whether the server answers.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.client.Ping(ctx).Err()
}

// stream is the key of a platform's rings; its consumer group has the same name everywhere.
func (r *Redis) stream(p module.Platform) string { return r.prefix + "jobs:" + p.String() }

// group is the consumer group of every stream: each ring wakes one worker.
func (r *Redis) group() string { return "workers" }

// cancels is the channel of jobs that should stop.
func (r *Redis) cancels() string { return r.prefix + "cancel" }

// logs is the channel that tells when a job's log grew.
func (r *Redis) logs(jobID string) string { return r.prefix + "log:" + jobID }

// presence is the key that exists while a worker does.
func (r *Redis) presence(worker string) string { return r.prefix + "worker:" + worker }

// Ring implements farm.Bell.
func (r *Redis) Ring(ctx context.Context, p module.Platform, jobID string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.client.XAdd(ctx, &redis.XAddArgs{
		Stream: r.stream(p), MaxLen: streamLength, Approx: true, Values: []string{"job", jobID},
	}).Err()
}

// Cancel implements farm.Bell.
func (r *Redis) Cancel(ctx context.Context, jobID string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.client.Publish(ctx, r.cancels(), jobID).Err()
}

// NotifyLog implements farm.Bell.
func (r *Redis) NotifyLog(ctx context.Context, jobID string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.client.Publish(ctx, r.logs(jobID), "").Err()
}

// Cancels calls fn with each job that should stop, until ctx ends; then it returns nil. A server that does not answer
// is asked again every second. Cancels that are published meanwhile are lost: workers also learn of them when they
// extend a lease. fn should return soon. The error says that the connection was closed.
func (r *Redis) Cancels(ctx context.Context, fn func(jobID string)) error {
	for ctx.Err() == nil {
		messages, err := r.subscribe(ctx, r.cancels())
		if errors.Is(err, redis.ErrClosed) {
			return err
		}
		if err != nil {
			wait(ctx, pause)
			continue
		}
		for m := range messages {
			fn(m)
		}
	}
	return nil
}

// subscribe yields the messages of a channel until ctx ends. It returns when the server has confirmed, so that
// nothing published afterwards is missed; a lost connection is made again by itself.
func (r *Redis) subscribe(ctx context.Context, channel string) (<-chan string, error) {
	sub := r.client.Subscribe(ctx, channel)
	if _, err := sub.ReceiveTimeout(ctx, callTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to %s: %w", channel, err), sub.Close())
	}
	out := make(chan string)
	go func() {
		defer close(out)
		defer sub.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case m, ok := <-sub.Channel():
				if !ok {
					return
				}
				select {
				case out <- m.Payload:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// Presence says that a worker is there, with info for people, until ttl passed. Workers repeat it.
func (r *Redis) Presence(ctx context.Context, worker, info string, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.client.Set(ctx, r.presence(worker), info, ttl).Err()
}

// Workers lists the workers that are there, with their info.
func (r *Redis) Workers(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found := map[string]string{}
	keys := r.client.Scan(ctx, 0, escape(r.presence(""))+"*", 100).Iterator()
	for keys.Next(ctx) {
		info, err := r.client.Get(ctx, keys.Val()).Result()
		if errors.Is(err, redis.Nil) {
			continue // went away between the two commands
		}
		if err != nil {
			return nil, err
		}
		found[strings.TrimPrefix(keys.Val(), r.presence(""))] = info
	}
	return found, keys.Err()
}

// escape takes the meaning from the letters that a SCAN pattern gives one.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}
