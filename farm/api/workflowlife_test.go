package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	"github.com/modfarm/modfarm/proto/gen/modfarm/v1/modfarmv1connect"
)

// TestWorkflowKeyEnds: after an hour the key is refused, gone from the list a little later, and a new one of the same run
// goes on with its builds.
func TestWorkflowKeyEnds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *workflows) {
		t.Helper()
		ctx := t.Context()
		const ref = "refs/tags/v1.2.3"
		key, err := w.exchange(ctx, t, w.token(ref, nil))
		if err != nil {
			t.Fatal(err)
		}
		first := w.client(t, client.Config{KeyID: key.KeyID, Key: key.Secret})
		id, err := first.StartBuild(ctx, w.request("v1.2.3"))
		if err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(account.WorkflowKeyLife + time.Second)
		store := w.Accounts.Store
		afterwards := &account.Accounts{Store: store, Secret: w.Accounts.Secret, Now: func() time.Time { return later }}
		if _, err := afterwards.Authenticate(ctx, key.KeyID, key.Secret); !errors.Is(err, module.ErrUnauthorized) || !strings.Contains(err.Error(), "exchange a new id token") {
			t.Errorf("after an hour: %v", err)
		}
		if _, _, err := w.Accounts.RotateKey(ctx, w.Org.ID, key.KeyID, time.Hour); !errors.Is(err, module.ErrConflict) {
			t.Errorf("rotated: %v", err)
		}
		second := w.run(t, ref)
		if _, err := second.Build(ctx, id); err != nil {
			t.Errorf("another key of the run: %v", err)
		}
		if err := store.CollectExpired(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
		if keys, err := w.owner(t).Keys(ctx); err != nil || len(keys) != 3 {
			t.Errorf("keys that are good were collected: %+v, %v", keys, err)
		}
		if err := store.CollectExpired(ctx, later); err != nil {
			t.Fatal(err)
		}
		if keys, err := w.owner(t).Keys(ctx); err != nil || len(keys) != 1 {
			t.Errorf("expired keys are listed: %+v, %v", keys, err)
		}
	})
}

// TestWorkflowKeyIsRenewed: a client with a source of keys asks for another one in time, once, however many calls are
// under way, and when the farm does not know the old one any more.
func TestWorkflowKeyIsRenewed(t *testing.T) {
	t.Parallel()
	w := startWorkflows(t, "")
	var asked atomic.Int32
	bare := w.client(t, client.Config{})
	c := w.client(t, client.Config{Renew: func(ctx context.Context) (client.WorkflowKey, error) {
		asked.Add(1)
		key, err := bare.ExchangeIDToken(ctx, w.token("refs/tags/v1.2.3", nil), "acme") //nolint:contextcheck // git of the test hub ends with the test
		key.Lifetime = time.Nanosecond                                                  // soon over, as far as the client knows
		if asked.Load() > 1 {
			key.Lifetime = time.Hour
		}
		return key, err
	}})
	for range 2 {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := c.WhoAmI(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d keys were asked for, not 2", n)
	}
	who, err := c.WhoAmI(t.Context())
	if err != nil || who.Key.Workflow == nil {
		t.Fatalf("%+v, %v", who, err)
	}
	if err := w.owner(t).RevokeKey(t.Context(), who.Key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WhoAmI(t.Context()); err != nil {
		t.Errorf("after the key was revoked: %v", err)
	}
	broken := w.client(t, client.Config{Renew: func(context.Context) (client.WorkflowKey, error) {
		return client.WorkflowKey{}, module.ErrForbidden
	}})
	if _, err := broken.WhoAmI(t.Context()); !errors.Is(err, module.ErrForbidden) {
		t.Errorf("without any key: %v", err)
	}
}

// TestTenThousandWrongIDTokens: they are all refused, and a run with a right one gets its key meanwhile, from the same
// address.
func TestTenThousandWrongIDTokens(t *testing.T) {
	t.Parallel()
	w := startWorkflows(t, "")
	transport := &http.Transport{MaxIdleConnsPerHost: 128, MaxConnsPerHost: 128}
	t.Cleanup(transport.CloseIdleConnections)
	accounts := modfarmv1connect.NewAccountServiceClient(&http.Client{Transport: transport}, w.URL)
	wrong := []string{
		w.hub.IDToken(w.repo, "refs/tags/v1.2.3", "https://other.example.com", nil),
		w.token("refs/tags/v1.2.3", map[string]any{"exp": 1}),
		w.token("refs/tags/v1.2.3", nil) + "a",
		"no token",
	}
	right := modfarmv1connect.NewAccountServiceClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, w.URL)
	given := meanwhile(100*time.Millisecond, // a run that starts now and then
		tenThousand(func(i int) bool {
			_, err := accounts.ExchangeIDToken(t.Context(), &modfarmv1.ExchangeIDTokenRequest{IdToken: wrong[i%len(wrong)]})
			if connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Errorf("wrong token %d: %v", i, err)
				return false
			}
			return true
		}),
		func(n int) {
			token := w.hub.IDToken(w.repo, "refs/tags/v1.2.3", apitest.Audience, nil)
			if _, err := right.ExchangeIDToken(t.Context(), &modfarmv1.ExchangeIDTokenRequest{IdToken: token}); err != nil {
				t.Fatalf("right token %d: %v", n, err)
			}
		})
	if given < 2 {
		t.Errorf("only %d keys for right tokens", given)
	}
}
