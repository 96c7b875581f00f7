package api_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// TestRefusedUploadsLeaveNothing sends what nobody should publish, and looks for traces.
func TestRefusedUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	_, keyID, key := f.AddOrg(t, "Other", "other", account.RoleOwner)
	o := loggedIn(t, f, keyID, key)
	file := bigArchive(t, 1000)
	tests := []struct {
		name string
		c    *foreign
		info *appv1.ModuleFileInfo
		file []byte
		code codes.Code
		says []string // field, value, next step
	}{
		{"version of two numbers", c, &appv1.ModuleFileInfo{Version: "1.2"}, file, codes.InvalidArgument, []string{"version", `"1.2"`, "write 1.2.0"}},
		{"version with a v", c, &appv1.ModuleFileInfo{Version: "v1.2.0"}, file, codes.InvalidArgument, []string{"version", `"v1.2.0"`, "write 1.2.0"}},
		{"version with a leading zero", c, &appv1.ModuleFileInfo{Version: "1.02.0"}, file, codes.InvalidArgument, []string{"version", `"1.02.0"`, "write 1.2.0"}},
		{"version of words", c, &appv1.ModuleFileInfo{Version: "latest"}, file, codes.InvalidArgument, []string{"version", `"latest"`, "MAJOR.MINOR.PATCH"}},
		{"version of look-alikes", c, &appv1.ModuleFileInfo{Version: "1.٢.0"}, file, codes.InvalidArgument, []string{"version", "MAJOR.MINOR.PATCH"}},
		{"no version", c, &appv1.ModuleFileInfo{Version: ""}, file, codes.InvalidArgument, []string{"version"}},
		{"platform that does not exist", c, &appv1.ModuleFileInfo{Platform: "linux/risc"}, file, codes.InvalidArgument, []string{"platform", `"linux/risc"`, "use one of linux/amd64"}},
		{"platform of another tool", c, &appv1.ModuleFileInfo{Platform: "linux/x86_64"}, file, codes.InvalidArgument, []string{"platform", `"linux/x86_64"`, "write linux/amd64"}},
		{"tag without a colon", c, &appv1.ModuleFileInfo{PlatformTags: []string{"distro:debian", "cuda"}}, file, codes.InvalidArgument, []string{"platform_tags[1]", `"cuda"`, "write key:value"}},
		{"tag without a key", c, &appv1.ModuleFileInfo{PlatformTags: []string{":debian"}}, file, codes.InvalidArgument, []string{"platform_tags[0]", `":debian"`, "write key:value"}},
		{"tag with a space", c, &appv1.ModuleFileInfo{PlatformTags: []string{"distro:debian 12"}}, file, codes.InvalidArgument, []string{"platform_tags[0]", "without spaces"}},
		{"tag of look-alikes", c, &appv1.ModuleFileInfo{PlatformTags: []string{"distrо:debian"}}, file, codes.InvalidArgument, []string{"platform_tags[0]", "ASCII"}},
		{"tag of 201 bytes", c, &appv1.ModuleFileInfo{PlatformTags: []string{"a:" + strings.Repeat("b", 199)}}, file, codes.InvalidArgument, []string{"platform_tags[0]", "at most 200"}},
		{"id without a colon", c, &appv1.ModuleFileInfo{ModuleId: "widget"}, file, codes.InvalidArgument, []string{"module_id", `"widget"`, "acme:widget"}},
		{"id of look-alikes", c, &appv1.ModuleFileInfo{ModuleId: "аcme:widget"}, file, codes.InvalidArgument, []string{"module_id", "letters, digits"}},
		{"name of 201 characters", c, &appv1.ModuleFileInfo{ModuleId: "acme:" + strings.Repeat("a", 201)}, file, codes.InvalidArgument, []string{"module_id", "201 characters", "at most 200"}},
		{"name of 200 characters", c, &appv1.ModuleFileInfo{ModuleId: "acme:" + strings.Repeat("a", 200)}, file, codes.NotFound, []string{"modfarm module create acme:aaa"}},
		{"another organization's module", o, &appv1.ModuleFileInfo{}, file, codes.NotFound, []string{`module "acme:widget"`, "check the id"}},
		{"a module that nobody has", o, &appv1.ModuleFileInfo{ModuleId: "acme:gadget"}, file, codes.NotFound, []string{`module "acme:gadget"`, "check the id"}},
		{"no archive", c, &appv1.ModuleFileInfo{}, []byte("#!/bin/sh\n"), codes.InvalidArgument, []string{"gzip"}},
		{"half an archive", c, &appv1.ModuleFileInfo{}, file[:len(file)/2], codes.InvalidArgument, nil},
		{"another platform's program", c, &appv1.ModuleFileInfo{}, apitest.Archive(t, apitest.Member{Name: "run.sh", Mode: 0o755, Data: apitest.ELF(apitest.ARM64)}), codes.InvalidArgument, []string{"run.sh"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.info.GetModuleId() == "" {
				tt.info.ModuleId = "acme:widget"
			}
			if tt.info.GetVersion() == "" && tt.name != "no version" {
				tt.info.Version = "1.0.0"
			}
			if tt.info.GetPlatform() == "" {
				tt.info.Platform = "linux/amd64"
			}
			_, _, err := tt.c.upload(tt.info, tt.file)
			wantCode(t, err, tt.code)
			for _, text := range tt.says {
				if !strings.Contains(fmt.Sprint(err), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
		})
	}
	var mod appv1.GetModuleResponse
	c.must(appService+"GetModule", &appv1.GetModuleRequest{ModuleId: "acme:widget"}, &mod)
	var packages packagesv1.ListPackagesResponse
	c.must(packageService+"ListPackages", &packagesv1.ListPackagesRequest{OrganizationId: f.Org.ID}, &packages)
	if len(mod.GetModule().GetVersions()) != 0 || len(packages.GetPackages()) != 0 {
		t.Errorf("left behind: %v, %v", mod.GetModule().GetVersions(), packages.GetPackages())
	}
	// The number is not used up by what was refused.
	if _, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.0.0", Platform: "linux/amd64"}, file); err != nil {
		t.Error(err)
	}
}

// TestModuleNames holds names to their limits when modules are made.
func TestModuleNames(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	for name, tt := range map[string]struct {
		module string
		code   codes.Code
		says   string
	}{
		"200 characters":  {strings.Repeat("a", 200), codes.OK, ""},
		"201 characters":  {strings.Repeat("b", 201), codes.InvalidArgument, "choose a shorter name"},
		"none":            {"", codes.InvalidArgument, "give the module a name"},
		"a look-alike":    {"wіdget", codes.InvalidArgument, "letters, digits"},
		"full width":      {"ｗidget", codes.InvalidArgument, "letters, digits"},
		"a leading dash":  {"-widget", codes.InvalidArgument, "begin with a letter or digit"},
		"with a colon":    {"acme:widget", codes.InvalidArgument, "letters, digits"},
		"with a line end": {"widget\n", codes.InvalidArgument, "letters, digits"},
	} {
		err := c.call(appService+"CreateModule", &appv1.CreateModuleRequest{OrganizationId: f.Org.ID, Name: tt.module}, &appv1.CreateModuleResponse{})
		wantCode(t, err, tt.code)
		if !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %v does not say %q", name, err, tt.says)
		}
	}
}

func TestPackages(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	file := bigArchive(t, 1000)
	for _, info := range []*appv1.ModuleFileInfo{
		{Version: "1.0.0", Platform: "linux/amd64"},
		{Version: "1.0.0", Platform: "linux/arm64"},
		{Version: "2.0.0", Platform: "linux/amd64"},
		{Version: "1.0.0", Platform: "linux/amd64", PlatformTags: []string{"cuda:true"}},
	} {
		info.ModuleId = "acme:widget"
		if _, _, err := c.upload(info, file); err != nil {
			t.Fatal(err)
		}
	}
	list := func(req *packagesv1.ListPackagesRequest) string {
		t.Helper()
		var res packagesv1.ListPackagesResponse
		c.must(packageService+"ListPackages", req, &res)
		var found []string
		for _, p := range res.GetPackages() {
			found = append(found, p.GetInfo().GetVersion())
		}
		return strings.Join(found, " ")
	}
	tagged := strings.Fields(list(&packagesv1.ListPackagesRequest{}))[1]
	if !strings.HasPrefix(tagged, "1.0.0-linux-amd64-t") {
		t.Fatalf("the second package is %s", tagged)
	}
	name, other, v1, kind := "widget", "gadget", "1.0.0", packagesv1.PackageType_PACKAGE_TYPE_ARCHIVE
	for req, want := range map[*packagesv1.ListPackagesRequest]string{
		{OrganizationId: f.Org.ID}:  "1.0.0-linux-amd64 " + tagged + " 1.0.0-linux-arm64 2.0.0-linux-amd64",
		{Name: &name, Version: &v1}: "1.0.0-linux-amd64 " + tagged + " 1.0.0-linux-arm64",
		{Name: &other}:              "",
		{Type: &kind}:               "",
	} {
		if got := list(req); got != want {
			t.Errorf("%v: %q, want %q", req, got, want)
		}
	}
	remove := func(version string) error {
		return c.call(packageService+"DeletePackage", &packagesv1.DeletePackageRequest{
			Id: "acme/widget", Version: version, Type: packagesv1.PackageType_PACKAGE_TYPE_MODULE,
		}, &packagesv1.DeletePackageResponse{})
	}
	for _, version := range []string{"1.0.0-linux-amd64", "2.0.0"} {
		if err := remove(version); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, remove("1.0.0-linux-amd64"), codes.NotFound)
	wantCode(t, remove("latest"), codes.InvalidArgument)
	if got, want := list(&packagesv1.ListPackagesRequest{}), tagged+" 1.0.0-linux-arm64"; got != want {
		t.Errorf("left: %q, want %q", got, want)
	}
	_, keyID, key := f.AddOrg(t, "Other", "other", account.RoleOwner)
	o := loggedIn(t, f, keyID, key)
	wantCode(t, o.call(packageService+"ListPackages", &packagesv1.ListPackagesRequest{OrganizationId: f.Org.ID}, &packagesv1.ListPackagesResponse{}), codes.NotFound)
	wantCode(t, o.call(packageService+"DeletePackage", &packagesv1.DeletePackageRequest{Id: "acme/widget", Version: "1.0.0"}, &packagesv1.DeletePackageResponse{}), codes.NotFound)
}
