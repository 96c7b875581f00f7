package api_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// documented is what an example of docs/api.md gets: the status, and a piece of the body that only the right answer has.
type documented struct {
	status string
	says   string
}

// documentedAnswers are by method, or by method of HTTP and path where there is no RPC. An example that is not here must stop at
// errors (curl -f).
func documentedAnswers() map[string]documented {
	const unknownLink, noApp = `your organization has no app link \"42\"`, `no GitHub App is set up`
	return map[string]documented{
		"Authenticate":      {"200", `"accessToken":"mft1_`},
		"ListOrganizations": {"200", `"publicNamespace":"acme"`}, "GetOrganization": {"200", `"name":"Acme"`},
		"CreateKey": {"200", `"key":"mfk_`}, "ListKeys": {"200", `"authorizationId":"organization_owner"`}, "RotateKey": {"200", `"key":"mfk_`},
		"WhoAmI": {"200", `"role":"owner"`}, "CreateOrganization": {"200", `"namespace":"weather"`}, "ListFarmOrganizations": {"200", `"name":"Weather"`},
		"CreateAPIKey": {"200", `"role":"machine"`}, "ListAPIKeys": {"200", `"name":"robots"`}, "RotateAPIKey": {"200", `"rotatedAt":`},
		"SetNamespace": {"200", `"namespace":"acme"`},

		"CreateModule": {"200", `"moduleId":"acme:widget"`}, "UploadModuleFile": {"200", `/1.0.0-any.tar.gz"`}, "GetModule": {"200", `"version":"1.0.0"`},
		"ListModules": {"200", `"name":"widget"`}, "GetRegistryItem": {"200", `"itemId":"acme:widget"`}, "ListRegistryItems": {"200", `"itemId":"acme:widget"`},
		"ListReleases": {"200", `"tarSha256":`}, "DeprecateModule": {"200", `"deprecatedAt":`}, "ListModuleEvents": {"200", `"action":"undeprecated"`},
		"DeleteModule": {"200", `"version":"1.1.0"`}, "Resolve": {"200", `"version":"1.0.0"`}, "GET resolve/acme/widget": {"200", `"package_version":"1.0.0-any"`},
		"GetPackage": {"200", `"platform":"any"`}, "ListPackages": {"200", `"checksum":`},
		"POST uploads": {"201", `"offset":0`}, "PUT uploads": {"204", ""}, "HEAD uploads": {"204", "Upload-Offset: "}, "POST uploads/finish": {"200", `"archive":{"sha256":`},
		"DELETE uploads": {"204", ""},

		"StartBuild": {"200", `"buildId":`}, "ListJobs": {"200", `"platform":"linux/amd64"`}, "GetBuild": {"200", `"version":"2.0.0"`},
		"ListBuilds": {"200", `"ref":"v2.0.0"`}, "CancelBuild": {"200", `"cancelled"`}, "FollowLog": {"200", `"step":"Result"`}, "RetryJob": {"200", `"state":"queued"`},
		"StartSourceUploadBuild": {"200", `"buildId":`}, "CreatePackage": {"200", `"version":"monday"`}, "StartPackageBuild": {"200", `"buildId":`},
		"LinkRepo": {"200", `"repoLinkId":`}, "ListRepoLinks": {"200", `"moduleName":"widget"`},
		"LinkRepository": {"200", `"moduleId":"acme:widget"`}, "ExchangeIDToken": {"200", `"version":"3.0.0"`},
		"ListRepositoryLinks": {"200", `"ownerNumber":`}, "UnlinkRepository": {"200", "{}"},
		"LinkOrg": {"404", unknownLink}, "UnlinkOrg": {"404", unknownLink}, "RemoveAppLink": {"404", unknownLink},

		"BeginGitHubSetup": {"200", `/github/setup?state=`}, "GetGitHubStatus": {"200", "{}"}, "ConnectGitHubAccount": {"404", noApp},
		"SyncGitHub": {"404", noApp}, "ListGitHubTags": {"200", "{}"}, "ListGitHubDeliveries": {"200", "{}"}, "AddGitHubWebhookSecret": {"404", noApp},

		"Claim": {"200", `"lease":`}, "Resume": {"200", `"token":`}, "Extend": {"200", `"ttl":`}, "AppendLog": {"200", `"next":`},
		"GET builds/$SOURCE_BUILD/source": {"200", ""}, "GET source": {"422", `its build is of a repository`}, "Finish": {"200", `"reason":"make ended with status 2"`}, "DeletePackage": {"200", "{}"},
		"ListWorkers": {"200", `"name":"w1"`}, "DrainWorker": {"200", "{}"},
		"GET healthz": {"200", `"status":"ok"`},
	}
}

var (
	rpcRule    = regexp.MustCompile(`/[a-z0-9.]+\.[A-Za-z]+Service/([A-Za-z]+)"`)
	pathRule   = regexp.MustCompile(`"\$FARM/([^"]*)"`)
	verbRule   = regexp.MustCompile(`-X ([A-Z]+)`)
	statusRule = regexp.MustCompile(`(?m)^HTTP/\S+ (\d+)`)
)

// calledBy names what an example calls, as documentedAnswers does.
func calledBy(example string) string {
	if rpc := rpcRule.FindStringSubmatch(example); rpc != nil {
		return rpc[1]
	}
	path := pathRule.FindStringSubmatch(example)
	verb := verbRule.FindStringSubmatch(example)
	if path == nil {
		return ""
	}
	method := "GET"
	switch {
	case verb != nil:
		method = verb[1]
	case strings.Contains(example, "curl -fsSI"):
		method = "HEAD"
	case strings.Contains(example, " -d "):
		method = "POST"
	}
	where, _, _ := strings.Cut(strings.TrimPrefix(path[1], "api/v1/"), "?")
	for _, variable := range []string{"/$UPLOAD", "jobs/$JOB/"} {
		where = strings.ReplaceAll(where, variable, "")
	}
	return method + " " + where
}

// checkAnswer compares an example's answer with the one expected.
func checkAnswer(t *testing.T, example, file string) {
	t.Helper()
	called := calledBy(example)
	want, listed := documentedAnswers()[called]
	if !listed {
		if !strings.Contains(example, "curl -f") {
			t.Errorf("what does the example of %q answer? It does not stop at errors, so add its answer:\n%s", called, example)
		}
		return
	}
	head, err := os.ReadFile(file + ".head")
	if err != nil {
		t.Errorf("%s: %v", called, err)
		return
	}
	body, err := os.ReadFile(file + ".body")
	if err != nil {
		t.Errorf("%s: %v", called, err)
		return
	}
	status := ""
	for _, match := range statusRule.FindAllSubmatch(head, -1) {
		status = string(match[1])
	}
	if status != want.status || !strings.Contains(string(body), want.says) {
		t.Errorf("%s answers %s %.400s; want %s with %s", called, status, body, want.status, want.says)
	}
}
