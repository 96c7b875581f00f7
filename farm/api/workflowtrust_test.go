package api_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
)

// TestSpentTokens: a token is good for one key, also when it comes twice at once.
func TestSpentTokens(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *workflows) {
		t.Helper()
		token := w.token("refs/tags/v1.2.3", nil)
		var all sync.WaitGroup
		errs := make(chan error, 8)
		for range cap(errs) {
			all.Go(func() {
				_, err := w.exchange(t.Context(), t, token)
				errs <- err
			})
		}
		all.Wait()
		close(errs)
		good := 0
		for err := range errs {
			switch {
			case err == nil:
				good++
			case !errors.Is(err, module.ErrUnauthorized) || !strings.Contains(err.Error(), "claim jti"):
				t.Error(err)
			}
		}
		if good != 1 {
			t.Errorf("one token gave %d keys", good)
		}
	})
}

// TestRepositoryMadeAnew: a link is for the repository that used it first, and not for another one of its name.
func TestRepositoryMadeAnew(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *workflows) {
		t.Helper()
		ctx := t.Context()
		const ref = "refs/tags/v1.2.3"
		if _, err := w.exchange(ctx, t, w.token(ref, nil)); err != nil {
			t.Fatal(err)
		}
		for claim, value := range map[string]string{"repository_id": "4242", "repository_owner_id": "77"} {
			_, err := w.exchange(ctx, t, w.token(ref, map[string]any{claim: value}))
			if !errors.Is(err, module.ErrForbidden) || !strings.Contains(fmt.Sprint(err), "claim "+claim) || !strings.Contains(fmt.Sprint(err), "modfarm module link --renew acme:widget") {
				t.Errorf("another %s: %v", claim, err)
			}
		}
		owner, id := w.owner(t), module.ID{Namespace: "acme", Name: "widget"}
		if _, err := owner.LinkRepository(ctx, id, w.address(), true); err != nil {
			t.Fatal(err)
		}
		anew := map[string]any{"repository_id": "4242"}
		if _, err := w.exchange(ctx, t, w.token(ref, anew)); err != nil {
			t.Errorf("after --renew: %v", err)
		}
		if _, err := w.exchange(ctx, t, w.token(ref, nil)); !errors.Is(err, module.ErrForbidden) {
			t.Errorf("the one before, after --renew: %v", err)
		}
		if err := owner.UnlinkRepository(ctx, id, w.address()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.exchange(ctx, t, w.token(ref, anew)); !errors.Is(err, module.ErrForbidden) || !strings.Contains(err.Error(), "modfarm module link") {
			t.Errorf("unlinked: %v", err)
		}
	})
}

// TestWorkflowOrganizations: what one organization links does not stand in another one's way, nor tell of it.
func TestWorkflowOrganizations(t *testing.T) {
	t.Parallel()
	w := startWorkflows(t, "")
	ctx := t.Context()
	other, keyID, key := w.AddOrg(t, "Mallory", "mallory", account.RoleOwner)
	if _, err := w.Registry.CreateModule(ctx, other.ID, "widget"); err != nil {
		t.Fatal(err)
	}
	theirs := w.client(t, client.Config{KeyID: keyID, Key: key})
	if _, err := theirs.LinkRepository(ctx, module.ID{Namespace: "mallory", Name: "widget"}, w.address(), false); err != nil {
		t.Fatal(err)
	}
	anybody := w.client(t, client.Config{})
	const ref = "refs/tags/v1.2.3"
	if _, err := anybody.ExchangeIDToken(ctx, w.token(ref, nil), ""); !errors.Is(err, module.ErrInvalid) || strings.Contains(err.Error(), "mallory") {
		t.Errorf("of two organizations: %v", err)
	}
	got, err := anybody.ExchangeIDToken(ctx, w.token(ref, nil), "acme")
	if err != nil || fmt.Sprint(got.Modules) != "[acme:widget]" {
		t.Errorf("of acme: %+v, %v", got.Modules, err)
	}
	_, unknown := anybody.ExchangeIDToken(ctx, w.token(ref, nil), "nobody")
	empty, _, _ := w.AddOrg(t, "Empty", "empty", account.RoleOwner)
	_, unlinked := anybody.ExchangeIDToken(ctx, w.token(ref, nil), empty.Namespace)
	if !errors.Is(unknown, module.ErrForbidden) || fmt.Sprint(unknown) != fmt.Sprint(unlinked) {
		t.Errorf("an organization that does not exist can be told from one that linked nothing: %v; %v", unknown, unlinked)
	}
}

// TestTagsOfOneModule: of several modules in a repository a tag may name one.
func TestTagsOfOneModule(t *testing.T) {
	t.Parallel()
	w := startWorkflows(t, "")
	w.link(t, "gadget")
	for ref, want := range map[string]string{
		"refs/tags/v1.2.3": "[acme:gadget acme:widget]", "refs/tags/gadget/v2.0.0-rc1": "[acme:gadget]", "refs/heads/main": "[acme:gadget acme:widget]", "refs/tags/other/v1.0.0": "",
	} {
		key, err := w.exchange(t.Context(), t, w.token(ref, nil))
		if want == "" {
			if !errors.Is(err, module.ErrForbidden) || !strings.Contains(err.Error(), "claim ref") {
				t.Errorf("%s: %v", ref, err)
			}
			continue
		}
		if err != nil || fmt.Sprint(key.Modules) != want {
			t.Errorf("%s is for %v, %v", ref, key.Modules, err)
		}
	}
}
