package conformance_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/modfarm/modfarm/farm/api/apitest"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// flow is a command, and the calls that the stock client makes for it.
type flow struct {
	command string
	calls   string
	run     func(s *session)
}

// flows are all that the stock command line and a stock machine do, but for reloading to a machine and what
// a machine asks for its configuration.
func flows() []flow {
	all := []flow{
		{"login api-key", "Authenticate ListOrganizations", organizations},
		{"login api-key, wrong key", "Authenticate", wrongKey},
		{"whoami", "", func(*session) {}},
		{"organizations list", "Authenticate ListOrganizations", organizations},
		{"organizations api-key create", "Authenticate CreateKey", createKey},
		{"--profile p1 organizations list, first use", "Authenticate ListOrganizations ListOrganizations ListOrganizations Authenticate ListOrganizations", func(s *session) {
			organizations(s)
			organizations(s)
			organizations(s)
			s.login()
			organizations(s)
		}},
		{"module create", "Authenticate ListOrganizations CreateModule", createModule},
		{"module generate --register", "Authenticate ListOrganizations CreateModule", createModule},
		{"module update", "Authenticate UpdateModule", func(s *session) { update(s, "acme:widget") }},
		{"module update, id of an organization", "Authenticate UpdateModule ListOrganizations", func(s *session) {
			update(s, s.farm.Org.ID+":widget")
			organizations(s)
		}},
		{"module upload", "Authenticate UpdateModule GetModule UploadModuleFile", func(s *session) {
			update(s, "acme:widget")
			entrypoint(s)
			upload(s, "1.0.0", archive(s.t, 100))
		}},
		{"module upload --force", "Authenticate UpdateModule UploadModuleFile", func(s *session) {
			update(s, "acme:widget")
			upload(s, "1.0.0", archive(s.t, 100))
		}},
		{"module upload --org-id", "Authenticate ListOrganizations ListOrganizations UpdateModule GetModule UploadModuleFile", func(s *session) {
			organizations(s)
			organizations(s)
			update(s, "acme:widget")
			entrypoint(s)
			upload(s, "1.0.0", archive(s.t, 100))
		}},
		{"module upload, no meta.json", "Authenticate GetModule UploadModuleFile", func(s *session) {
			entrypoint(s)
			upload(s, "1.0.0", archive(s.t, 100))
		}},
		{"module upload, same version", "Authenticate UploadModuleFile UploadModuleFile", sameVersion},
		{"module download", "Authenticate GetModule GetPackage GET", download},
		{"module download, id of an organization", "Authenticate GetPackage GET", func(s *session) { export(s, s.farm.Org.ID+"/widget", "1.2.0-linux-amd64") }},
		{"module download --platform not in version", "Authenticate GetModule", notInVersion},
		{"module download --version, no organization known", "Authenticate GetModule GetPackage GET", func(s *session) {
			entrypoint(s)
			export(s, "/widget", "1.2.0-linux-amd64")
		}},
		{"packages export --type module", "Authenticate GetPackage GET", func(s *session) { export(s, "acme/widget", "latest") }},
		{"module versions", "Authenticate GetModule", versions},
		{"token rejected once", "Authenticate ListOrganizations", rejected},
		{"machine: download", "Authenticate GetPackage HEAD HEAD GET", machine},
		{"machine: connection cut during GET", "Authenticate GetPackage HEAD HEAD GET GetPackage HEAD HEAD GET", resumed},
		{"machine: wrong key", "Authenticate GetPackage HEAD GET", wrongDownload},
	}
	return append(all, buildFlows()...)
}

// TestFlows runs each flow against a farm of its own, which has the module acme:widget with two releases.
func TestFlows(t *testing.T) {
	t.Parallel()
	for _, f := range flows() {
		t.Run(f.command, func(t *testing.T) {
			t.Parallel()
			farm := newFarm(t)
			s := newSession(t, farm)
			f.run(s)
			if diff := cmp.Diff(f.calls, strings.Join(s.calls, " ")); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if text := farm.Log.String(); strings.Contains(text, `"ERROR"`) || strings.Contains(text, `"WARN"`) {
				t.Errorf("logged as faults:\n%s", text)
			}
		})
	}
}

// published is the archive of acme:widget 1.2.0 for linux/amd64.
func published(t *testing.T) []byte {
	t.Helper()
	return archive(t, 200_000)
}

func newFarm(t *testing.T) *apitest.Farm {
	t.Helper()
	f := apitest.Start(t)
	s := newSession(t, f)
	s.call("CreateModule", &appv1.CreateModuleRequest{OrganizationId: f.Org.ID, Name: "widget"}, &appv1.CreateModuleResponse{})
	update(s, "acme:widget")
	upload(s, "1.2.0", published(t))
	upload(s, "1.1.0-rc1", archive(t, 10))
	return f
}

// archive does not compress: its noise is the same for the same size.
func archive(t *testing.T, noise int) []byte {
	t.Helper()
	data := make([]byte, noise)
	state := uint32(noise)*2 + 1 //nolint:gosec // noise
	for i := range data {
		state = state*1664525 + 1013904223
		data[i] = byte(state >> 24)
	}
	return apitest.Archive(t,
		apitest.Member{Name: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\necho hello\n")},
		apitest.Member{Name: "noise", Mode: 0o644, Data: data})
}

func organizations(s *session) {
	var res appv1.ListOrganizationsResponse
	s.call("ListOrganizations", &appv1.ListOrganizationsRequest{}, &res)
	if orgs := res.GetOrganizations(); len(orgs) != 1 || orgs[0].GetId() != s.farm.Org.ID || orgs[0].GetPublicNamespace() != "acme" || orgs[0].GetName() == "" {
		s.t.Errorf("organizations %v", orgs)
	}
}

func wrongKey(s *session) {
	s.key = "wrong"
	wantCode(s.t, s.authenticate(), codes.Unauthenticated)
}

func createKey(s *session) {
	var res appv1.CreateKeyResponse
	s.call("CreateKey", &appv1.CreateKeyRequest{Name: "ci", Authorizations: []*appv1.Authorization{{
		AuthorizationType: "role", AuthorizationId: "organization_owner", ResourceType: "organization",
		ResourceId: s.farm.Org.ID, OrganizationId: s.farm.Org.ID, IdentityType: "api-key",
	}}}, &res)
	other := newSession(s.t, s.farm)
	other.keyID, other.key = res.GetId(), res.GetKey()
	organizations(other)
}

func createModule(s *session) {
	organizations(s)
	var res appv1.CreateModuleResponse
	s.call("CreateModule", &appv1.CreateModuleRequest{OrganizationId: s.farm.Org.ID, Name: "gadget"}, &res)
	if res.GetModuleId() != "acme:gadget" {
		s.t.Errorf("made %q", res.GetModuleId())
	}
}

func update(s *session, id string) {
	empty := ""
	s.call("UpdateModule", &appv1.UpdateModuleRequest{
		ModuleId: id, Visibility: appv1.Visibility_VISIBILITY_PRIVATE, Url: "https://git.example.com/acme/widget",
		Description: "a widget", Entrypoint: "run.sh", FirstRun: &empty, MarkdownDescription: &empty,
		Models: []*appv1.Model{{Api: "rdk:component:sensor", Model: "acme:weather:indoor"}},
	}, &appv1.UpdateModuleResponse{})
}

// entrypoint is what an upload is checked against.
func entrypoint(s *session) {
	var res appv1.GetModuleResponse
	s.call("GetModule", &appv1.GetModuleRequest{ModuleId: "acme:widget"}, &res)
	if res.GetModule().GetEntrypoint() != "run.sh" {
		s.t.Errorf("module %v", res.GetModule())
	}
}

func tryUpload(s *session, version string, file []byte) error {
	messages := []proto.Message{&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{
		ModuleFileInfo: &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: version, Platform: "linux/amd64"},
	}}}
	for len(file) > 0 {
		n := min(len(file), 32<<10)
		messages = append(messages, &appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_File{File: file[:n]}})
		file = file[n:]
	}
	return s.send("UploadModuleFile", &appv1.UploadModuleFileResponse{}, messages...)
}

func upload(s *session, version string, file []byte) {
	if err := tryUpload(s, version, file); err != nil {
		s.t.Fatalf("upload %s: %v", version, err)
	}
}

func sameVersion(s *session) {
	upload(s, "1.2.0", published(s.t))
	wantCode(s.t, tryUpload(s, "1.2.0", archive(s.t, 50)), codes.AlreadyExists)
}

// getPackage asks as both clients do: without a platform.
func getPackage(s *session, id, version string) (string, error) {
	url, kind := true, packagesv1.PackageType_PACKAGE_TYPE_MODULE
	var res packagesv1.GetPackageResponse
	err := s.try("GetPackage", &packagesv1.GetPackageRequest{Id: id, Version: version, IncludeUrl: &url, Type: &kind}, &res)
	return res.GetPackage().GetUrl(), err
}

func export(s *session, id, version string) {
	url, err := getPackage(s, id, version)
	if err != nil {
		s.t.Fatal(err)
	}
	if res, body := s.http(http.MethodGet, url, s.key); res.code != http.StatusOK || !bytes.Equal(body, published(s.t)) {
		s.t.Errorf("GET: %d, %d bytes", res.code, len(body))
	}
}

// latest is what a stock client takes for the latest version: the last one in the list.
func latest(s *session) *appv1.VersionHistory {
	var res appv1.GetModuleResponse
	s.call("GetModule", &appv1.GetModuleRequest{ModuleId: "acme:widget"}, &res)
	list := res.GetModule().GetVersions()
	if len(list) != 2 || list[0].GetVersion() != "1.1.0-rc1" || list[1].GetVersion() != "1.2.0" || list[1].GetEntrypoint() != "run.sh" {
		s.t.Fatalf("versions %v", list)
	}
	return list[1]
}

func versions(s *session) { latest(s) }

func download(s *session) {
	v := latest(s)
	export(s, "acme/widget", v.GetVersion()+"-"+strings.ReplaceAll(v.GetFiles()[0].GetPlatform(), "/", "-"))
}

func notInVersion(s *session) {
	if files := latest(s).GetFiles(); len(files) != 1 || files[0].GetPlatform() != "linux/amd64" {
		s.t.Errorf("files %v", files)
	}
}

func rejected(s *session) {
	s.login()
	s.token = "of another farm"
	wantCode(s.t, s.try("ListOrganizations", &appv1.ListOrganizationsRequest{}, &appv1.ListOrganizationsResponse{}), codes.Unauthenticated)
}

func machine(s *session) {
	url, err := getPackage(s, s.farm.Org.ID+"/widget", "1.2.0-linux-amd64")
	if err != nil {
		s.t.Fatal(err)
	}
	s.head(url, published(s.t))
	s.head(url, published(s.t))
	if res, body := s.http(http.MethodGet, url, s.key); res.code != http.StatusOK || !bytes.Equal(body, published(s.t)) {
		s.t.Errorf("GET: %d, %d bytes", res.code, len(body))
	}
}

// resumed goes on in the middle, by the same address: a machine knows its partial file by that.
func resumed(s *session) {
	machine(s)
	file := published(s.t)
	url, err := getPackage(s, s.farm.Org.ID+"/widget", "1.2.0-linux-amd64")
	if err != nil {
		s.t.Fatal(err)
	}
	s.head(url, file)
	s.head(url, file)
	res, body := s.http(http.MethodGet, url, s.key, "Range", "bytes=100000-")
	want := fmt.Sprintf("bytes 100000-%d/%d", len(file)-1, len(file))
	if res.code != http.StatusPartialContent || res.header.Get("Content-Range") != want || !bytes.Equal(body, file[100_000:]) {
		s.t.Errorf("GET of the rest: %d, %s, %d bytes", res.code, res.header.Get("Content-Range"), len(body))
	}
}

func wrongDownload(s *session) {
	url, err := getPackage(s, "acme/widget", "1.2.0-linux-amd64")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		if res, body := s.http(method, url, "wrong"); res.code != http.StatusUnauthorized || bytes.Contains(body, []byte("noise")) {
			s.t.Errorf("%s with a wrong key: %d", method, res.code)
		}
	}
}
