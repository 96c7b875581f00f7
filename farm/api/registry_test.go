package api_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

const registryService = "/modfarm.v1.RegistryService/"

// TestDeprecateAndDelete is the life of a version after it was published, as clients see it.
func TestDeprecateAndDelete(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	file := bigArchive(t, 1000)
	for _, v := range []string{"1.0.0", "1.1.0"} {
		if _, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: v, Platform: "linux/amd64"}, file); err != nil {
			t.Fatal(err)
		}
	}
	c.must(registryService+"DeprecateModule", &modfarmv1.DeprecateModuleRequest{
		ModuleId: "acme:widget", Version: "1.1.0", Message: "use 1.0.0",
	}, &modfarmv1.DeprecateModuleResponse{})
	c.must(registryService+"DeprecateModule", &modfarmv1.DeprecateModuleRequest{ModuleId: "acme:widget", Message: "use acme:gadget"}, &modfarmv1.DeprecateModuleResponse{})
	var mod appv1.GetModuleResponse
	c.must(appService+"GetModule", &appv1.GetModuleRequest{ModuleId: "acme:widget"}, &mod)
	if s := mod.GetModule().GetDeprecatedStatus(); s.GetMessage() != "use acme:gadget" || s.GetDeprecatedAt() == nil {
		t.Errorf("status of the module: %v", s)
	}
	versions := mod.GetModule().GetVersions()
	if len(versions) != 2 || versions[0].DeprecatedStatus != nil || versions[1].GetDeprecatedStatus().GetMessage() != "use 1.0.0" {
		t.Errorf("versions %v", versions)
	}
	c.must(registryService+"UndeprecateModule", &modfarmv1.UndeprecateModuleRequest{ModuleId: "acme:widget"}, &modfarmv1.UndeprecateModuleResponse{})

	// A machine's download is what keeps a version.
	machineID, machineKey := f.AddKey(t, f.Org.ID, account.RoleMachine)
	machine := loggedIn(t, f, machineID, machineKey)
	checkDownload(t, f, getPackage(t, c, "acme/widget", "1.0.0-linux-amd64").GetUrl(), file) // by a person
	if res := get(t, "HEAD", getPackage(t, machine, "acme/widget", "1.0.0-linux-amd64").GetUrl(), machineID, machineKey); res.code != 200 {
		t.Fatalf("HEAD: %d", res.code)
	}
	if res := get(t, "GET", getPackage(t, machine, "acme/widget", "1.1.0-linux-amd64").GetUrl(), machineID, machineKey); res.code != 200 {
		t.Fatalf("GET: %d", res.code)
	}
	err := c.call(registryService+"DeleteModule", &modfarmv1.DeleteModuleRequest{ModuleId: "acme:widget", Version: "1.1.0"}, &modfarmv1.DeleteModuleResponse{})
	wantCode(t, err, codes.AlreadyExists)
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v does not say that it is in use", err)
	}
	wantCode(t, machine.call(registryService+"DeleteModule", &modfarmv1.DeleteModuleRequest{ModuleId: "acme:widget", Version: "1.0.0"}, &modfarmv1.DeleteModuleResponse{}), codes.PermissionDenied)

	var gone modfarmv1.DeleteModuleResponse
	c.must(registryService+"DeleteModule", &modfarmv1.DeleteModuleRequest{ModuleId: "acme:widget", Version: "1.0.0"}, &gone)
	if len(gone.GetReleases()) != 1 || gone.GetReleases()[0].GetPlatform() != "linux/amd64" {
		t.Errorf("gone: %v", &gone)
	}
	_, _, err = c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.0.0", Platform: "linux/amd64"}, file)
	wantCode(t, err, codes.AlreadyExists)

	var left modfarmv1.ListReleasesResponse
	c.must(registryService+"ListReleases", &modfarmv1.ListReleasesRequest{ModuleId: "acme:widget"}, &left)
	if len(left.GetReleases()) != 1 || left.GetReleases()[0].GetVersion() != "1.1.0" || left.GetReleases()[0].GetSize() != int64(len(file)) {
		t.Errorf("left: %v", &left)
	}
	var events modfarmv1.ListModuleEventsResponse
	c.must(registryService+"ListModuleEvents", &modfarmv1.ListModuleEventsRequest{ModuleId: "acme:widget"}, &events)
	if len(events.GetEvents()) != 4 || events.GetEvents()[0].GetAction() != "deleted" || events.GetEvents()[0].GetActor() != "key-"+f.KeyID {
		t.Errorf("events %v", &events)
	}

	_, keyID, key := f.AddOrg(t, "Other", "other", account.RoleOwner)
	o := loggedIn(t, f, keyID, key)
	wantCode(t, o.call(registryService+"ListReleases", &modfarmv1.ListReleasesRequest{ModuleId: "acme:widget"}, &modfarmv1.ListReleasesResponse{}), codes.NotFound)
	wantCode(t, o.call(registryService+"ListModuleEvents", &modfarmv1.ListModuleEventsRequest{ModuleId: "acme:widget"}, &modfarmv1.ListModuleEventsResponse{}), codes.NotFound)
	wantCode(t, o.call(registryService+"DeleteModule", &modfarmv1.DeleteModuleRequest{ModuleId: "acme:widget"}, &modfarmv1.DeleteModuleResponse{}), codes.NotFound)
}
