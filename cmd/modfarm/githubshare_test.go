package main

import (
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
)

// TestGitHubShare: an account's owner shares it and takes it back, and the other organization gives it back itself.
func TestGitHubShare(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	beta, keyID, key := p.farm.AddOrg(t, "Beta", "beta", account.RoleOwner)
	err := p.farm.Links.Store.AddAppLink(t.Context(), farm.AppLink{
		ID: "42", OwnerID: p.farm.Org.ID, CreatedBy: farm.ByGitHub, Account: "acme-robotics", OrgIDs: []string{p.farm.Org.ID}, CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	usable := func() int {
		links, err := p.farm.Links.Store.AppLinks(t.Context(), beta.ID)
		if err != nil {
			t.Fatal(err)
		}
		return len(links)
	}
	p.run("github", "share", "acme-robotics", "--org", "nobody").want(exitNotFound, "", "nobody")
	p.run("github", "share", "Acme-Robotics", "--org", "beta").want(exitOK, "beta may build from the private repositories of acme-robotics\n", "")
	if usable() != 1 {
		t.Error("beta may not use the account")
	}
	p.run("github", "share", "acme-robotics", "--org", "beta", "--undo", "--json").
		want(exitOK, `{"account":"acme-robotics","app_link_id":"42","organization":"beta","shared":false}`+"\n", "")
	if usable() != 0 {
		t.Error("beta may still use the account")
	}
	p.run("github", "share", "acme-robotics", "--org", "beta", "--json").want(exitOK, `"shared":true}`, "")
	p.env["MODFARM_KEY_ID"], p.env["MODFARM_KEY"] = keyID, key
	p.run("github", "share", "acme-robotics", "--org", "beta", "--undo").want(exitOK, "may no longer", "")
	if usable() != 0 {
		t.Error("beta did not give the account back")
	}
}
