package api_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// TestLargeMessages holds that messages of almost 32 MiB pass in both directions, and larger ones do not.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	send := func(size int) error {
		stream, err := c.conn.NewStream(c.context(), &grpc.StreamDesc{ClientStreams: true}, appService+"UploadModuleFile", grpc.MaxCallSendMsgSize(2*wire.MaxMessage))
		if err != nil {
			return err
		}
		info := &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.0.0", Platform: "any"}
		file := append(bigArchive(t, 1000), make([]byte, size)...) // what follows a gzip stream is refused
		for _, msg := range []*appv1.UploadModuleFileRequest{
			{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{ModuleFileInfo: info}},
			{ModuleFile: &appv1.UploadModuleFileRequest_File{File: file[:size]}},
		} {
			if err := stream.SendMsg(msg); err != nil {
				break // the answer says why
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		return stream.RecvMsg(&appv1.UploadModuleFileResponse{})
	}
	err := send(wire.MaxMessage - 1024)
	wantCode(t, err, codes.InvalidArgument)
	if err == nil || strings.Contains(err.Error(), "larger than") {
		t.Errorf("a message below the limit: %v", err)
	}
	if err := send(wire.MaxMessage + 1024); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a message above the limit: %v", err)
	}

	text := strings.Repeat("all about it\n", 38_000) // 494 kB
	for i := range 64 {
		m, err := f.Registry.CreateModule(t.Context(), f.Org.ID, fmt.Sprintf("talker-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Registry.UpdateModule(t.Context(), f.Org.ID, m.ID(), registry.Update{Visibility: module.VisibilityPrivate, Markdown: &text})
		if err != nil {
			t.Fatal(err)
		}
	}
	docs := true
	var list appv1.ListModulesResponse
	c.must(appService+"ListModules", &appv1.ListModulesRequest{IncludeMarkdownDocumentation: &docs}, &list)
	if n := len(list.GetModules()); n != 65 {
		t.Errorf("%d modules", n)
	}
}

// TestEmptyMeansUnset holds that optional fields which are present but empty, as stock clients send them,
// count as left out.
func TestEmptyMeansUnset(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	const repo, commit = "https://git.example.com/acme/widget", "0123456789012345678901234567890123456789"
	f.Source.Push(repo, "main", commit, `{"module_id":"acme:widget","visibility":"private","entrypoint":"run.sh","build":{"build":"make"}}`)
	empty, zero := "", int32(0)
	var started buildv1.StartBuildResponse
	c.must(buildService+"StartBuild", &buildv1.StartBuildRequest{
		Repo: repo, Ref: &empty, Platforms: []string{"linux/amd64"}, ModuleId: "acme:widget",
		Token: &empty, Workdir: &empty, Distro: &empty, Builder: &empty,
	}, &started)
	apitest.Eventually(t, "the build is resolved", func() bool {
		b, err := f.Farm.Build(t.Context(), started.GetBuildId())
		return err == nil && b.Commit == commit && b.Workdir == "." && b.Distro == module.DefaultDistro
	})
	var jobs buildv1.ListJobsResponse
	c.must(buildService+"ListJobs", &buildv1.ListJobsRequest{ModuleId: "acme:widget", MaxJobsLength: &zero, BuildId: &empty}, &jobs)
	if len(jobs.GetJobs()) != 1 {
		t.Errorf("%d jobs", len(jobs.GetJobs()))
	}
	if tokens := f.Source.Tokens(); len(tokens) == 0 || tokens[0] != "" {
		t.Errorf("checkout tokens %q", tokens)
	}
}

// TestProbesAreQuiet holds that bare connections leave nothing in the log that an operator would look at.
func TestProbesAreQuiet(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	for range 20 {
		probe, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = probe.Close()
	}
	loggedIn(t, f, f.KeyID, f.Key) // served after them
	if text := f.Log.String(); strings.Contains(text, `"ERROR"`) || strings.Contains(text, `"WARN"`) {
		t.Errorf("logged:\n%s", text)
	}
}
