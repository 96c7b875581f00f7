package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
)

// TestRepoLinks links a module as the stock command line does, with a namespace for an organization's id.
func TestRepoLinks(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	link := func(l *buildv1.RepoLink) (string, error) {
		var res buildv1.LinkRepoResponse
		err := c.call(buildService+"LinkRepo", &buildv1.LinkRepoRequest{Link: l}, &res)
		return res.GetRepoLinkId(), err
	}
	id, err := link(&buildv1.RepoLink{OrgId: "acme", ModuleName: "widget", Repo: "Acme/Widget"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := link(&buildv1.RepoLink{OrgId: f.Org.ID, ModuleName: "widget", Repo: "https://github.com/acme/widget.git"})
	if err != nil || again != id {
		t.Errorf("the same link again is %q, %v, not %q", again, err, id)
	}
	var list buildv1.ListRepoLinksResponse
	c.must(buildService+"ListRepoLinks", &buildv1.ListRepoLinksRequest{}, &list)
	namespace := "acme"
	want := []*buildv1.RepoLink{{
		OrgId: f.Org.ID, Namespace: &namespace, ModuleName: "widget", Repo: "https://github.com/acme/widget", ViamUser: "key-" + f.KeyID,
	}}
	if diff := cmp.Diff(want, list.GetLinks(), protocmp.Transform()); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	other, otherID, otherKey := f.AddOrg(t, "Other", "other", account.RoleOwner)
	for name, tt := range map[string]struct {
		link *buildv1.RepoLink
		want codes.Code
	}{
		"nothing":              {nil, codes.InvalidArgument},
		"no module":            {&buildv1.RepoLink{OrgId: "acme", ModuleName: "gadget", Repo: "acme/gadget"}, codes.NotFound},
		"another organization": {&buildv1.RepoLink{OrgId: other.ID, ModuleName: "widget", Repo: "acme/widget"}, codes.NotFound},
		"another namespace":    {&buildv1.RepoLink{OrgId: "acme", Namespace: &other.Namespace, ModuleName: "widget", Repo: "acme/widget"}, codes.NotFound},
		"no repository":        {&buildv1.RepoLink{OrgId: "acme", ModuleName: "widget"}, codes.InvalidArgument},
		"a file":               {&buildv1.RepoLink{OrgId: "acme", ModuleName: "widget", Repo: "file:///etc/passwd"}, codes.InvalidArgument},
		"credentials":          {&buildv1.RepoLink{OrgId: "acme", ModuleName: "widget", Repo: "https://me:secret@github.com/acme/widget"}, codes.InvalidArgument},
		"a site":               {&buildv1.RepoLink{OrgId: "acme", ModuleName: "widget", Repo: "https://github.com/"}, codes.InvalidArgument},
		"unknown app link":     {&buildv1.RepoLink{OrgId: "acme", ModuleName: "widget", Repo: "acme/widget", OauthAppLinkId: "42"}, codes.NotFound},
	} {
		if _, err := link(tt.link); err == nil {
			t.Errorf("%s: was linked", name)
		} else {
			wantCode(t, err, tt.want)
		}
	}
	unlink := &buildv1.UnlinkRepoRequest{RepoLinkId: id}
	stranger := loggedIn(t, f, otherID, otherKey)
	wantCode(t, stranger.call(buildService+"UnlinkRepo", unlink, &buildv1.UnlinkRepoResponse{}), codes.NotFound)
	c.must(buildService+"UnlinkRepo", unlink, &buildv1.UnlinkRepoResponse{})
	wantCode(t, c.call(buildService+"UnlinkRepo", unlink, &buildv1.UnlinkRepoResponse{}), codes.NotFound)
}

// TestAppLinks holds who may use, share and remove what connects the farm with a code host.
func TestAppLinks(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	other, otherID, otherKey := f.AddOrg(t, "Other", "other", account.RoleOwner)
	stranger := loggedIn(t, f, otherID, otherKey)
	made, err := f.Registry.CreateModule(t.Context(), other.ID, "gadget")
	if err != nil {
		t.Fatal(err)
	}
	err = f.Links.Store.AddAppLink(t.Context(), farm.AppLink{
		ID: "42", OwnerID: f.Org.ID, CreatedBy: "somebody", Account: "acme-inc", OrgIDs: []string{f.Org.ID}, CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := func(by *foreign) (ids []string) {
		t.Helper()
		var res buildv1.ListAppLinksResponse
		by.must(buildService+"ListAppLinks", &buildv1.ListAppLinksRequest{}, &res)
		for _, l := range res.GetLinks() {
			ids = append(ids, l.GetOauthAppLinkId()+" "+l.GetExternalUser())
		}
		return ids
	}
	one := []string{"42 acme-inc"}
	if diff := cmp.Diff([][]string{one, nil}, [][]string{listed(c), listed(stranger)}); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	share := &buildv1.LinkOrgRequest{OauthAppLinkId: "42", OrgId: "other"}
	wantCode(t, stranger.call(buildService+"LinkOrg", share, &buildv1.LinkOrgResponse{}), codes.NotFound)
	for range 2 {
		c.must(buildService+"LinkOrg", share, &buildv1.LinkOrgResponse{})
	}
	wantCode(t, c.call(buildService+"LinkOrg", &buildv1.LinkOrgRequest{OauthAppLinkId: "42", OrgId: "nobody"}, &buildv1.LinkOrgResponse{}), codes.NotFound)
	if diff := cmp.Diff(one, listed(stranger)); diff != "" {
		t.Errorf("listed when shared (-want +got):\n%s", diff)
	}
	remove := &buildv1.RemoveAppLinkRequest{OauthAppLinkId: "42"}
	wantCode(t, stranger.call(buildService+"RemoveAppLink", remove, &buildv1.RemoveAppLinkResponse{}), codes.PermissionDenied)

	var linked buildv1.LinkRepoResponse
	stranger.must(buildService+"LinkRepo", &buildv1.LinkRepoRequest{Link: &buildv1.RepoLink{
		OauthAppLinkId: "42", OrgId: other.ID, ModuleName: made.Name, Repo: "acme/gadget",
	}}, &linked)
	unshare := &buildv1.UnlinkOrgRequest{OauthAppLinkId: "42", OrgId: other.ID}
	wantCode(t, c.call(buildService+"UnlinkOrg", unshare, &buildv1.UnlinkOrgResponse{}), codes.AlreadyExists)
	wantCode(t, c.call(buildService+"RemoveAppLink", remove, &buildv1.RemoveAppLinkResponse{}), codes.AlreadyExists)
	wantCode(t, c.call(buildService+"UnlinkOrg", &buildv1.UnlinkOrgRequest{OauthAppLinkId: "42", OrgId: "acme"}, &buildv1.UnlinkOrgResponse{}), codes.AlreadyExists)
	stranger.must(buildService+"UnlinkRepo", &buildv1.UnlinkRepoRequest{RepoLinkId: linked.GetRepoLinkId()}, &buildv1.UnlinkRepoResponse{})
	stranger.must(buildService+"UnlinkOrg", unshare, &buildv1.UnlinkOrgResponse{})
	c.must(buildService+"RemoveAppLink", remove, &buildv1.RemoveAppLinkResponse{})
	if got := append(listed(c), listed(stranger)...); len(got) != 0 {
		t.Errorf("listed at the end: %q", got)
	}
}
