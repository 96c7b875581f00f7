package account

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/modfarm/modfarm/module"
)

func TestWrongKeysCostTime(t *testing.T) {
	t.Parallel()
	var p patience
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range freeRefusals {
		if pause, _, ok := p.owe("192.0.2.1", now); !ok || pause != 0 {
			t.Fatalf("wrong key %d waits %s", i+1, pause)
		}
	}
	var last time.Duration
	for range 20 {
		pause, done, ok := p.owe("192.0.2.1", now)
		if !ok || pause < last || pause > longestRefusal {
			t.Fatalf("wait of %s after one of %s", pause, last)
		}
		last = pause
		done()
	}
	if last != longestRefusal {
		t.Errorf("the longest wait is %s, want %s", last, longestRefusal)
	}
	if pause, _, _ := p.owe("192.0.2.2", now); pause != 0 {
		t.Errorf("another address waits %s", pause)
	}
	if pause, _, _ := p.owe("192.0.2.1", now.Add(time.Minute)); pause != 0 {
		t.Errorf("a minute later it waits %s", pause)
	}
}

// TestPatienceIsBounded: what strangers can make the farm remember and hold.
func TestPatienceIsBounded(t *testing.T) {
	t.Parallel()
	var p patience
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3 * mostAddresses {
		p.owe(fmt.Sprintf("2001:db8:%x:%x::/64", i>>16, i&0xffff), now)
	}
	if len(p.addresses) != mostAddresses || p.order.Len() != mostAddresses {
		t.Errorf("%d and %d addresses are remembered, want %d", len(p.addresses), p.order.Len(), mostAddresses)
	}
	held := 0
	for range 10_000 {
		if pause, _, ok := p.owe("192.0.2.1", now); ok && pause > 0 {
			held++
		}
	}
	if held != mostWaitingEach {
		t.Errorf("%d answers are held back, want %d", held, mostWaitingEach)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1:4711":             "192.0.2.1",
		"[::ffff:192.0.2.1]:4711":    "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:443": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:443":         "fe80::/64",
		"@":                          "@",
	} {
		if got := network(address); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}

// TestOnlyWrongKeysWait: what is no wrong key is answered at once, and who leaves is not held.
func TestOnlyWrongKeysWait(t *testing.T) {
	t.Parallel()
	a := &Accounts{}
	for range 3 * freeRefusals {
		if err := a.Slow(t.Context(), "192.0.2.1", module.ErrForbidden); !errors.Is(err, module.ErrForbidden) {
			t.Fatal(err)
		}
	}
	if len(a.wrong.addresses) != 0 {
		t.Error("a forbidden call counts as a wrong key")
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 3 * freeRefusals {
		if err := a.Slow(gone, "192.0.2.1", module.ErrUnauthorized); !errors.Is(err, module.ErrUnauthorized) {
			t.Fatal(err)
		}
	}
	if a.wrong.waiting != 0 {
		t.Errorf("%d answers are still held back", a.wrong.waiting)
	}
}
