package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
)

// asRun is scoped with the key of a run of acme/gadget in place of a key of the module gadget.
func asRun(t *testing.T) *scoped {
	t.Helper()
	s := newScoped(t)
	_, err := s.Links.LinkRepo(t.Context(), farm.RepoLink{OrgID: s.Org.ID, Module: module.ID{Namespace: "acme", Name: "gadget"}, Repo: "acme/gadget", CreatedBy: "test"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := module.ParseVersion("1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	key, secret, err := s.Accounts.CreateWorkflowKey(t.Context(), s.Org.ID, module.WorkflowRun{
		Repository: "https://github.com/acme/gadget", Ref: "refs/tags/v1.0.0", Commit: strings.Repeat("1", 40), Version: v, Modules: []string{"gadget"},
	}, account.Proof{Issuer: "test", TokenID: "1", ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Accounts.Authenticate(t.Context(), key.ID, secret)
	if err != nil {
		t.Fatal(err)
	}
	s.keyID, s.key, s.token = key.ID, secret, s.Accounts.IssueToken(p)
	s.asGadget = connect.WithInterceptors(bearer(s.token))
	return s
}

// TestWorkflowKeyDoesNothingElse calls every method there is with the key of a workflow run, once for another module and
// once for none. What is not on its list is refused whatever it names; a new method is from its first day.
func TestWorkflowKeyDoesNothingElse(t *testing.T) {
	t.Parallel()
	s := asRun(t)
	tell := []string{"ListOrganizations", "GetOrganization", "WhoAmI"}
	mine := []string{"UpdateModule", "StartBuild", "ListJobs", "GetBuild", "CancelBuild", "RetryJob", "ListReleases"}
	refused := []string{connect.CodePermissionDenied.String(), connect.CodeNotFound.String(), connect.CodeUnimplemented.String()}
	for _, method := range methods(t) {
		name := string(method.Name())
		other := dynamicpb.NewMessage(method.Input())
		s.fill(other, 3)
		empty := dynamicpb.NewMessage(method.Input())
		for what, message := range map[string]*dynamicpb.Message{"of another module": other, "of none": empty} {
			code, body := s.call(t, method, message)
			switch {
			case slices.Contains(tell, name):
				if strings.Contains(body, "widget") {
					t.Errorf("%s tells of another module: %s", name, body)
				}
			case !slices.Contains(refused, code) && name != "StartBuild":
				t.Errorf("%s %s answers %s %s", name, what, code, body)
			case code == "ok":
				t.Errorf("%s %s is allowed: %s", name, what, body)
			case !slices.Contains(mine, name) && name != "ExchangeIDToken" && !strings.Contains(body, "does nothing else"):
				t.Errorf("%s %s is refused for another reason: %s", name, what, body)
			}
		}
	}
}

// TestWorkflowKeyStreams is the same for streams, downloads and the rest of plain HTTP.
func TestWorkflowKeyStreams(t *testing.T) {
	t.Parallel()
	s := asRun(t)
	ctx := t.Context()
	send := func(id, version string) error {
		upload, err := appv1connect.NewAppServiceClient(http.DefaultClient, s.URL, s.asGadget, connect.WithGRPC()).UploadModuleFile(ctx)
		if err != nil {
			return err
		}
		info := &appv1.ModuleFileInfo{ModuleId: id, Version: version, Platform: "linux/amd64"}
		_ = upload.Send(&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{ModuleFileInfo: info}})
		_ = upload.Send(&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_File{File: []byte("no archive")}})
		_, err = upload.CloseAndReceive()
		return err
	}
	wantOutOfScope(t, "UploadModuleFile", send("acme:widget", "1.0.0"))
	wantOutOfScope(t, "UploadModuleFile of another version", send("acme:gadget", "1.0.1"))
	if err := send("acme:gadget", "1.0.0"); connect.CodeOf(err) != connect.CodeInvalidArgument { // it is allowed, and no archive
		t.Errorf("UploadModuleFile: %v", err)
	}
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{http.MethodGet, "/api/v1/packages/acme/widget/1.0.0-linux-amd64.tar.gz", "", http.StatusForbidden},
		{http.MethodGet, "/api/v1/packages/acme/gadget/1.0.0-linux-amd64.tar.gz", "", http.StatusForbidden},
		{http.MethodGet, "/api/v1/resolve/acme/gadget?platform=linux/amd64", "", http.StatusForbidden},
		{http.MethodPost, "/api/v1/uploads", uploadOf("acme:widget", "1.0.0"), http.StatusForbidden},
		{http.MethodPost, "/api/v1/uploads", uploadOf("acme:gadget", "1.0.1"), http.StatusForbidden},
		{http.MethodPost, "/api/v1/uploads", uploadOf("acme:gadget", "1.0.0"), http.StatusCreated},
	} {
		req, err := http.NewRequestWithContext(ctx, tt.method, s.URL+tt.path, bytes.NewBufferString(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("key_id", s.keyID)
		req.Header.Set("key", s.key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("%s %s %s: %s %s", tt.method, tt.path, tt.body, res.Status, text)
		}
	}
}

func uploadOf(id, version string) string {
	return fmt.Sprintf(`{"module_id":%q,"version":%q,"platform":"linux/amd64","size":10,"sha256":%q}`, id, version, strings.Repeat("a", 64))
}
