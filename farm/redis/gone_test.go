package redis_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/redis/redistest"
	"github.com/modfarm/modfarm/module"
)

// TestGoneWorkersAreForgotten: names of workers that never come back do not pile up at the server, one that is there is
// still woken, and a user with the rights of the documentation may do all of it.
func TestGoneWorkersAreForgotten(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	if said := s.Do(t, "ACL", "SETUSER", "worker", "on", ">pw", "~"+t.Name()+":*", "&"+t.Name()+":*",
		"+@read", "+@write", "+@stream", "+@pubsub", "+@connection"); said != "+OK" {
		t.Fatal(said)
	}
	_, address, _ := strings.Cut(s.URL(), "@")
	r := redistest.Open(t, "redis://worker:pw@"+address)
	both := []module.Platform{amd64, arm64}
	left := listen(t, r, "left", both...)
	here := listen(t, r, "here", both...)
	knows := func(want ...string) bool {
		for _, p := range both { // some servers know a worker once it was given a ring, and that it is there by the next one
			if err := r.Ring(t.Context(), p, "job"); err != nil {
				t.Fatal(err)
			}
			if got, err := r.Consumers(t.Context(), p); err != nil || !slices.Equal(got, want) {
				return false
			}
		}
		return true
	}
	within(t, "both are known", func() bool { return knows("here", "left") })
	left.stop()
	within(t, "only one is known", func() bool {
		if err := r.ForgetGone(t.Context(), both, 3*time.Second); err != nil { // more than a read takes
			t.Fatal(err)
		}
		return knows("here")
	})
	if err := r.ForgetGone(t.Context(), both, 0); err != nil { // also who only reads on
		t.Fatal(err)
	}
	for len(here.woken) > 0 {
		<-here.woken
	}
	if err := r.Ring(t.Context(), arm64, "job"); err != nil {
		t.Fatal(err)
	}
	here.await(t, "a ring after it was forgotten")
	listen(t, r, "left", both...)
	within(t, "it came back", func() bool { return knows("here", "left") })
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); !ok(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
