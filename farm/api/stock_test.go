package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

const (
	appService     = "/viam.app.v1.AppService/"
	packageService = "/viam.app.packages.v1.PackageService/"
	buildService   = "/viam.app.build.v1.BuildService/"
)

// bigArchive does not compress, so that a download has something to be cut in.
func bigArchive(t *testing.T, size int) []byte {
	t.Helper()
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(rand.Uint32()) //nolint:gosec // noise
	}
	return apitest.Archive(t,
		apitest.Member{Name: "meta.json", Mode: 0o644, Data: []byte(`{"module_id":"acme:widget","visibility":"private","entrypoint":"run.sh"}`)},
		apitest.Member{Name: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\necho hello\n")},
		apitest.Member{Name: "noise", Mode: 0o644, Data: noise},
	)
}

// widget makes the module acme:widget with an entrypoint.
func widget(t *testing.T, c *foreign, f *apitest.Farm) {
	t.Helper()
	var made appv1.CreateModuleResponse
	c.must(appService+"CreateModule", &appv1.CreateModuleRequest{OrganizationId: f.Org.ID, Name: "widget"}, &made)
	if made.GetModuleId() != "acme:widget" {
		t.Fatalf("made %q", made.GetModuleId())
	}
	c.must(appService+"UpdateModule", &appv1.UpdateModuleRequest{
		ModuleId: "acme:widget", Visibility: appv1.Visibility_VISIBILITY_PRIVATE, Entrypoint: "run.sh", Description: "a widget",
		Models: []*appv1.Model{{Api: "rdk:component:sensor", Model: "acme:weather:indoor"}},
	}, &appv1.UpdateModuleResponse{})
}

// TestStockUpload is a session of the stock command line and a stock machine, in the order in which
// they call: log in, create, update, upload, look up, download, download again after a cut.
func TestStockUpload(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)

	var orgs appv1.ListOrganizationsResponse
	c.must(appService+"ListOrganizations", &appv1.ListOrganizationsRequest{}, &orgs)
	if len(orgs.GetOrganizations()) != 1 || orgs.GetOrganizations()[0].GetId() != f.Org.ID || orgs.GetOrganizations()[0].GetPublicNamespace() != "acme" {
		t.Fatalf("organizations %v", &orgs)
	}
	widget(t, c, f)
	var mod appv1.GetModuleResponse
	c.must(appService+"GetModule", &appv1.GetModuleRequest{ModuleId: "acme:widget"}, &mod)
	if mod.GetModule().GetEntrypoint() != "run.sh" || len(mod.GetModule().GetVersions()) != 0 {
		t.Fatalf("module %v", &mod)
	}

	file := bigArchive(t, 300<<10)
	info := &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.2.6-rc.1", Platform: "linux/amd64"}
	if _, _, err := c.upload(info, file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.upload(info, file); err != nil { // the same bytes again are fine
		t.Fatal(err)
	}
	info.Version = "1.2.5"
	if _, _, err := c.upload(info, file); err != nil {
		t.Fatal(err)
	}
	c.must(appService+"GetModule", &appv1.GetModuleRequest{ModuleId: f.Org.ID + ":widget"}, &mod)
	var versions []string
	for _, v := range mod.GetModule().GetVersions() {
		versions = append(versions, v.GetVersion()+" "+v.GetFiles()[0].GetPlatform()+" "+v.GetEntrypoint())
	}
	want := []string{"1.2.5 linux/amd64 run.sh", "1.2.6-rc.1 linux/amd64 run.sh"}
	if diff := cmp.Diff(want, versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}

	for _, id := range []string{"acme/widget", f.Org.ID + "/widget", "/widget"} {
		pkg := getPackage(t, c, id, "1.2.6-rc.1-linux-amd64")
		checkDownload(t, f, pkg.GetUrl(), file)
	}
	_, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.2.5", Platform: "linux/amd64"}, bigArchive(t, 1000))
	wantCode(t, err, codes.AlreadyExists)
}

func getPackage(t *testing.T, c *foreign, id, version string) *packagesv1.Package {
	t.Helper()
	url, kind := true, packagesv1.PackageType_PACKAGE_TYPE_MODULE
	var res packagesv1.GetPackageResponse
	c.must(packageService+"GetPackage", &packagesv1.GetPackageRequest{Id: id, Version: version, IncludeUrl: &url, Type: &kind}, &res)
	return res.GetPackage()
}

// checkDownload does what a machine does: HEAD, HEAD, GET, and after a cut HEAD, HEAD, GET with a Range.
func checkDownload(t *testing.T, f *apitest.Farm, url string, file []byte) {
	t.Helper()
	crc := binary.BigEndian.AppendUint32(nil, crc32.Checksum(file, crc32.MakeTable(crc32.Castagnoli)))
	sum := sha256.Sum256(file)
	for range 2 {
		res := get(t, http.MethodHead, url, f.KeyID, f.Key)
		got := []string{
			strconv.Itoa(res.code), res.header.Get("Content-Type"), res.header.Get("x-goog-hash"),
			res.header.Get("Accept-Ranges"), res.header.Get("Content-Length"), res.header.Get("ETag"),
		}
		want := []string{
			"200", "application/x-gzip", "crc32c=" + base64.StdEncoding.EncodeToString(crc),
			"bytes", strconv.Itoa(len(file)), `"` + hex.EncodeToString(sum[:]) + `"`,
		}
		if diff := cmp.Diff(want, got); diff != "" || len(res.body) != 0 {
			t.Errorf("HEAD %s: %d bytes (-want +got):\n%s", url, len(res.body), diff)
		}
	}
	res := get(t, http.MethodGet, url, f.KeyID, f.Key)
	if res.code != http.StatusOK || res.body != string(file) {
		t.Errorf("GET %s: %d, %d bytes of %d", url, res.code, len(res.body), len(file))
	}
	had := len(file) / 3
	res = get(t, http.MethodGet, url, f.KeyID, f.Key, "Range", "bytes="+strconv.Itoa(had)+"-")
	if res.code != http.StatusPartialContent || res.body != string(file[had:]) {
		t.Errorf("GET %s from %d: %d, %d bytes", url, had, res.code, len(res.body))
	}
}

// TestLogin is who is let in and how the others are told.
func TestLogin(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := dialForeign(t, f.Addr, nil)
	wantCode(t, c.login(f.KeyID, "wrong"), codes.Unauthenticated)
	wantCode(t, c.login("5cf2e1c0-0000-4000-8000-000000000000", f.Key), codes.Unauthenticated)
	wantCode(t, c.call(appService+"ListOrganizations", &appv1.ListOrganizationsRequest{}, &appv1.ListOrganizationsResponse{}), codes.Unauthenticated)
	c.token = "made-up"
	wantCode(t, c.call(appService+"ListOrganizations", &appv1.ListOrganizationsRequest{}, &appv1.ListOrganizationsResponse{}), codes.Unauthenticated)
	wantCode(t, c.login(f.KeyID, f.Key), codes.InvalidArgument) // a login with an authorization entry
	c.token = ""
	if err := c.login(f.KeyID, f.Key); err != nil {
		t.Fatal(err)
	}
	first := c.token
	c.token = ""
	if err := c.login(f.KeyID, f.Key); err != nil || c.token == "" {
		t.Fatalf("second login: %v", err)
	}
	c.token = first // the first stays good
	c.must(appService+"ListOrganizations", &appv1.ListOrganizationsRequest{}, &appv1.ListOrganizationsResponse{})
}

// TestUploadFailsFast holds that a wrong first message is answered before the file was sent.
func TestUploadFailsFast(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	_, keyID, key := f.AddOrg(t, "Other", "other", account.RoleOwner)
	other := loggedIn(t, f, keyID, key)
	readerID, readerKey := f.AddKey(t, f.Org.ID, account.RoleReader)
	file := make([]byte, 32<<20)
	tests := []struct {
		name   string
		client *foreign
		info   *appv1.ModuleFileInfo
		code   codes.Code
		text   string
	}{
		{"version", c, &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.2", Platform: "linux/amd64"}, codes.InvalidArgument, "version"},
		{"platform", c, &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.2.0", Platform: "linux/risc"}, codes.InvalidArgument, "platform"},
		{"all at once", c, &appv1.ModuleFileInfo{ModuleId: "acme", Version: "x", Platform: "y"}, codes.InvalidArgument, "platform"},
		{"no module", c, &appv1.ModuleFileInfo{ModuleId: "acme:gadget", Version: "1.2.0", Platform: "linux/amd64"}, codes.NotFound, "modfarm module create acme:gadget"},
		{"not theirs", other, &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.2.0", Platform: "linux/amd64"}, codes.NotFound, "acme:widget"},
		{"reader", loggedIn(t, f, readerID, readerKey), &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.2.0", Platform: "linux/amd64"}, codes.PermissionDenied, "reader"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, sent, err := tt.client.upload(tt.info, file)
			wantCode(t, err, tt.code)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v does not name %q", err, tt.text)
			}
			if all := len(file) / (32 << 10); sent >= all {
				t.Errorf("all %d chunks were taken before the answer", sent)
			}
		})
	}
}

// TestUploadInspects holds that what is unusable anywhere is refused, and that what stock clients check
// themselves is not.
func TestUploadInspects(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	script := []byte("#!/bin/sh\n")
	tests := []struct {
		name string
		file []byte
		code codes.Code
	}{
		{"not-gzip", []byte("this is not an archive"), codes.InvalidArgument},
		{"climbing", apitest.Archive(t, apitest.Member{Name: "../run.sh", Mode: 0o755, Data: script}), codes.InvalidArgument},
		{"arm64-for-amd64", apitest.Archive(t, apitest.Member{Name: "run.sh", Mode: 0o755, Data: apitest.ELF(apitest.ARM64)}), codes.InvalidArgument},
		{"no-entrypoint", apitest.Archive(t, apitest.Member{Name: "other", Mode: 0o755, Data: script}), codes.OK},
		{"not-executable", apitest.Archive(t, apitest.Member{Name: "run.sh", Mode: 0o644, Data: script}), codes.OK},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			version := "1.0." + strconv.Itoa(i)
			_, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: version, Platform: "linux/amd64"}, tt.file)
			wantCode(t, err, tt.code)
		})
	}
}

// TestOthersSeeNothing holds that private modules of another organization do not exist.
func TestOthersSeeNothing(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	file := bigArchive(t, 1000)
	if _, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.0.0", Platform: "linux/amd64"}, file); err != nil {
		t.Fatal(err)
	}
	url := getPackage(t, c, "acme/widget", "1.0.0-linux-amd64").GetUrl()
	_, keyID, key := f.AddOrg(t, "Other", "other", account.RoleOwner)
	o := loggedIn(t, f, keyID, key)

	wantCode(t, o.call(appService+"GetModule", &appv1.GetModuleRequest{ModuleId: "acme:widget"}, &appv1.GetModuleResponse{}), codes.NotFound)
	wantCode(t, o.call(appService+"UpdateModule", &appv1.UpdateModuleRequest{ModuleId: "acme:widget"}, &appv1.UpdateModuleResponse{}), codes.NotFound)
	wantCode(t, o.call(packageService+"GetPackage", &packagesv1.GetPackageRequest{Id: "acme/widget", Version: "1.0.0-linux-amd64"}, &packagesv1.GetPackageResponse{}), codes.NotFound)
	wantCode(t, o.call(appService+"CreateModule", &appv1.CreateModuleRequest{OrganizationId: f.Org.ID, Name: "mine"}, &appv1.CreateModuleResponse{}), codes.NotFound)
	if res := get(t, http.MethodGet, url, keyID, key); res.code != http.StatusNotFound {
		t.Errorf("download: %d", res.code)
	}
	if res := get(t, http.MethodGet, url, f.KeyID, "wrong"); res.code != http.StatusUnauthorized {
		t.Errorf("download with a wrong key: %d", res.code)
	}
	if res := get(t, http.MethodGet, url, "", ""); res.code != http.StatusUnauthorized {
		t.Errorf("download without a key: %d", res.code)
	}
	c.must(appService+"UpdateModule", &appv1.UpdateModuleRequest{ModuleId: "acme:widget", Visibility: appv1.Visibility_VISIBILITY_PUBLIC}, &appv1.UpdateModuleResponse{})
	if res := get(t, http.MethodGet, url, keyID, key); res.code != http.StatusOK {
		t.Errorf("download of a public module: %d", res.code)
	}
	wantCode(t, o.call(appService+"UpdateModule", &appv1.UpdateModuleRequest{ModuleId: "acme:widget"}, &appv1.UpdateModuleResponse{}), codes.PermissionDenied)
}

// TestKeys holds that a new key works with the role that was asked for, and no other.
func TestKeys(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	ask := func(role, org string) (*appv1.CreateKeyResponse, error) {
		var res appv1.CreateKeyResponse
		err := c.call(appService+"CreateKey", &appv1.CreateKeyRequest{Name: "ci", Authorizations: []*appv1.Authorization{{
			AuthorizationType: "role", AuthorizationId: role, ResourceType: "organization", ResourceId: org, OrganizationId: org, IdentityType: "api-key",
		}}}, &res)
		return &res, err
	}
	key, err := ask("organization_publisher", f.Org.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask("emperor", f.Org.ID)
	wantCode(t, err, codes.InvalidArgument)
	_, err = ask("organization_owner", "5cf2e1c0-0000-4000-8000-000000000000")
	wantCode(t, err, codes.NotFound)
	publisher := loggedIn(t, f, key.GetId(), key.GetKey())
	widget(t, publisher, f)
	wantCode(t, publisher.call(appService+"CreateKey", &appv1.CreateKeyRequest{}, &appv1.CreateKeyResponse{}), codes.PermissionDenied)
}
