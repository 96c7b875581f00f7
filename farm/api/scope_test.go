package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	"github.com/modfarm/modfarm/proto/gen/modfarm/v1/modfarmv1connect"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/build/v1/buildv1connect"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
)

// scoped is a farm with the modules acme:widget, which has a build, and acme:gadget, for which there is a
// publisher's key.
type scoped struct {
	*apitest.Farm
	build      farm.Build
	keyID, key string
	token      string
	asGadget   connect.ClientOption
}

func newScoped(t *testing.T) *scoped {
	t.Helper()
	s := &scoped{Farm: apitest.Start(t)}
	ctx := t.Context()
	for _, name := range []string{"widget", "gadget"} {
		if _, err := s.Registry.CreateModule(ctx, s.Org.ID, name); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.build, err = s.Farm.Farm.Submit(ctx, farm.Submission{
		OrgID: s.Org.ID, Module: module.ID{Namespace: "acme", Name: "widget"}, Repo: "https://git.example.com/acme/widget", Ref: "main",
		Platforms: []module.Platform{{OS: "linux", Arch: "amd64"}}, RequestedBy: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	key, secret, err := s.Accounts.CreateKey(ctx, s.Org.ID, account.KeySpec{Role: account.RolePublisher, Module: "gadget"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Accounts.Authenticate(ctx, key.ID, secret)
	if err != nil {
		t.Fatal(err)
	}
	s.keyID, s.key, s.token = key.ID, secret, s.Accounts.IssueToken(p)
	s.asGadget = connect.WithInterceptors(bearer(s.token))
	return s
}

// bearer puts a token on calls.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, req)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// methods are the unary methods of every service that users call, those of later days included.
func methods(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			name := string(service.FullName())
			ours := strings.HasPrefix(name, "viam.app.") || strings.HasPrefix(name, "modfarm.v1.")
			if !ours || strings.HasSuffix(name, ".WorkerService") {
				continue
			}
			for j := range service.Methods().Len() {
				if m := service.Methods().Get(j); !m.IsStreamingClient() && !m.IsStreamingServer() {
					all = append(all, m)
				}
			}
		}
		return true
	})
	if len(all) < 25 {
		t.Fatalf("only %d methods", len(all))
	}
	return all
}

// fill names the other module, its build and its job wherever a message names such things.
func (s *scoped) fill(m protoreflect.Message, depth int) {
	values := map[string]string{
		"module_id": "acme:widget", "item_id": "acme:widget", "scope_module_id": "acme:widget", "id": "acme/widget",
		"build_id": s.build.ID, "job_id": s.build.Jobs[0].ID,
		"organization_id": s.Org.ID, "org_id": s.Org.ID, "name": "stolen", "module_name": "widget", "role": "owner",
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Kind() == protoreflect.StringKind && !f.IsList() && !f.IsMap():
			if v, known := values[string(f.Name())]; known {
				m.Set(f, protoreflect.ValueOfString(v))
			}
		case f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() && depth > 0 && !strings.HasPrefix(string(f.Message().FullName()), "google."):
			s.fill(m.Mutable(f).Message(), depth-1)
		}
	}
}

// call makes a unary call in JSON and returns the code of its answer, "ok" for a success, and the answer.
func (s *scoped) call(t *testing.T, method protoreflect.MethodDescriptor, message proto.Message) (code, body string) {
	t.Helper()
	text, err := protojson.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	url := s.URL + "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		return "ok", string(answer)
	}
	var failure struct{ Code string }
	if err := json.Unmarshal(answer, &failure); err != nil {
		t.Fatalf("%s: %s: %v", url, answer, err)
	}
	return failure.Code, string(answer)
}

// TestKeyOfOneModule calls every method there is with a key of one module, once for another module and once for
// none: nothing is told or changed but what is the key's own. A new method is held to that from its first day.
func TestKeyOfOneModule(t *testing.T) {
	t.Parallel()
	s := newScoped(t)
	// These tell about the key and its organization.
	own := []string{"ListOrganizations", "GetOrganization", "ListModules", "WhoAmI"}
	refused := []string{connect.CodePermissionDenied.String(), connect.CodeNotFound.String(), connect.CodeUnimplemented.String()}
	for _, method := range methods(t) {
		name := string(method.Name())
		full := dynamicpb.NewMessage(method.Input())
		s.fill(full, 3)
		code, body := s.call(t, method, full)
		if slices.Contains(own, name) {
			if code != "ok" || strings.Contains(body, "widget") {
				t.Errorf("%s answers %s %s", name, code, body)
			}
			continue
		}
		if !slices.Contains(refused, code) {
			t.Errorf("%s of another module answers %s %s", name, code, body)
		}
		code, body = s.call(t, method, dynamicpb.NewMessage(method.Input()))
		switch lists := strings.HasPrefix(name, "List"); {
		case lists && strings.Contains(body, "widget"):
			t.Errorf("%s of no module tells of another: %s", name, body)
		case !lists && code == "ok":
			t.Errorf("%s of no module is allowed: %s", name, body)
		}
	}
}

// TestKeyOfOneModuleStreams is the same for streams and for downloads.
func TestKeyOfOneModuleStreams(t *testing.T) {
	t.Parallel()
	s := newScoped(t)
	ctx := t.Context()
	logs, err := buildv1connect.NewBuildServiceClient(http.DefaultClient, s.URL, s.asGadget).
		GetLogs(ctx, &buildv1.GetLogsRequest{BuildId: s.build.ID, Platform: "linux/amd64"})
	if err == nil {
		logs.Receive()
		err = logs.Err()
	}
	wantOutOfScope(t, "GetLogs", err)
	follow, err := modfarmv1connect.NewFarmServiceClient(http.DefaultClient, s.URL, s.asGadget).
		FollowLog(ctx, &modfarmv1.FollowLogRequest{JobId: s.build.Jobs[0].ID})
	if err == nil {
		follow.Receive()
		err = follow.Err()
	}
	wantOutOfScope(t, "FollowLog", err)
	upload, err := appv1connect.NewAppServiceClient(http.DefaultClient, s.URL, s.asGadget, connect.WithGRPC()).UploadModuleFile(ctx)
	if err == nil {
		info := &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.0.0", Platform: "linux/amd64"}
		_ = upload.Send(&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{ModuleFileInfo: info}})
		_, err = upload.CloseAndReceive()
	}
	wantOutOfScope(t, "UploadModuleFile", err)

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/packages/acme/widget/1.0.0-linux-amd64.tar.gz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("key_id", s.keyID)
	req.Header.Set("key", s.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("download: %s", res.Status)
	}
}

func wantOutOfScope(t *testing.T, what string, err error) {
	t.Helper()
	if code := connect.CodeOf(err); err == nil || (code != connect.CodePermissionDenied && code != connect.CodeNotFound) {
		t.Errorf("%s of another module: %v", what, err)
	}
}

// TestKeyOfOneModuleWorks: the key is good for what it is for, by both spellings of the module.
func TestKeyOfOneModuleWorks(t *testing.T) {
	t.Parallel()
	s := newScoped(t)
	ctx := t.Context()
	app := appv1connect.NewAppServiceClient(http.DefaultClient, s.URL, s.asGadget)
	for _, id := range []string{"acme:gadget", s.Org.ID + ":gadget"} {
		if _, err := app.GetModule(ctx, &appv1.GetModuleRequest{ModuleId: id}); err != nil {
			t.Errorf("GetModule %s: %v", id, err)
		}
		update := &appv1.UpdateModuleRequest{ModuleId: id, Visibility: appv1.Visibility_VISIBILITY_PRIVATE, Description: "a gadget", Entrypoint: "run.sh"}
		if _, err := app.UpdateModule(ctx, update); err != nil {
			t.Errorf("UpdateModule %s: %v", id, err)
		}
	}
	modules, err := app.ListModules(ctx, &appv1.ListModulesRequest{})
	if err != nil || len(modules.GetModules()) != 1 || modules.GetModules()[0].GetName() != "gadget" {
		t.Errorf("ListModules: %v, %v", modules, err)
	}
	builds := buildv1connect.NewBuildServiceClient(http.DefaultClient, s.URL, s.asGadget)
	started, err := builds.StartBuild(ctx, &buildv1.StartBuildRequest{
		ModuleId: "acme:gadget", Repo: "https://git.example.com/acme/gadget", Platforms: []string{"linux/amd64"},
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := builds.ListJobs(ctx, &buildv1.ListJobsRequest{})
	if err != nil || len(jobs.GetJobs()) != 1 || jobs.GetJobs()[0].GetBuildId() != started.GetBuildId() {
		t.Errorf("ListJobs: %v, %v", jobs, err)
	}
	who, err := modfarmv1connect.NewAccountServiceClient(http.DefaultClient, s.URL, s.asGadget).WhoAmI(ctx, &modfarmv1.WhoAmIRequest{})
	if err != nil || who.GetKey().GetScopeModuleId() != "acme:gadget" || who.GetKey().GetRole() != "publisher" || who.GetFarmOwner() {
		t.Errorf("WhoAmI: %v, %v", who, err)
	}
	if _, err := s.Registry.Module(ctx, registry.ForOrg(s.Org.ID), module.ID{Namespace: "acme", Name: "widget"}); err != nil {
		t.Errorf("the other module: %v", err)
	}
}
