package api_test

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
)

const (
	repo     = "https://git.example.com/acme/widget"
	commit   = "0123456789abcdef0123456789abcdef01234567"
	metaJSON = `{
		"module_id": "acme:widget", "visibility": "private", "url": "https://git.example.com/acme/widget",
		"description": "a widget", "models": [{"api": "rdk:component:sensor", "model": "acme:weather:indoor"}],
		"entrypoint": "run.sh", "build": {"build": "make", "arch": ["linux/amd64", "linux/arm64"]}
	}`
)

// buildFarm is a farm with a module, a repository with a tag, a stock client and a worker.
func buildFarm(t *testing.T) (*apitest.Farm, *foreign, *client.Client) {
	t.Helper()
	f := apitest.Start(t)
	f.Source.Push(repo, "v0.1.0", commit, metaJSON)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	worker, err := client.New(client.Config{URL: f.URL, WorkerToken: apitest.WorkerToken})
	if err != nil {
		t.Fatal(err)
	}
	return f, c, worker
}

// start is a build of the tag as a stock client asks for it: what is unset is present and empty.
func start(c *foreign, version string, platforms ...string) (string, error) {
	ref, empty, dot := "v0.1.0", "", "."
	var res buildv1.StartBuildResponse
	err := c.call(buildService+"StartBuild", &buildv1.StartBuildRequest{
		Repo: repo, Ref: &ref, Platforms: platforms, ModuleId: "acme:widget", ModuleVersion: version,
		Token: &empty, Workdir: &dot, Distro: &empty,
	}, &res)
	return res.GetBuildId(), err
}

var everything = client.Worker{
	Name:   "w1",
	Native: []module.Platform{{OS: "linux", Arch: "amd64"}},
	QEMU:   []module.Platform{{OS: "linux", Arch: "arm64"}},
}

// claim waits until the farm has resolved the ref and there is a job.
func claim(t *testing.T, worker *client.Client) *client.Assignment {
	t.Helper()
	var got *client.Assignment
	apitest.Eventually(t, "a job to claim", func() bool {
		a, err := worker.Claim(t.Context(), everything)
		if err != nil {
			t.Fatal(err)
		}
		got = a
		return a != nil
	})
	return got
}

func jobs(t *testing.T, c *foreign, req *buildv1.ListJobsRequest) []string {
	t.Helper()
	var res buildv1.ListJobsResponse
	c.must(buildService+"ListJobs", req, &res)
	var lines []string
	for _, j := range res.GetJobs() {
		if j.GetStartTime() == nil {
			t.Errorf("job without a start time: %v", j)
		}
		lines = append(lines, strings.Join([]string{j.GetBuildId(), j.GetPlatform(), j.GetVersion(), strings.TrimPrefix(j.GetStatus().String(), "JOB_STATUS_")}, " "))
	}
	return lines
}

func goodArchive(t *testing.T, m apitest.Machine) []byte {
	t.Helper()
	return apitest.Archive(t,
		apitest.Member{Name: "meta.json", Mode: 0o644, Data: []byte(metaJSON)},
		apitest.Member{Name: "run.sh", Mode: 0o755, Data: apitest.ELF(m)},
	)
}

// TestStockBuild is the road from StartBuild to a download, with stock clients on both ends and our
// worker in the middle.
func TestStockBuild(t *testing.T) {
	t.Parallel()
	f, c, worker := buildFarm(t)
	id, err := start(c, "v0.1.0", "linux/arm64", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(id) {
		t.Errorf("build id %q is no UUID", id)
	}
	if again, err := start(c, "0.1.0", "linux/amd64", "linux/arm64"); err != nil || again != id {
		t.Errorf("the same request gave %q, %v instead of %q", again, err, id)
	}
	want := []string{id + " linux/amd64 0.1.0 IN_PROGRESS", id + " linux/arm64 0.1.0 IN_PROGRESS"}
	if diff := cmp.Diff(want, jobs(t, c, &buildv1.ListJobsRequest{BuildId: &id})); diff != "" {
		t.Errorf("jobs at the start (-want +got):\n%s", diff)
	}
	files := map[string][]byte{}
	for range 2 {
		a := claim(t, worker)
		files[a.Job.Platform.String()] = work(t, worker, a)
	}
	want = []string{id + " linux/amd64 0.1.0 DONE", id + " linux/arm64 0.1.0 DONE"}
	if diff := cmp.Diff(want, jobs(t, c, &buildv1.ListJobsRequest{ModuleId: "acme:widget"})); diff != "" {
		t.Errorf("jobs at the end (-want +got):\n%s", diff)
	}
	for platform, file := range files {
		pkg := getPackage(t, c, "acme/widget", "0.1.0-"+strings.ReplaceAll(platform, "/", "-"))
		checkDownload(t, f, pkg.GetUrl(), file)
		log, err := c.logs(id, platform)
		if err != nil {
			t.Fatal(err)
		}
		if len(log) < 2 || log[0].GetBuildStep() != "setup" || log[0].GetData() != "installing\n" || log[1].GetData() != "compiling\r\n" {
			t.Errorf("log of %s: %v", platform, log)
		}
	}
}

// work does a job and returns the archive that it sent.
func work(t *testing.T, worker *client.Client, a *client.Assignment) []byte {
	t.Helper()
	if a.Manifest.Entrypoint != "run.sh" || (a.Build.Commit != commit && !a.Build.Uploaded()) || len(a.Strategies) == 0 || a.Settings == nil {
		t.Fatalf("assignment %+v", a)
	}
	ctx, lease := t.Context(), a.Lease.LeaseRef
	var offset int64
	for _, line := range []struct{ step, text string }{{"setup", "installing\n"}, {"build", "compiling\r\n"}} {
		next, err := worker.AppendLog(ctx, lease, client.LogChunk{Offset: offset, Step: line.step, Data: []byte(line.text)})
		if err != nil {
			t.Fatal(err)
		}
		offset = next
	}
	if d, err := worker.Extend(ctx, lease, client.Progress{Step: "upload", Strategy: a.Strategies[0]}); err != nil || d.Cancel || d.TTL <= 0 {
		t.Fatalf("extend: %+v, %v", d, err)
	}
	machine := apitest.AMD64
	if a.Job.Platform.Arch == "arm64" {
		machine = apitest.ARM64
	}
	file := goodArchive(t, machine)
	var sent int64
	got, err := worker.PutArchive(ctx, lease, a.Strategies[0], bytes.NewReader(file), func(n, _ int64) { sent = n })
	if err != nil {
		t.Fatal(err)
	}
	if got.Size != int64(len(file)) || sent != got.Size || len(got.SHA256) != 64 {
		t.Errorf("the farm found %+v in %d bytes, of which %d were sent", got, len(file), sent)
	}
	job, err := worker.Finish(ctx, lease, client.Outcome{Kind: client.OutcomeDone, Strategy: a.Strategies[0]})
	if err != nil {
		t.Fatal(err)
	}
	if job.State != client.JobPublished || job.Release == nil || job.Release.SHA256 != got.SHA256 {
		t.Errorf("finished as %+v", job)
	}
	return file
}

// TestFailedBuild holds that what went wrong reads FAILED, with the reason as the last line of the log,
// and that the same request starts anew then.
func TestFailedBuild(t *testing.T) {
	t.Parallel()
	_, c, worker := buildFarm(t)
	id, err := start(c, "0.1.0", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	a := claim(t, worker)
	if _, err := worker.Finish(t.Context(), a.Lease.LeaseRef, client.Outcome{Kind: client.OutcomeFailed, Reason: "make ended with status 2; see its last lines"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{id + " linux/amd64 0.1.0 FAILED"}, jobs(t, c, &buildv1.ListJobsRequest{BuildId: &id})); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	log, err := c.logs(id, "linux/amd64")
	if err != nil || len(log) == 0 || !strings.Contains(log[len(log)-1].GetData(), "make ended with status 2") {
		t.Errorf("log %v, %v", log, err)
	}
	if again, err := start(c, "0.1.0", "linux/amd64"); err != nil || again == id {
		t.Errorf("the same request after a failure gave %q, %v", again, err)
	}
	if n := len(jobs(t, c, &buildv1.ListJobsRequest{ModuleId: "acme:widget"})); n != 2 {
		t.Errorf("%d jobs instead of 2", n)
	}
	one := int32(1)
	newest := jobs(t, c, &buildv1.ListJobsRequest{ModuleId: "acme:widget", MaxJobsLength: &one})
	if len(newest) != 1 || strings.HasPrefix(newest[0], id) {
		t.Errorf("the one newest job is %q", newest)
	}
}

// TestArchiveRefused holds what a worker learns about an archive that must not be published.
func TestArchiveRefused(t *testing.T) {
	t.Parallel()
	_, c, worker := buildFarm(t)
	if _, err := start(c, "0.1.0", "linux/amd64"); err != nil {
		t.Fatal(err)
	}
	a := claim(t, worker)
	put := func(file []byte) *client.Error {
		t.Helper()
		_, err := worker.PutArchive(t.Context(), a.Lease.LeaseRef, module.StrategyCross, bytes.NewReader(file), nil)
		var e *client.Error
		if !errors.As(err, &e) || !errors.Is(err, module.ErrInvalid) || len(e.Faults) == 0 {
			t.Fatalf("got %v, want faults", err)
		}
		return e
	}
	if e := put(goodArchive(t, apitest.ARM64)); !e.WrongPlatform {
		t.Errorf("an archive for arm64 is not told to be for the wrong platform: %v", e)
	}
	if e := put(apitest.Archive(t, apitest.Member{Name: "other", Mode: 0o755})); e.WrongPlatform {
		t.Errorf("an archive without entrypoint is told to be for the wrong platform: %v", e)
	}
	if e := put(bytes.Repeat([]byte("no archive"), 1<<20)); e.WrongPlatform {
		t.Errorf("10 MiB of nonsense are told to be for the wrong platform: %v", e)
	}
	lost := client.LeaseRef{JobID: a.Job.ID, Token: "somebody else's"}
	_, err := worker.PutArchive(t.Context(), lost, module.StrategyNative, bytes.NewReader(goodArchive(t, apitest.AMD64)), nil)
	if !errors.Is(err, client.ErrLeaseLost) || !errors.Is(err, module.ErrConflict) {
		t.Errorf("with a wrong lease: %v", err)
	}
	if _, err := worker.Extend(t.Context(), lost, client.Progress{}); !errors.Is(err, client.ErrLeaseLost) {
		t.Errorf("extend with a wrong lease: %v", err)
	}
}

// TestWorkersProveThemselves holds that nothing of a worker's is open to others.
func TestWorkersProveThemselves(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	for name, cfg := range map[string]client.Config{
		"wrong token": {URL: f.URL, WorkerToken: "guess"},
		"API key":     {URL: f.URL, KeyID: f.KeyID, Key: f.Key},
	} {
		c, err := client.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Claim(t.Context(), everything); !errors.Is(err, module.ErrUnauthorized) {
			t.Errorf("claim with %s: %v", name, err)
		}
		if _, err := c.PutArchive(t.Context(), client.LeaseRef{JobID: "x"}, "", strings.NewReader("x"), nil); !errors.Is(err, module.ErrUnauthorized) {
			t.Errorf("archive with %s: %v", name, err)
		}
	}
	c, err := client.New(client.Config{URL: f.URL, WorkerToken: apitest.WorkerToken})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Builds(t.Context(), module.ID{}, 0); !errors.Is(err, module.ErrUnauthorized) {
		t.Errorf("builds with a worker's token: %v", err)
	}
}

// TestLogGap holds that a worker learns where to go on.
func TestLogGap(t *testing.T) {
	t.Parallel()
	_, c, worker := buildFarm(t)
	if _, err := start(c, "", "linux/amd64"); err != nil {
		t.Fatal(err)
	}
	a := claim(t, worker)
	for range 2 { // again is harmless
		if next, err := worker.AppendLog(t.Context(), a.Lease.LeaseRef, client.LogChunk{Offset: a.Job.LogSize, Step: "build", Data: []byte("12345")}); err != nil || next != a.Job.LogSize+5 {
			t.Fatalf("next %d, %v", next, err)
		}
	}
	_, err := worker.AppendLog(t.Context(), a.Lease.LeaseRef, client.LogChunk{Offset: a.Job.LogSize + 9, Step: "build", Data: []byte("x")})
	var e *client.Error
	if !errors.As(err, &e) || e.LogOffset != a.Job.LogSize+5 || !errors.Is(err, module.ErrConflict) || errors.Is(err, client.ErrLeaseLost) {
		t.Errorf("after a gap: %v (%+v)", err, e)
	}
}

// TestBigLog holds that logs of any size and any bytes arrive as text in small messages.
func TestBigLog(t *testing.T) {
	t.Parallel()
	_, c, worker := buildFarm(t)
	id, err := start(c, "", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	a := claim(t, worker)
	whole := append(bytes.Repeat([]byte("späte Wärme €\n"), 200_000), 0xff, '\n')
	offset := a.Job.LogSize
	for piece := range slices.Chunk(whole, 999_983) { // cuts characters
		if offset, err = worker.AppendLog(t.Context(), a.Lease.LeaseRef, client.LogChunk{Offset: offset, Step: "build", Data: piece}); err != nil {
			t.Fatal(err)
		}
	}
	log, err := c.logs(id, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, m := range log {
		if len(m.GetData()) >= 1<<20 || !utf8.ValidString(m.GetData()) {
			t.Errorf("a message of %d bytes, text: %t", len(m.GetData()), utf8.ValidString(m.GetData()))
		}
		if m.GetBuildStep() == "build" {
			got.WriteString(m.GetData())
		}
	}
	if want := strings.ToValidUTF8(string(whole), "\uFFFD"); got.String() != want {
		t.Errorf("%d bytes arrived, want %d", got.Len(), len(want))
	}
}

// TestBuildsOfOthers holds that builds are seen by their organization only.
func TestBuildsOfOthers(t *testing.T) {
	t.Parallel()
	f, c, _ := buildFarm(t)
	id, err := start(c, "0.1.0", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	_, keyID, key := f.AddOrg(t, "Other", "other", account.RoleOwner)
	o := loggedIn(t, f, keyID, key)
	wantCode(t, o.call(buildService+"ListJobs", &buildv1.ListJobsRequest{BuildId: &id}, &buildv1.ListJobsResponse{}), codes.NotFound)
	wantCode(t, o.call(buildService+"ListJobs", &buildv1.ListJobsRequest{ModuleId: "acme:widget"}, &buildv1.ListJobsResponse{}), codes.NotFound)
	_, err = o.logs(id, "linux/amd64")
	wantCode(t, err, codes.NotFound)
	_, err = start(o, "0.2.0", "linux/amd64")
	wantCode(t, err, codes.NotFound)
	if n := len(jobs(t, o, &buildv1.ListJobsRequest{})); n != 0 {
		t.Errorf("another organization sees %d jobs", n)
	}
	_, err = c.logs(id, "linux/arm64")
	wantCode(t, err, codes.NotFound)
	_, err = start(c, "0.2.0", "linux/amd64", "linux/amd64", "any")
	wantCode(t, err, codes.InvalidArgument)
}

// TestNoSecretsInTheLog runs a whole build and looks for what must not be written down.
func TestNoSecretsInTheLog(t *testing.T) {
	t.Parallel()
	f, c, worker := buildFarm(t)
	ref, token := "v0.1.0", "checkout-token-of-the-repository"
	c.must(buildService+"StartBuild", &buildv1.StartBuildRequest{
		Repo: repo, Ref: &ref, Platforms: []string{"linux/amd64"}, ModuleId: "acme:widget", ModuleVersion: "0.1.0", Token: &token,
	}, &buildv1.StartBuildResponse{})
	a := claim(t, worker)
	if a.Token != token || !slices.Contains(f.Source.Tokens(), token) {
		t.Errorf("the checkout token does not reach those who need it")
	}
	work(t, worker, a)
	get(t, http.MethodGet, getPackage(t, c, "acme/widget", "0.1.0-linux-amd64").GetUrl(), f.KeyID, f.Key)
	log := f.Log.String()
	if !strings.Contains(log, buildService+"StartBuild") {
		t.Errorf("requests are not logged at debug level:\n%s", log)
	}
	for name, secret := range map[string]string{
		"API key": f.Key, "token": c.token, "worker token": apitest.WorkerToken, "checkout token": token, "lease": a.Lease.Token,
	} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds the %s", name)
		}
	}
}
