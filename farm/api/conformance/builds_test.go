package conformance_test

import (
	"bytes"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
)

const (
	repo     = "https://git.example.com/acme/widget"
	commit   = "0123456789abcdef0123456789abcdef01234567"
	metaJSON = `{"module_id":"acme:widget","visibility":"private","entrypoint":"run.sh","build":{"build":"make"}}`
)

func buildFlows() []flow {
	return []flow{
		{"module build start", "Authenticate StartBuild", func(s *session) { start(s) }},
		{"module build list", "Authenticate StartBuild ListJobs ListJobs ListJobs", list},
		{"module build logs --wait --group-logs", "Authenticate StartBuild ListJobs ListJobs ListJobs GetLogs GetLogs", func(s *session) {
			id := start(s)
			wait(s, id, "linux/amd64", "linux/arm64")
			for _, j := range jobs(s, id) {
				logs(s, id, j.GetPlatform())
			}
		}},
		{"module build logs --wait --platform P", "Authenticate StartBuild ListJobs ListJobs ListJobs GetLogs", func(s *session) {
			id := start(s)
			jobs(s, id)
			wait(s, id, "linux/amd64", "linux/arm64")
			logs(s, id, "linux/arm64")
		}},
		{"module build logs --platform P", "Authenticate StartBuild GetLogs", func(s *session) {
			logs(s, start(s), "linux/amd64") // ends, though the job has not
		}},
		{"module build link-repo", "Authenticate LinkRepo", link},
		{"module build start --from-source --wait", "Authenticate ListOrganizations StartSourceUploadBuild ListJobs ListJobs", fromSource},
		{"packages upload --type archive, and build it", "Authenticate CreatePackage StartPackageBuild ListJobs ListJobs", fromPackage},
	}
}

// start asks as a stock client does: what is not given is present and empty.
func start(s *session) string {
	s.farm.Source.Push(repo, "main", commit, metaJSON)
	ref, empty, dot := "main", "", "."
	var res buildv1.StartBuildResponse
	s.call("StartBuild", &buildv1.StartBuildRequest{
		Repo: repo, Ref: &ref, Platforms: []string{"linux/amd64", "linux/arm64"}, ModuleId: "acme:widget", ModuleVersion: "2.0.0",
		Token: &empty, Workdir: &dot, Distro: &empty,
	}, &res)
	if id := res.GetBuildId(); strings.Trim(id, "0123456789abcdef-") != "" || id == "" {
		s.t.Errorf("build id %q", id)
	}
	return res.GetBuildId()
}

func jobs(s *session, id string) []*buildv1.JobInfo {
	var res buildv1.ListJobsResponse
	s.call("ListJobs", &buildv1.ListJobsRequest{BuildId: &id}, &res)
	if len(res.GetJobs()) == 0 {
		s.t.Fatal("no jobs: a stock client ends with an error")
	}
	for _, j := range res.GetJobs() {
		if j.GetStartTime() == nil || j.GetStatus() == buildv1.JobStatus_JOB_STATUS_UNSPECIFIED || j.GetBuildId() != id || j.GetPlatform() == "" {
			s.t.Errorf("job %v", j)
		}
	}
	return res.GetJobs()
}

// wait polls once while the build is under way, has a worker end it, and polls until that shows.
func wait(s *session, id string, platforms ...string) {
	if got := jobs(s, id); len(got) != len(platforms) || got[0].GetStatus() != buildv1.JobStatus_JOB_STATUS_IN_PROGRESS {
		s.t.Errorf("at the start: %v", got)
	}
	for range platforms {
		work(s)
	}
	for i, j := range jobs(s, id) {
		if j.GetStatus() != buildv1.JobStatus_JOB_STATUS_DONE || j.GetPlatform() != platforms[i] || j.GetEndTime() == nil {
			s.t.Errorf("at the end: %v", j)
		}
	}
}

// work builds the next job.
func work(s *session) {
	worker, err := client.New(client.Config{URL: s.farm.URL, WorkerToken: apitest.WorkerToken})
	if err != nil {
		s.t.Fatal(err)
	}
	var a *client.Assignment
	apitest.Eventually(s.t, "a job to claim", func() bool {
		a, err = worker.Claim(s.t.Context(), client.Worker{Name: "w1", Native: []module.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}}})
		if err != nil {
			s.t.Fatal(err)
		}
		return a != nil
	})
	lease := a.Lease.LeaseRef
	if a.Build.Uploaded() {
		var source bytes.Buffer
		if err := worker.GetSource(s.t.Context(), lease, a.Build.Commit, &source); err != nil || !bytes.Equal(source.Bytes(), sourceArchive(s)) {
			s.t.Errorf("the worker got %d bytes of source, %v", source.Len(), err)
		}
	}
	if _, err := worker.AppendLog(s.t.Context(), lease, client.LogChunk{Step: "Build", Data: []byte("compiling\r\n")}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := worker.PutArchive(s.t.Context(), lease, module.StrategyNative, bytes.NewReader(archive(s.t, 300)), nil); err != nil {
		s.t.Fatal(err)
	}
	if _, err := worker.Finish(s.t.Context(), lease, client.Outcome{Kind: client.OutcomeDone, Strategy: module.StrategyNative}); err != nil {
		s.t.Fatal(err)
	}
}

func list(s *session) {
	id := start(s)
	one := int32(1)
	for _, req := range []*buildv1.ListJobsRequest{{ModuleId: "acme:widget"}, {ModuleId: "acme:widget", MaxJobsLength: &one}, {BuildId: &id}} {
		var res buildv1.ListJobsResponse
		s.call("ListJobs", req, &res)
		want := 2
		if req.MaxJobsLength != nil {
			want = 1
		}
		if len(res.GetJobs()) != want || res.GetJobs()[0].GetVersion() != "2.0.0" || res.GetJobs()[0].GetPlatform() != "linux/amd64" {
			s.t.Errorf("jobs %v", res.GetJobs())
		}
	}
}

func logs(s *session, id, platform string) {
	var got []*buildv1.GetLogsResponse
	s.receive("GetLogs", &buildv1.GetLogsRequest{BuildId: id, Platform: platform}, func() proto.Message {
		got = append(got, &buildv1.GetLogsResponse{})
		return got[len(got)-1]
	})
	if len(got) > 1 && (got[0].GetBuildStep() != "Build" || got[0].GetData() != "compiling\r\n") {
		s.t.Errorf("log %v", got)
	}
}

// link puts the namespace where an organization's id belongs, as the stock command line does.
func link(s *session) {
	var res buildv1.LinkRepoResponse
	s.call("LinkRepo", &buildv1.LinkRepoRequest{Link: &buildv1.RepoLink{OrgId: "acme", ModuleName: "widget", Repo: "acme/widget"}}, &res)
	if res.GetRepoLinkId() == "" {
		s.t.Error("the link has no id")
	}
}

func sourceArchive(s *session) []byte {
	return apitest.Archive(s.t, apitest.Member{Name: "meta.json", Mode: 0o644, Data: []byte(metaJSON)},
		apitest.Member{Name: "Makefile", Mode: 0o644, Data: bytes.Repeat([]byte("all:\n"), 20_000)})
}

func info(s *session, kind packagesv1.PackageType) *packagesv1.CreatePackageRequest {
	return &packagesv1.CreatePackageRequest{Package: &packagesv1.CreatePackageRequest_Info{Info: &packagesv1.PackageInfo{
		OrganizationId: s.farm.Org.ID, Name: "widget", Version: "2.0.0", Type: kind,
	}}}
}

// chunks are contents messages of at most 32 KiB.
func chunks(file []byte) (messages []*packagesv1.CreatePackageRequest) {
	for len(file) > 0 {
		n := min(len(file), 32<<10)
		messages = append(messages, &packagesv1.CreatePackageRequest{Package: &packagesv1.CreatePackageRequest_Contents{Contents: file[:n]}})
		file = file[n:]
	}
	return messages
}

func fromSource(s *session) {
	organizations(s)
	empty, dot := "", "."
	messages := []proto.Message{&buildv1.StartSourceUploadBuildRequest{
		ModuleVersion: "2.0.0",
		CloudBuild: &buildv1.StartSourceUploadBuildRequest_BuildInfo{BuildInfo: &buildv1.SourceUploadBuildInfo{
			Platforms: []string{"linux/amd64"}, Workdir: &dot, ModuleId: "acme:widget", Distro: &empty,
		}},
	}}
	for _, msg := range append([]*packagesv1.CreatePackageRequest{info(s, packagesv1.PackageType_PACKAGE_TYPE_MODULE)}, chunks(sourceArchive(s))...) {
		messages = append(messages, &buildv1.StartSourceUploadBuildRequest{CloudBuild: &buildv1.StartSourceUploadBuildRequest_Package{Package: msg}})
	}
	var res buildv1.StartSourceUploadBuildResponse
	if err := s.send("StartSourceUploadBuild", &res, messages...); err != nil {
		s.t.Fatal(err)
	}
	wait(s, res.GetBuildId(), "linux/amd64")
}

func fromPackage(s *session) {
	messages := []proto.Message{info(s, packagesv1.PackageType_PACKAGE_TYPE_ARCHIVE)}
	for _, msg := range chunks(sourceArchive(s)) {
		messages = append(messages, msg)
	}
	var made packagesv1.CreatePackageResponse
	if err := s.send("CreatePackage", &made, messages...); err != nil {
		s.t.Fatal(err)
	}
	var res buildv1.StartPackageBuildResponse
	s.call("StartPackageBuild", &buildv1.StartPackageBuildRequest{
		ModuleId: "acme:widget", PackageVersion: made.GetVersion(), ModuleVersion: "2.0.0", Platforms: []string{"linux/amd64"},
	}, &res)
	wait(s, res.GetBuildId(), "linux/amd64")
}
