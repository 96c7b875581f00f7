package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// stream sends messages until the server answers, and reads its answer. It returns how many were sent.
func (c *foreign) stream(method string, res proto.Message, messages ...proto.Message) (sent int, err error) {
	c.t.Helper()
	stream, err := c.conn.NewStream(c.context(), &grpc.StreamDesc{ClientStreams: true}, method)
	if err != nil {
		return 0, err
	}
	for _, msg := range messages {
		if err := stream.SendMsg(msg); errors.Is(err, io.EOF) {
			break // the answer is there
		} else if err != nil {
			return sent, err
		}
		sent++
	}
	if err := stream.CloseSend(); err != nil {
		return sent, err
	}
	return sent, stream.RecvMsg(res)
}

// sourceInfo and packageInfo are the first messages of a stock client.
func sourceInfo(version, workdir string, platforms ...string) *buildv1.StartSourceUploadBuildRequest {
	empty := ""
	return &buildv1.StartSourceUploadBuildRequest{
		ModuleVersion: version,
		CloudBuild: &buildv1.StartSourceUploadBuildRequest_BuildInfo{BuildInfo: &buildv1.SourceUploadBuildInfo{
			Platforms: platforms, Workdir: &workdir, ModuleId: "acme:widget", Distro: &empty,
		}},
	}
}

func packageInfo(orgID, version string, kind packagesv1.PackageType) *packagesv1.CreatePackageRequest {
	return &packagesv1.CreatePackageRequest{Package: &packagesv1.CreatePackageRequest_Info{Info: &packagesv1.PackageInfo{
		OrganizationId: orgID, Name: "widget", Version: version, Type: kind,
	}}}
}

func wrap(msg *packagesv1.CreatePackageRequest) *buildv1.StartSourceUploadBuildRequest {
	return &buildv1.StartSourceUploadBuildRequest{CloudBuild: &buildv1.StartSourceUploadBuildRequest_Package{Package: msg}}
}

// chunks are contents messages of 32 KiB.
func chunks(file []byte) (messages []*packagesv1.CreatePackageRequest) {
	for len(file) > 0 {
		n := min(len(file), 32<<10)
		messages = append(messages, &packagesv1.CreatePackageRequest{Package: &packagesv1.CreatePackageRequest_Contents{Contents: file[:n]}})
		file = file[n:]
	}
	return messages
}

// fromSource starts a build of source as a stock client does.
func (c *foreign) fromSource(f *apitest.Farm, version, workdir string, source []byte, platforms ...string) (string, error) {
	c.t.Helper()
	messages := []proto.Message{sourceInfo(version, workdir, platforms...), wrap(packageInfo(f.Org.ID, version, packagesv1.PackageType_PACKAGE_TYPE_MODULE))}
	for _, msg := range chunks(source) {
		messages = append(messages, wrap(msg))
	}
	var res buildv1.StartSourceUploadBuildResponse
	_, err := c.stream(buildService+"StartSourceUploadBuild", &res, messages...)
	return res.GetBuildId(), err
}

// sourceOf is source with the module in a folder; word makes it different.
func sourceOf(t *testing.T, folder, word string) []byte {
	t.Helper()
	return apitest.Archive(t,
		apitest.Member{Name: folder + "meta.json", Mode: 0o644, Data: []byte(metaJSON)},
		apitest.Member{Name: folder + "src/main.c", Mode: 0o644, Data: []byte(word)},
	)
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestSourceBuild is the road from a folder to a release: jobs exist when the stream ends, the worker gets
// exactly what was sent, and a version stays with the source it was built from.
func TestSourceBuild(t *testing.T) {
	t.Parallel()
	f, c, worker := buildFarm(t)
	source := sourceOf(t, "sensors/widget/", strings.Repeat("int main;", 20_000))
	id, err := c.fromSource(f, "1.0.0", "sensors/widget", source, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{id + " linux/amd64 1.0.0 IN_PROGRESS"}, jobs(t, c, &buildv1.ListJobsRequest{BuildId: &id})); diff != "" {
		t.Errorf("jobs at the start (-want +got):\n%s", diff)
	}
	if again, err := c.fromSource(f, "1.0.0", "sensors/widget", source, "linux/amd64"); err != nil || again != id {
		t.Errorf("the same source again is build %q, %v", again, err)
	}
	a := claim(t, worker)
	if a.Build.Commit != digestOf(source) || !a.Build.Uploaded() || a.Build.Ref != "" || a.Build.Workdir != "sensors/widget" {
		t.Errorf("the build is %+v", a.Build)
	}
	var got bytes.Buffer
	if err := worker.GetSource(t.Context(), a.Lease.LeaseRef, a.Build.Commit, &got); err != nil || !bytes.Equal(got.Bytes(), source) {
		t.Fatalf("the worker got %d bytes of %d, %v", got.Len(), len(source), err)
	}
	lost := client.LeaseRef{JobID: a.Job.ID, Token: "of somebody else"}
	if err := worker.GetSource(t.Context(), lost, a.Build.Commit, io.Discard); !errors.Is(err, client.ErrLeaseLost) {
		t.Errorf("without the lease: %v", err)
	}
	res := get(t, http.MethodGet, f.URL+wire.SourcePath(a.Job.ID), f.KeyID, f.Key, wire.HeaderLease, a.Lease.Token)
	if res.code != http.StatusUnauthorized {
		t.Errorf("an owner gets the source of a job: %d", res.code)
	}
	work(t, worker, a)
	rel, err := f.Registry.Find(t.Context(), a.Build.Module, a.Build.Version, a.Job.Platform)
	if err != nil || rel.Commit != digestOf(source) || rel.BuildID != id {
		t.Errorf("published %+v, %v", rel, err)
	}

	other, err := c.fromSource(f, "1.0.0", "sensors/widget", sourceOf(t, "sensors/widget/", "other"), "linux/amd64")
	if status.Code(err) != codes.AlreadyExists || !strings.Contains(err.Error(), "is published from uploaded source "+digestOf(source)[:12]) ||
		!strings.Contains(err.Error(), "give this a new version") {
		t.Errorf("other source is build %q, %v", other, err)
	}
	fromGit, err := start(c, "1.0.0", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, f, fromGit, "v0.1.0 now means commit "+commit[:12], "give this a new version")
}

// TestSourceOfABuild holds that who may read a build gets its source, and nobody else: not by a key of another module, of
// another organization, of a machine or of a worker. When it is collected, neither this nor a retry goes.
func TestSourceOfABuild(t *testing.T) {
	t.Parallel()
	f, c, worker := buildFarm(t)
	source := sourceOf(t, "", strings.Repeat("int main;", 20_000))
	id, err := c.fromSource(f, "", ".", source, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := client.New(client.Config{URL: f.URL, KeyID: f.KeyID, Key: f.Key})
	if err != nil {
		t.Fatal(err)
	}
	build, err := owner.Build(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := owner.BuildSource(t.Context(), build, &got); err != nil || !bytes.Equal(got.Bytes(), source) {
		t.Errorf("got %d bytes of %d, %v", got.Len(), len(source), err)
	}
	_, foreignID, foreignKey := f.AddOrg(t, "Other", "other", account.RoleOwner)
	readerID, readerKey := f.AddKey(t, f.Org.ID, account.RoleReader)
	machineID, machineKey := f.AddKey(t, f.Org.ID, account.RoleMachine)
	fromGit, err := start(c, "", "linux/arm64")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		build, keyID, key string
		want              int
		says              string
	}{
		"reader":              {id, readerID, readerKey, http.StatusOK, ""},
		"machine":             {id, machineID, machineKey, http.StatusForbidden, "reader"},
		"another's":           {id, foreignID, foreignKey, http.StatusNotFound, "no build has the id"},
		"nobody":              {id, "", "", http.StatusUnauthorized, ""},
		"worker token":        {id, "", apitest.WorkerToken, http.StatusUnauthorized, ""},
		"build of a tag":      {fromGit, f.KeyID, f.Key, http.StatusUnprocessableEntity, "not of uploaded source, but of " + repo},
		"no such build":       {"none", f.KeyID, f.Key, http.StatusNotFound, "no build has the id"},
		"a path of something": {"..%2f..%2fhealthz", f.KeyID, f.Key, http.StatusNotFound, "no build has the id"},
	} {
		res := get(t, http.MethodGet, f.URL+wire.PathBuilds+tt.build+"/source", tt.keyID, tt.key)
		if res.code != tt.want || !strings.Contains(res.body, tt.says) {
			t.Errorf("%s: %d %.200s; want %d with %q", name, res.code, res.body, tt.want, tt.says)
		}
	}

	a := claim(t, worker)
	if _, err := worker.Finish(t.Context(), a.Lease.LeaseRef, client.Outcome{Kind: client.OutcomeFailed, Reason: "make: error", Strategy: module.StrategyNative}); err != nil {
		t.Fatal(err)
	}
	ahead := func() time.Time { return time.Now().Add(7 * 24 * time.Hour) }
	later := &registry.Registry{Store: f.Registry.Store, Blobs: f.Registry.Blobs, Now: ahead}
	if done, err := later.Collect(t.Context()); err != nil || done.Blobs != 1 {
		t.Fatalf("collected %+v, %v", done, err)
	}
	if err := owner.BuildSource(t.Context(), build, io.Discard); !errors.Is(err, module.ErrNotFound) || !strings.Contains(err.Error(), "upload it again") {
		t.Errorf("the source when it is collected: %v", err)
	}
	if _, err := owner.RetryBuild(t.Context(), id, module.Platform{}, ""); !errors.Is(err, module.ErrNotFound) || !strings.Contains(err.Error(), "upload it again") {
		t.Errorf("a retry without the source: %v", err)
	}
}

// wantRefused waits until a build ended as refused, for a reason that holds the parts.
func wantRefused(t *testing.T, f *apitest.Farm, id string, parts ...string) {
	t.Helper()
	var reason string
	apitest.Eventually(t, "build "+id+" is refused", func() bool {
		b, err := f.Farm.Build(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		reason = b.Jobs[0].Reason
		return b.Jobs[0].State == "refused"
	})
	for _, part := range parts {
		if !strings.Contains(reason, part) {
			t.Errorf("the reason is %q, without %q", reason, part)
		}
	}
}

// TestSourceSettings holds that meta.json and modfarm.yaml come from the source, in its workdir.
func TestSourceSettings(t *testing.T) {
	t.Parallel()
	f, c, _ := buildFarm(t)
	source := apitest.Archive(t,
		apitest.Member{Name: "meta.json", Mode: 0o644, Data: []byte(`{"module_id":"acme:elsewhere"}`)},
		apitest.Member{Name: "./deep/meta.json", Mode: 0o644, Data: []byte(metaJSON)},
		apitest.Member{Name: "./deep/modfarm.yaml", Mode: 0o644, Data: []byte("publish: all\n")},
	)
	id, err := c.fromSource(f, "", "deep/", source, "linux/amd64", "linux/arm64")
	if err != nil {
		t.Fatal(err)
	}
	apitest.Eventually(t, "the build is resolved", func() bool {
		b, err := f.Farm.Build(t.Context(), id)
		return err == nil && b.Manifest != nil && b.Publish == module.PublishAll
	})
	again, err := c.fromSource(f, "", "deep", source, "linux/amd64", "linux/arm64")
	if err != nil || again == id {
		t.Errorf("without a version, the same source again is build %q, %v", again, err)
	}
	empty, err := c.fromSource(f, "", ".", apitest.Archive(t, apitest.Member{Name: "README.md", Mode: 0o644, Data: []byte("#")}), "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, f, empty, "uploaded source ", "there is no meta.json")
}

// TestSourceStreams are streams that no client of ours sends. Nothing of them is kept.
func TestSourceStreams(t *testing.T) {
	t.Parallel()
	f, c, _ := buildFarm(t)
	other, otherID, otherKey := f.AddOrg(t, "Other", "other", account.RoleOwner)
	stranger := loggedIn(t, f, otherID, otherKey)
	readerID, readerKey := f.AddKey(t, f.Org.ID, account.RoleReader)
	reader := loggedIn(t, f, readerID, readerKey)
	source := bigArchive(t, 4<<20)
	info := sourceInfo("1.0.0", ".", "linux/amd64")
	pkg := wrap(packageInfo(f.Org.ID, "1.0.0", packagesv1.PackageType_PACKAGE_TYPE_MODULE))
	first := wrap(chunks(source)[0])
	for name, tt := range map[string]struct {
		by       *foreign
		messages []proto.Message
		want     codes.Code
		says     string
	}{
		"nothing":              {c, nil, codes.InvalidArgument, "build_info"},
		"contents first":       {c, []proto.Message{first, info, pkg}, codes.InvalidArgument, "build_info"},
		"package first":        {c, []proto.Message{pkg, info, first}, codes.InvalidArgument, "build_info"},
		"contents second":      {c, []proto.Message{info, first}, codes.InvalidArgument, "package.info"},
		"no package":           {c, []proto.Message{info}, codes.InvalidArgument, "package.info"},
		"info again":           {c, []proto.Message{info, pkg, first, info}, codes.InvalidArgument, "contents"},
		"no contents":          {c, []proto.Message{info, pkg}, codes.InvalidArgument, "is empty"},
		"no archive":           {c, []proto.Message{info, pkg, wrap(chunks([]byte("PK\x03\x04 a zip"))[0])}, codes.InvalidArgument, "zip"},
		"half":                 {c, []proto.Message{info, pkg, first}, codes.InvalidArgument, "ends too early"},
		"no platform":          {c, []proto.Message{sourceInfo("1.0.0", "."), pkg, first}, codes.InvalidArgument, "platforms"},
		"impossible platform":  {c, []proto.Message{sourceInfo("1.0.0", ".", "darwin/arm64"), pkg, first}, codes.InvalidArgument, "platforms[0]"},
		"no version":           {c, []proto.Message{sourceInfo("one", ".", "linux/amd64"), pkg, first}, codes.InvalidArgument, "module_version"},
		"workdir outside":      {c, []proto.Message{sourceInfo("1.0.0", "../up", "linux/amd64"), pkg, first}, codes.InvalidArgument, "workdir"},
		"other organization":   {c, []proto.Message{info, wrap(packageInfo(other.ID, "1.0.0", packagesv1.PackageType_PACKAGE_TYPE_MODULE)), first}, codes.NotFound, "organization"},
		"reader":               {reader, []proto.Message{info, pkg, first}, codes.PermissionDenied, "publisher"},
		"another's module":     {stranger, []proto.Message{info, pkg, first}, codes.NotFound, "acme:widget"},
		"leads out of folders": {c, []proto.Message{info, pkg, wrap(chunks(apitest.Archive(t, apitest.Member{Name: "../../etc/passwd", Data: []byte("x")}))[0])}, codes.InvalidArgument, "passwd"},
	} {
		var res buildv1.StartSourceUploadBuildResponse
		_, err := tt.by.stream(buildService+"StartSourceUploadBuild", &res, tt.messages...)
		wantCode(t, err, tt.want)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, without %q", name, err, tt.says)
		}
	}
	if builds, err := f.Farm.Builds(t.Context(), farm.BuildFilter{OrgID: f.Org.ID}); err != nil || len(builds) != 0 {
		t.Errorf("%d builds, %v", len(builds), err)
	}
	f.NoBytes(t)
}

// TestPackageBuild builds source that was uploaded under a name before, which is no release.
func TestPackageBuild(t *testing.T) {
	t.Parallel()
	f, c, worker := buildFarm(t)
	source := sourceOf(t, "", "int main;")
	create := func(kind packagesv1.PackageType, version string, file []byte) (*packagesv1.CreatePackageResponse, error) {
		messages := []proto.Message{packageInfo(f.Org.ID, version, kind)}
		for _, msg := range chunks(file) {
			messages = append(messages, msg)
		}
		var res packagesv1.CreatePackageResponse
		_, err := c.stream(packageService+"CreatePackage", &res, messages...)
		return &res, err
	}
	const archive = packagesv1.PackageType_PACKAGE_TYPE_ARCHIVE
	made, err := create(archive, "source-1", source)
	if err != nil || made.GetId() != "acme/widget" || made.GetVersion() != "source-1" {
		t.Fatalf("created %v, %v", made, err)
	}
	if _, err := create(archive, "source-1", source); err != nil {
		t.Errorf("the same bytes again: %v", err)
	}
	_, err = create(archive, "source-1", sourceOf(t, "", "other"))
	wantCode(t, err, codes.AlreadyExists)
	_, err = create(packagesv1.PackageType_PACKAGE_TYPE_MODULE, "1.0.0", source)
	wantCode(t, err, codes.InvalidArgument)
	_, err = create(archive, "not a version", source)
	wantCode(t, err, codes.InvalidArgument)

	kind := packagesv1.PackageType_PACKAGE_TYPE_MODULE
	wantCode(t, c.call(packageService+"GetPackage", &packagesv1.GetPackageRequest{Id: "acme/widget", Version: "source-1", Type: &kind}, &packagesv1.GetPackageResponse{}), codes.NotFound)
	wantCode(t, c.call(buildService+"StartPackageBuild", &buildv1.StartPackageBuildRequest{
		ModuleId: "acme:widget", PackageVersion: "source-2", ModuleVersion: "1.0.0", Platforms: []string{"linux/amd64"},
	}, &buildv1.StartPackageBuildResponse{}), codes.NotFound)
	var started buildv1.StartPackageBuildResponse
	c.must(buildService+"StartPackageBuild", &buildv1.StartPackageBuildRequest{
		ModuleId: f.Org.ID + ":widget", PackageVersion: "source-1", ModuleVersion: "1.0.0", Platforms: []string{"linux/amd64"},
	}, &started)
	a := claim(t, worker)
	var got bytes.Buffer
	if err := worker.GetSource(t.Context(), a.Lease.LeaseRef, digestOf(source), &got); err != nil || !bytes.Equal(got.Bytes(), source) {
		t.Errorf("the worker got %d bytes of %d, %v", got.Len(), len(source), err)
	}
	work(t, worker, a)
	id := started.GetBuildId()
	if diff := cmp.Diff([]string{id + " linux/amd64 1.0.0 DONE"}, jobs(t, c, &buildv1.ListJobsRequest{BuildId: &id})); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}
