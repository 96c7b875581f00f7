package proto_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"

	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
	webrtcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/webrtc/v1"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// TestNumbersOnTheWire pins the messages whose numbers are easy to get wrong: a client of the contract
// that reads another field sees no error, only nonsense.
func TestNumbersOnTheWire(t *testing.T) {
	t.Parallel()
	tests := []struct {
		message protoreflect.ProtoMessage
		name    protoreflect.FullName
		fields  map[string]int
	}{
		{&rpcv1.AuthenticateRequest{}, "proto.rpc.v1.AuthenticateRequest", map[string]int{"entity": 1, "credentials": 2}},
		{&appv1.CreateKeyResponse{}, "viam.app.v1.CreateKeyResponse", map[string]int{"key": 1, "id": 2}},
		{&appv1.ModuleFileInfo{}, "viam.app.v1.ModuleFileInfo", map[string]int{"module_id": 1, "version": 2, "platform": 3, "platform_tags": 5}},
		{&appv1.UploadModuleFileRequest{}, "viam.app.v1.UploadModuleFileRequest", map[string]int{"module_file_info": 1, "file": 2}},
		{&appv1.Model{}, "viam.app.v1.Model", map[string]int{"api": 1, "model": 2, "markdown_documentation": 3, "description": 4, "supported_hardware": 5}},
		{&packagesv1.PackageInfo{}, "viam.app.packages.v1.PackageInfo", map[string]int{"organization_id": 1, "name": 2, "version": 3, "type": 4, "files": 5, "metadata": 6, "platform": 7}},
		{&packagesv1.GetPackageRequest{}, "viam.app.packages.v1.GetPackageRequest", map[string]int{"id": 1, "version": 2, "include_url": 3, "type": 4, "platform": 5}},
		{&packagesv1.CreatePackageRequest{}, "viam.app.packages.v1.CreatePackageRequest", map[string]int{"info": 1, "contents": 2}},
		{&appv1.RegistryItem{}, "viam.app.v1.RegistryItem", map[string]int{
			"item_id": 1, "organization_id": 2, "public_namespace": 3, "name": 4, "type": 5, "visibility": 6, "url": 7, "description": 8,
			"total_robot_usage": 9, "total_organization_usage": 10, "module_metadata": 11, "ml_model_metadata": 12,
			"total_external_robot_usage": 13, "total_external_organization_usage": 14, "created_at": 15, "updated_at": 16,
			"deprecated_status": 17, "ml_training_metadata": 18, "billing": 19,
		}},
		{&buildv1.StartSourceUploadBuildRequest{}, "viam.app.build.v1.StartSourceUploadBuildRequest", map[string]int{"package": 1, "build_info": 2, "module_version": 3, "builder": 4, "no_cache": 40, "publish": 41, "fail_fast": 42}},
		{&buildv1.SourceUploadBuildInfo{}, "viam.app.build.v1.SourceUploadBuildInfo", map[string]int{"platforms": 1, "workdir": 2, "module_id": 3, "distro": 4}},
		{&buildv1.StartPackageBuildRequest{}, "viam.app.build.v1.StartPackageBuildRequest", map[string]int{"module_id": 1, "package_version": 2, "module_version": 3, "platforms": 4, "distro": 5}},
		{&buildv1.RepoLink{}, "viam.app.build.v1.RepoLink", map[string]int{"oauth_app_link_id": 1, "org_id": 2, "namespace": 3, "module_name": 4, "repo": 5, "viam_user": 6}},
		{&buildv1.JobInfo{}, "viam.app.build.v1.JobInfo", map[string]int{"build_id": 1, "platform": 2, "version": 3, "status": 4, "start_time": 5, "end_time": 6, "build_step": 7}},
	}
	for _, tt := range tests {
		t.Run(string(tt.name), func(t *testing.T) {
			t.Parallel()
			d := tt.message.ProtoReflect().Descriptor()
			if d.FullName() != tt.name {
				t.Errorf("name %s, want %s", d.FullName(), tt.name)
			}
			got := map[string]int{}
			for i := range d.Fields().Len() {
				got[string(d.Fields().Get(i).Name())] = int(d.Fields().Get(i).Number())
			}
			if diff := cmp.Diff(tt.fields, got); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMethodPaths pins the full names that stock clients call.
func TestMethodPaths(t *testing.T) {
	t.Parallel()
	files := []protoreflect.FileDescriptor{
		rpcv1.File_proto_rpc_v1_auth_proto, webrtcv1.File_proto_rpc_webrtc_v1_signaling_proto, appv1.File_viam_app_v1_app_proto,
		packagesv1.File_viam_app_packages_v1_packages_proto, buildv1.File_viam_app_build_v1_build_proto,
	}
	streams := map[string]string{}
	for _, f := range files {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				kind := "unary"
				if m.IsStreamingClient() {
					kind = "client"
				}
				if m.IsStreamingServer() {
					kind = "server"
				}
				streams["/"+string(s.FullName())+"/"+string(m.Name())] = kind
			}
		}
	}
	for path, kind := range map[string]string{
		"/proto.rpc.v1.AuthService/Authenticate":                 "unary",
		"/viam.app.v1.AppService/ListOrganizations":              "unary",
		"/viam.app.v1.AppService/CreateKey":                      "unary",
		"/viam.app.v1.AppService/CreateModule":                   "unary",
		"/viam.app.v1.AppService/UpdateModule":                   "unary",
		"/viam.app.v1.AppService/GetModule":                      "unary",
		"/viam.app.v1.AppService/UploadModuleFile":               "client",
		"/viam.app.packages.v1.PackageService/GetPackage":        "unary",
		"/viam.app.packages.v1.PackageService/CreatePackage":     "client",
		"/viam.app.build.v1.BuildService/StartBuild":             "unary",
		"/viam.app.build.v1.BuildService/StartReloadBuild":       "client",
		"/viam.app.build.v1.BuildService/StartSourceUploadBuild": "client",
		"/viam.app.build.v1.BuildService/ListJobs":               "unary",
		"/viam.app.build.v1.BuildService/GetLogs":                "server",
		"/viam.app.build.v1.BuildService/StartPackageBuild":      "unary",
		"/viam.app.build.v1.BuildService/LinkRepo":               "unary",
		"/viam.app.build.v1.BuildService/UnlinkRepo":             "unary",
		"/viam.app.build.v1.BuildService/ListRepoLinks":          "unary",
		"/viam.app.build.v1.BuildService/ListAppLinks":           "unary",
		"/viam.app.build.v1.BuildService/RemoveAppLink":          "unary",
		"/viam.app.build.v1.BuildService/LinkOrg":                "unary",
		"/viam.app.build.v1.BuildService/UnlinkOrg":              "unary",
		"/viam.app.packages.v1.PackageService/ListPackages":      "unary",
		"/viam.app.packages.v1.PackageService/DeletePackage":     "unary",
		"/viam.app.v1.AppService/GetOrganization":                "unary",
		"/viam.app.v1.AppService/ListKeys":                       "unary",
		"/viam.app.v1.AppService/DeleteKey":                      "unary",
		"/viam.app.v1.AppService/RotateKey":                      "unary",
		"/viam.app.v1.AppService/ListModules":                    "unary",
		"/viam.app.v1.AppService/GetRegistryItem":                "unary",
		"/viam.app.v1.AppService/ListRegistryItems":              "unary",
		"/viam.app.v1.AppService/UpdateRegistryItem":             "unary",
		"/proto.rpc.v1.ExternalAuthService/AuthenticateTo":       "unary",

		"/proto.rpc.webrtc.v1.SignalingService/OptionalWebRTCConfig": "unary",
	} {
		if streams[path] != kind {
			t.Errorf("%s is %q, want %q", path, streams[path], kind)
		}
	}
}
