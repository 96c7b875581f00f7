package redis

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// LogTo has the Redis library write to log what it says by itself, at level debug: what matters of it, such as a
// server that is away, comes back as an error and is told by whoever called. Without it the library writes lines of
// its own form to standard error. The library has one logger per process, so this belongs where a program starts.
func LogTo(log *slog.Logger) { redis.SetLogger(library{log}) }

// library is a logger as go-redis wants one.
type library struct{ log *slog.Logger }

// Printf implements the interface of go-redis.
func (l library) Printf(ctx context.Context, format string, v ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "the Redis library says", "text", fmt.Sprintf(format, v...))
	}
}

// WithLog returns the same connection that says in log when Listen loses the server, and when it has it again.
func (r *Redis) WithLog(log *slog.Logger) *Redis {
	return &Redis{client: r.client, prefix: r.prefix, logger: log, watchers: r.watchers}
}

func (r *Redis) log() *slog.Logger {
	if r.logger != nil {
		return r.logger
	}
	return slog.New(slog.DiscardHandler)
}

// outage tells once that the server is away, and once that it is back. The zero value: it is there.
type outage struct{ away bool }

func (o *outage) note(ctx context.Context, log *slog.Logger, err error) {
	switch {
	case ctx.Err() != nil: // the caller leaves: that says nothing about the server
	case err != nil && !o.away:
		log.WarnContext(ctx, "Redis does not answer; asking the farm now and then instead", "error", err)
		o.away = true
	case err == nil && o.away:
		log.InfoContext(ctx, "Redis answers again")
		o.away = false
	}
}
