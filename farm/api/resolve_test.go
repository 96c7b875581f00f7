package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

const resolveMethod = "/modfarm.v1.ResolveService/Resolve"

// resolveFarm has two versions, one of them with a tagged upload.
func resolveFarm(t *testing.T) (*apitest.Farm, *foreign) {
	t.Helper()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	id := module.ID{Namespace: "acme", Name: "widget"}
	f.Publish(t, id, "1.0.0", "linux/arm64")
	f.Publish(t, id, "1.1.0", "any")
	f.Publish(t, id, "1.1.0", "linux/arm64", "distro:debian")
	return f, c
}

func TestResolveRPC(t *testing.T) {
	t.Parallel()
	f, c := resolveFarm(t)
	var res modfarmv1.ResolveResponse
	c.must(resolveMethod, &modfarmv1.ResolveRequest{ModuleId: "acme:widget", Platform: "linux/arm64", Tags: []string{"distro:debian"}}, &res)
	up := res.GetUpload()
	if up.GetRelease().GetVersion() != "1.1.0" || !strings.HasPrefix(up.GetPackageVersion(), "1.1.0-linux-arm64-t") ||
		up.GetPackageId() != "acme/widget" || len(res.GetCandidates()) != 0 {
		t.Errorf("resolved %v", &res)
	}
	if got := get(t, "HEAD", up.GetUrl(), f.KeyID, f.Key); got.code != http.StatusOK || got.header.Get(wire.HeaderSHA256) != up.GetRelease().GetSha256() {
		t.Errorf("HEAD %s: %d", up.GetUrl(), got.code)
	}

	none := &modfarmv1.ResolveRequest{ModuleId: "acme:widget", Selector: "^1.1", Platform: "linux/amd64", Explain: true}
	c.must(resolveMethod, none, &res)
	if res.GetUpload().GetRelease().GetPlatform() != "any" || len(res.GetCandidates()) != 3 || res.GetCandidates()[0].GetRefused() != "" {
		t.Errorf("explained %v", &res)
	}
	none.Selector = "2"
	c.must(resolveMethod, none, &res)
	if res.GetUpload() != nil || !strings.Contains(res.GetReason(), "no upload of acme:widget fits 2") || len(res.GetCandidates()) != 3 {
		t.Errorf("explained %v", &res)
	}
	none.Explain = false
	wantCode(t, c.call(resolveMethod, none, &res), codes.NotFound)
	wantCode(t, c.call(resolveMethod, &modfarmv1.ResolveRequest{ModuleId: "acme:widget"}, &res), codes.InvalidArgument)
	err := c.call(resolveMethod, &modfarmv1.ResolveRequest{ModuleId: "acme:widget", Selector: "newest", Platform: "linux"}, &res)
	wantCode(t, err, codes.InvalidArgument)
	if !strings.Contains(err.Error(), "write latest") || !strings.Contains(err.Error(), "not a platform") {
		t.Errorf("not everything is said at once: %v", err)
	}
	wantCode(t, c.call(resolveMethod, &modfarmv1.ResolveRequest{ModuleId: "acme:gadget", Platform: "linux/amd64"}, &res), codes.NotFound)
}

func TestResolveHTTP(t *testing.T) {
	t.Parallel()
	f, c := resolveFarm(t)
	machineID, machineKey := f.AddKey(t, f.Org.ID, account.RoleMachine)
	const query = "?version=%5E1.0&platform=linux/arm64"
	url := f.URL + wire.PathResolve + "acme/widget" + query
	res := get(t, "GET", url, machineID, machineKey)
	var got wire.Resolution
	if err := json.Unmarshal([]byte(res.body), &got); err != nil || res.code != http.StatusOK {
		t.Fatalf("%d %s: %v", res.code, res.body, err)
	}
	if got.Module != "acme:widget" || got.Selector != "^1.0" || got.Upload.Version != "1.0.0" || got.Upload.URL == "" || got.Upload.Tags == nil {
		t.Errorf("answer %s", res.body)
	}
	etag := res.header.Get("ETag")
	if again := get(t, "GET", url, machineID, machineKey, "If-None-Match", `"x", W/`+etag); again.code != http.StatusNotModified || again.body != "" {
		t.Errorf("the same question: %d %q", again.code, again.body)
	}
	if byOrg := get(t, "GET", f.URL+wire.PathResolve+f.Org.ID+"/widget"+query, f.KeyID, f.Key); byOrg.body != res.body {
		t.Errorf("asked by organization: %s", byOrg.body)
	}

	// What was published or deprecated shows in the very next answer.
	f.Publish(t, module.ID{Namespace: "acme", Name: "widget"}, "1.2.0", "linux/arm64")
	newer := get(t, "GET", url, machineID, machineKey, "If-None-Match", etag)
	if newer.code != http.StatusOK || !strings.Contains(newer.body, `"version":"1.2.0"`) {
		t.Errorf("after a publish: %d %s", newer.code, newer.body)
	}
	c.must(registryService+"DeprecateModule", &modfarmv1.DeprecateModuleRequest{ModuleId: "acme:widget", Version: "1.2.0", Message: "x"}, &modfarmv1.DeprecateModuleResponse{})
	if back := get(t, "GET", url, machineID, machineKey); back.body != res.body || back.header.Get("ETag") != etag {
		t.Errorf("after a deprecation: %s", back.body)
	}
	explained := get(t, "GET", url+"&explain=true&tag=a:b&tag=c:d", machineID, machineKey)
	if explained.code != http.StatusOK || !strings.Contains(explained.body, `"refused":"deprecated","reason":"is deprecated: x`) {
		t.Errorf("explained: %s", explained.body)
	}
}

func TestResolveHTTPRefuses(t *testing.T) {
	t.Parallel()
	f, c := resolveFarm(t)
	_, otherID, otherKey := f.AddOrg(t, "Other", "other", account.RoleOwner)
	base := f.URL + wire.PathResolve + "acme/"
	private := get(t, "GET", base+"widget?platform=linux/arm64", otherID, otherKey)
	absent := get(t, "GET", base+"gadget?platform=linux/arm64", otherID, otherKey)
	if private.code != http.StatusNotFound || strings.ReplaceAll(private.body, "widget", "gadget") != absent.body {
		t.Errorf("private and absent differ:\n%s%s", private.body, absent.body)
	}
	c.must(appService+"UpdateModule", &appv1.UpdateModuleRequest{ModuleId: "acme:widget", Visibility: appv1.Visibility_VISIBILITY_PUBLIC, Description: "x"}, &appv1.UpdateModuleResponse{})
	if shown := get(t, "GET", base+"widget?platform=linux/arm64", otherID, otherKey); shown.code != http.StatusOK {
		t.Errorf("public: %d %s", shown.code, shown.body)
	}
	for query, code := range map[string]int{
		"":                                     http.StatusUnprocessableEntity,
		"?platform=linux/any":                  http.StatusUnprocessableEntity,
		"?platform=linux/arm64&version=newest": http.StatusUnprocessableEntity,
		"?platform=linux/arm64&tags=a:b":       http.StatusUnprocessableEntity,
		"?platform=linux/arm64&tag=nocolon":    http.StatusUnprocessableEntity,
		"?platform=linux/arm64&explain=maybe":  http.StatusUnprocessableEntity,
		"?platform=linux/arm64&platform=any":   http.StatusUnprocessableEntity,
		"?platform=linux/arm64&version=%zz":    http.StatusUnprocessableEntity,
		"?platform=linux/arm64&version=3":      http.StatusNotFound,
	} {
		if got := get(t, "GET", base+"widget"+query, f.KeyID, f.Key); got.code != code || !strings.Contains(got.body, `"error"`) {
			t.Errorf("%s: %d %s, want %d", query, got.code, got.body, code)
		}
	}
	if got := get(t, "GET", base+"widget?platform=linux/arm64", f.KeyID, "mfk_wrong"); got.code != http.StatusUnauthorized {
		t.Errorf("wrong key: %d", got.code)
	}
}
