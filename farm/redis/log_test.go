package redis_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/redis"
	"github.com/modfarm/modfarm/farm/redis/redistest"
)

// records hands over the messages that are logged, and drops those that nobody takes.
type records chan string

func (records) Enabled(context.Context, slog.Level) bool { return true }

func (r records) Handle(_ context.Context, record slog.Record) error {
	select {
	case r <- record.Message:
	default:
	}
	return nil
}

func (r records) WithAttrs([]slog.Attr) slog.Handler { return r }

func (r records) WithGroup(string) slog.Handler { return r }

func (r records) await(t *testing.T, message string) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case got := <-r:
			if got == message {
				return
			}
		case <-late:
			t.Fatalf("nothing logs %q", message)
		}
	}
}

// TestOutageIsTold kills the server under a listener and starts it again. The library's own words go to the log, too.
func TestOutageIsTold(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	library, ours := make(records, 1000), make(records, 1000)
	redis.LogTo(slog.New(library)) // for the whole process: other tests of this package are heard as well
	r := redistest.Open(t, s.URL()).WithLog(slog.New(ours))
	l := listen(t, r, "w1", amd64)
	s.Kill()
	ours.await(t, "Redis does not answer; asking the farm now and then instead")
	library.await(t, "the Redis library says")
	if err := r.Ring(t.Context(), amd64, "nobody"); err == nil {
		t.Error("rang a dead server")
	}
	s.Restart(t)
	ours.await(t, "Redis answers again")
	l.await(t, "rings may have been lost")
}
