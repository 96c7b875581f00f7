package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

// TestLinks stores, lists, shares and removes links.
func TestLinks(t *testing.T) {
	onEach(t, func(w world) {
		t, ctx := w.t, w.t.Context()
		s := storetest.Reopen(t, w.dsn)
		acme := account.Org{ID: uuid.NewString(), Name: "Acme", Namespace: "acme", CreatedAt: start}
		plain := account.Org{ID: uuid.NewString(), Name: "Plain", CreatedAt: start}
		for _, org := range []account.Org{acme, plain} {
			key := account.Key{ID: uuid.NewString(), OrgID: org.ID, Role: account.RoleOwner, Hash: []byte("hash"), CreatedAt: start}
			if err := s.CreateOrg(ctx, org, key); err != nil {
				t.Fatal(err)
			}
		}
		app := farm.AppLink{ID: "42", OwnerID: acme.ID, CreatedBy: "me", Account: "acme-inc", OrgIDs: []string{acme.ID}, CreatedAt: start}
		if err := s.AddAppLink(ctx, app); err != nil {
			t.Fatal(err)
		}
		add := func(org account.Org, appID string) farm.RepoLink {
			t.Helper()
			l, err := s.AddRepoLink(ctx, farm.RepoLink{
				ID: uuid.NewString(), OrgID: org.ID, Module: module.ID{Name: "widget"}, AppLinkID: appID,
				Repo: "https://github.com/acme/widget", CreatedBy: "me", CreatedAt: start,
			})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		first := add(acme, "")
		if again := add(acme, "42"); again.ID != first.ID || again.AppLinkID != "42" || again.Module != (module.ID{Namespace: "acme", Name: "widget"}) {
			t.Errorf("added again as %+v", again)
		}
		if err := s.ShareAppLink(ctx, "42", plain.ID); err != nil {
			t.Fatal(err)
		}
		second := add(plain, "42")
		if second.Module.Namespace != plain.ID {
			t.Errorf("without a namespace it is %s", second.Module)
		}
		count := func(orgID, repo string) int {
			t.Helper()
			links, err := s.RepoLinks(ctx, orgID, repo)
			if err != nil {
				t.Fatal(err)
			}
			return len(links)
		}
		got := []int{count(acme.ID, ""), count("", "https://github.com/acme/widget"), count("", "https://github.com/acme/other")}
		if diff := cmp.Diff([]int{1, 2, 0}, got); diff != "" {
			t.Errorf("links of an organization, a repository, another (-want +got):\n%s", diff)
		}
		for _, err := range []error{s.UnshareAppLink(ctx, "42", plain.ID), s.DeleteAppLink(ctx, "42")} {
			if !errors.Is(err, module.ErrConflict) {
				t.Errorf("with links to repositories: %v", err)
			}
		}
		if err := errors.Join(s.DeleteRepoLink(ctx, plain.ID, second.ID), s.UnshareAppLink(ctx, "42", plain.ID),
			s.DeleteRepoLink(ctx, acme.ID, first.ID), s.DeleteAppLink(ctx, "42")); err != nil {
			t.Fatal(err)
		}
		_, missing := s.AppLink(ctx, "42")
		for _, err := range []error{missing, s.DeleteRepoLink(ctx, acme.ID, first.ID), s.DeleteAppLink(ctx, "42"), s.UnshareAppLink(ctx, "42", acme.ID)} {
			if !errors.Is(err, module.ErrNotFound) {
				t.Errorf("what is gone: %v", err)
			}
		}
	})
}
