package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/modfarm/modfarm/module"
)

// TestRenewalThatFails is tried again a little later while the present key is good, and an error afterwards.
func TestRenewalThatFails(t *testing.T) {
	t.Parallel()
	asked := 0
	a := &authenticator{renew: func(context.Context) (WorkflowKey, error) {
		asked++
		return WorkflowKey{}, module.ErrUnavailable
	}}
	a.current, a.due, a.ends = "good", time.Now().Add(-time.Second), time.Now().Add(10*time.Minute)
	for range 3 {
		if token, err := a.token(t.Context()); err != nil || token != "good" {
			t.Errorf("while the key is good: %q, %v", token, err)
		}
	}
	if asked != 1 {
		t.Errorf("another key was asked for %d times", asked)
	}
	a.due, a.ends = time.Now().Add(-time.Second), time.Now().Add(time.Second)
	if _, err := a.token(t.Context()); !errors.Is(err, module.ErrUnavailable) {
		t.Errorf("at its end: %v", err)
	}
}
