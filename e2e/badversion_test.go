package e2e_test

import (
	"bytes"
	"testing"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
)

// movedTag publishes a tag, moves it to another commit and asks again.
func movedTag(t *testing.T, y *yard) {
	t.Helper()
	const name = "tag-moved"
	repo := published(t, y, name)
	moved(t, repo, map[string]string{"more.txt": "more\n"}, "v1.0.0")
	build, log := y.build(t, y.request(t, name))
	y.judge(t, build, log, client.JobRefused, "1.0.0", "published from commit", "v1.0.0", "now means commit", "never changes", "new version")
}

// published takes a good module the whole road.
func published(t *testing.T, y *yard, name string) *gittest.Repo {
	t.Helper()
	var kept *gittest.Repo
	y.run(t, badCase{
		name: name, build: goodBuild, want: client.JobPublished,
		prepare: func(_ *testing.T, _ *yard, repo *gittest.Repo) { kept = repo },
	})
	return kept
}

// moved commits files and moves the tags there.
func moved(t *testing.T, repo *gittest.Repo, files map[string]string, tags ...string) {
	t.Helper()
	if _, err := repo.Commit(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags {
		for _, args := range [][]string{{"tag", "-f", tag}, {"push", "--quiet", "--force", "origin", "refs/tags/" + tag}} {
			if _, err := gittest.Git(t.Context(), repo.Dir, args...); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// versionAgain asks for a published version in every way there is.
func versionAgain(t *testing.T, y *yard) {
	t.Helper()
	const name = "version-again"
	repo := published(t, y, name)
	request := y.request(t, name)
	first, _ := y.build(t, request)
	request.Ref = "main"
	again, log := y.build(t, request)
	y.judge(t, again, log, client.JobPublished)
	if again.ID != first.ID {
		t.Errorf("the same commit under another name was built again: %s and %s", first.ID, again.ID)
	}
	bytesOf := download(t, y, first)
	if err := upload(t, y, request.Module, bytesOf); err != nil {
		t.Errorf("the same bytes again were refused: %v", err)
	}
	other := published(t, y, name+"-other")
	moved(t, other, map[string]string{"meta.json": metaOf(t, module.ID{Namespace: "acme", Name: name + "-other"},
		goodBuild+" && echo more > dist/more", nil)}, "v2.0.0")
	request = y.request(t, name+"-other")
	request.Ref, request.Version = "v2.0.0", version(t, "2.0.0")
	bigger, log := y.build(t, request)
	y.judge(t, bigger, log, client.JobPublished)
	err := upload(t, y, module.ID{Namespace: "acme", Name: name}, download(t, y, bigger))
	if connect.CodeOf(err) != connect.CodeAlreadyExists && connect.CodeOf(err) != connect.CodeFailedPrecondition && connect.CodeOf(err) != connect.CodeAborted {
		t.Fatalf("other bytes were not refused as a conflict: %v", err)
	}
	checkSentence(t, err.Error(), "1.0.0", "version")
	t.Log(err)

	moved(t, repo, map[string]string{"more.txt": "more\n"})
	request = y.request(t, name)
	request.Ref = "main"
	build, log := y.build(t, request)
	y.judge(t, build, log, client.JobRefused, "1.0.0", "published from commit", "never changes", "new version")
}

// download fetches what a build published for this machine's platform.
func download(t *testing.T, y *yard, build client.Build) []byte {
	t.Helper()
	return downloadFor(t, y, build, module.HostPlatform())
}

func downloadFor(t *testing.T, y *yard, build client.Build, platform module.Platform) []byte {
	t.Helper()
	p, err := y.client.Package(t.Context(), build.Module, build.Version, platform)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := y.client.Download(t.Context(), &buf, p, nil); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// upload sends an archive as version 1.0.0 as the stock command line does.
func upload(t *testing.T, y *yard, id module.ID, data []byte) error {
	t.Helper()
	app := appv1connect.NewAppServiceClient(y.stock(t), y.farm.URL(), connect.WithGRPCWeb())
	stream, err := app.UploadModuleFile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info := &appv1.ModuleFileInfo{ModuleId: id.String(), Version: "1.0.0", Platform: module.HostPlatform().String()}
	for _, message := range []*appv1.UploadModuleFileRequest{
		{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{ModuleFileInfo: info}},
		{ModuleFile: &appv1.UploadModuleFileRequest_File{File: data}},
	} {
		if err := stream.Send(message); err != nil {
			break // the answer says why
		}
	}
	_, err = stream.CloseAndReceive()
	return err
}
