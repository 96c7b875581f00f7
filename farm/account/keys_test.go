package account_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

// at returns the same accounts at another time.
func at(a *account.Accounts, now time.Time) *account.Accounts {
	return &account.Accounts{Store: a.Store, Secret: a.Secret, Now: func() time.Time { return now }}
}

func TestKeysEndAndRotate(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			org, _, _ := bootstrap(t, a)
			ctx := t.Context()
			key, first, err := a.CreateKey(ctx, org.ID, account.KeySpec{Role: account.RoleReader, Module: "widget", Lifetime: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			p, err := a.Authenticate(ctx, key.ID, first)
			if err != nil || p.Module != "widget" || p.Only().String() != "acme:widget" {
				t.Fatalf("principal %+v, %v", p, err)
			}
			token := a.IssueToken(p)
			expired := at(a, key.ExpiresAt)
			for what, err := range map[string]error{"key": second(expired.Authenticate(ctx, key.ID, first)), "token": second(expired.VerifyToken(ctx, token))} {
				if !errors.Is(err, module.ErrUnauthorized) || !strings.Contains(err.Error(), "expired") {
					t.Errorf("expired %s: %v", what, err)
				}
			}
			if err := second(expired.Authenticate(ctx, key.ID, "mfk_wrong")); strings.Contains(err.Error(), "expired") {
				t.Errorf("a wrong key learns that the key has expired: %v", err)
			}
			rotated, next, err := a.RotateKey(ctx, org.ID, key.ID, 10*time.Minute)
			if err != nil || rotated.ID != key.ID || next == first {
				t.Fatalf("rotated %+v, %v", rotated, err)
			}
			for what, err := range map[string]error{
				"new": second(a.Authenticate(ctx, key.ID, next)), "old": second(a.Authenticate(ctx, key.ID, first)), "old login": second(a.VerifyToken(ctx, token)),
			} {
				if err != nil {
					t.Errorf("%s during the grace: %v", what, err)
				}
			}
			later := at(a, rotated.OldUntil)
			for what, err := range map[string]error{"old": second(later.Authenticate(ctx, key.ID, first)), "old login": second(later.VerifyToken(ctx, token))} {
				if !errors.Is(err, module.ErrUnauthorized) {
					t.Errorf("%s after the grace: %v", what, err)
				}
			}
			if _, _, err := a.RotateKey(ctx, org.ID, key.ID, -1); !errors.Is(err, module.ErrInvalid) {
				t.Errorf("negative grace: %v", err)
			}
			if _, _, err := expired.RotateKey(ctx, org.ID, key.ID, 0); !errors.Is(err, module.ErrConflict) {
				t.Errorf("rotating an expired key: %v", err)
			}
			_, _, err = a.CreateKey(ctx, org.ID, account.KeySpec{Name: strings.Repeat("ä", 201), Role: account.RoleOwner, Module: "widget", Lifetime: -1})
			if faults, _ := errors.AsType[module.Faults](err); len(faults) != 3 {
				t.Errorf("all faults at once: %v", err)
			}
			if _, _, err := a.CreateKey(ctx, org.ID, account.KeySpec{Name: strings.Repeat("ä", 200), Role: account.RoleReader}); err != nil {
				t.Errorf("a name of 200 characters: %v", err)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestLastUse: it is stored when the farm stops at the latest, and a busy key writes no second row.
func TestLastUse(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			org, id, secret := bootstrap(t, a)
			for range 100 {
				if _, err := a.Authenticate(t.Context(), id, secret); err != nil {
					t.Fatal(err)
				}
			}
			stopped, stop := context.WithCancel(t.Context())
			stop()
			if err := a.Run(stopped); err != nil {
				t.Fatal(err)
			}
			keys, err := a.Keys(t.Context(), org.ID)
			if err != nil || len(keys) != 1 || keys[0].UsedAt.IsZero() {
				t.Errorf("keys %+v, %v", keys, err)
			}
		})
	}
}

// TestLastOwner: of two owners' keys that are deleted at once, one stays.
func TestLastOwner(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			org, first, _ := bootstrap(t, a)
			other, _, err := a.CreateKey(t.Context(), org.ID, account.KeySpec{Role: account.RoleOwner})
			if err != nil {
				t.Fatal(err)
			}
			refused := make(chan error, 2)
			var both sync.WaitGroup
			for _, id := range []string{first, other.ID} {
				both.Go(func() {
					if err := a.DeleteKey(t.Context(), org.ID, id); err != nil {
						refused <- err
					}
				})
			}
			both.Wait()
			if len(refused) != 1 || !errors.Is(<-refused, module.ErrConflict) {
				t.Error("both were deleted, or neither")
			}
		})
	}
}

func TestNamespaceLater(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			_, id, secret := bootstrap(t, a)
			made, err := a.CreateOrg(t.Context(), "Beta", "")
			if err != nil {
				t.Fatal(err)
			}
			// The last is written with a Cyrillic letter.
			for namespace, want := range map[string]error{"": module.ErrInvalid, "ACME": module.ErrConflict, "rdk": module.ErrInvalid, "b\u0435ta": module.ErrInvalid} {
				if _, err := a.SetNamespace(t.Context(), made.Org.ID, namespace); !errors.Is(err, want) {
					t.Errorf("%q: %v, want %v", namespace, err, want)
				}
			}
			for range 2 {
				if org, err := a.SetNamespace(t.Context(), made.Org.ID, "beta"); err != nil || org.Namespace != "beta" {
					t.Errorf("%+v, %v", org, err)
				}
			}
			if _, err := a.SetNamespace(t.Context(), made.Org.ID, "gamma"); !errors.Is(err, module.ErrConflict) {
				t.Errorf("a second namespace: %v", err)
			}
			for keyID, farmOwner := range map[string]bool{id: true, made.Key.ID: false} {
				p, err := a.Authenticate(t.Context(), keyID, map[bool]string{true: secret, false: made.Secret}[farmOwner])
				if err != nil {
					t.Fatal(err)
				}
				if err := a.RequireFarmOwner(t.Context(), p); (err == nil) != farmOwner {
					t.Errorf("%s runs the farm: %v", p.Org.Name, err)
				}
			}
		})
	}
}
