package redis_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm/redis/redistest"
)

// TestWatchersShareOneConnection: many readers of many logs cost one connection, and none when they have left.
func TestWatchersShareOneConnection(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := redistest.Open(t, s.URL())
	subscribed := func() int { // bytes of the server's list of subscribed clients: about 300 a client
		n, err := strconv.Atoi(strings.TrimPrefix(s.Do(t, "CLIENT", "LIST", "TYPE", "pubsub"), "$"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx, leave := context.WithCancel(t.Context())
	var watches []<-chan struct{}
	for i := range 200 {
		grown, err := r.WatchLog(ctx, fmt.Sprint("j", i%20))
		if err != nil {
			t.Fatal(err)
		}
		watches = append(watches, grown)
	}
	if n := subscribed(); n == 0 || n > 1000 {
		t.Errorf("the list of subscribed clients has %d bytes", n)
	}
	for i := range 20 {
		if err := r.NotifyLog(t.Context(), fmt.Sprint("j", i)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "everybody is told", func() bool {
		for _, grown := range watches {
			if len(grown) == 0 {
				return false
			}
		}
		return true
	})
	leave()
	until(t, "nobody is subscribed", func() bool { return subscribed() == 0 })
	grown, err := r.WatchLog(t.Context(), "j1")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "a later reader is told", func() bool { return r.NotifyLog(t.Context(), "j1") == nil && len(grown) > 0 })
	s.Kill()
	s.Restart(t)
	for len(grown) > 0 {
		<-grown
	}
	until(t, "told after the server was restarted", func() bool { return r.NotifyLog(t.Context(), "j1") == nil && len(grown) > 0 })
}
