package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	docker "github.com/moby/moby/client"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// checkoutToken changes when it is encoded for an address or in base64.
const checkoutToken = "checkout+token/9f2c~4b7e?1d6a>c0=secret"

// spillScript prints everything that a build can see, and a secret that its
// author knows in every form. It holds the secret shifted by one letter, so that
// the script itself does not look like a leak. The sleeps give the test time to
// look at the running container, and split the secret across writes.
const spillScript = `#!/bin/bash
env; cat /proc/*/environ /proc/*/cmdline | tr '\0' '\n'
cat .git/config; git config --list --show-origin; ls -la / /root /workspace /run
find / -xdev -newer /proc/1 -type f -size -100k \( -path /workspace -o -path /etc -o -path /tmp -o -path /root \) 2>/dev/null | xargs -r cat 2>/dev/null
t=$(printf %s 'SHIFTED' | tr 'b-za' 'a-z')
echo "known ${#t} whole: $t"
printf 'known split: %s' "${t:0:11}"; sleep 0.5; printf '%s' "${t:11:9}"; sleep 0.5; echo "${t:20}"
for p in '' x xy xyz 'x-access-token:'; do
  printf 'known base64 %s: ' "$p"; printf '%s%s' "$p" "$t" | base64 -w0; echo
  printf '%s%s' "$p" "$t" | base64 -w 30; printf '%s%s' "$p" "$t" | base64 -w0 | tr '+/' '-_'; echo
done
python3 -c 'import sys, urllib.parse as u; t = sys.stdin.read(); print("known escaped:", u.quote(t), u.quote(t, safe=""), u.quote_plus(t), "".join("%%%02x" % ord(c) for c in t))' <<<"$t"
sleep 2.71828
` + goodBuild + "\n"

// shifted is a text as the script holds it: each small letter is the next one.
func shifted(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'z':
			return 'a'
		case r >= 'a' && r < 'z':
			return r + 1
		}
		return r
	}, s)
}

// TestSecretsStayIn takes a module the whole road, by the Action and with a
// checkout token, and looks for every secret in everything that the road wrote.
func TestSecretsStayIn(t *testing.T) {
	const name = "secrets-stay-in"
	y := openYard(t, "--slots", "1")
	host := recordingHost(t, y.repos)
	id := y.newModule(t, name)
	address := host.URL + "/" + name + ".git"
	meta := metaOf(t, id, "", func(m *module.Manifest) { m.URL = address })
	y.newRepo(t, name, func(repo *gittest.Repo) {
		script := strings.Replace(spillScript, "SHIFTED", shifted(checkoutToken), 1)
		if _, err := repo.Commit(t.Context(), map[string]string{"meta.json": meta, "build.sh": script}, "v1.0.0"); err != nil {
			t.Fatal(err)
		}
	})
	secrets := y.secrets(t)
	secrets["checkout token"] = checkoutToken
	found := newLeaks(secrets)

	watch := startWatch(t, y, found)
	found.look("the Action's output", y.action(t, meta, address))
	watch.stop(t)

	builds, err := y.client.Builds(t.Context(), id, 1)
	if err != nil || len(builds) != 1 {
		t.Fatalf("builds: %v, %v", builds, err)
	}
	build, log := y.follow(t, builds[0].ID)
	y.judge(t, build, log, client.JobPublished)
	found.look("the build's log", log)
	checkSpilled(t, log)
	found.look("the build as the API tells it", fmt.Sprintf("%+v", build))
	for _, address := range host.addresses() {
		found.look("an address asked of the git server", address)
	}
	y.failingCalls(t, found, address)
	found.lookInFile("the farm's log", y.farm.LogFile())
	found.lookInFolder(y.farm.Dir())
	for _, leak := range found.all() {
		t.Error(leak)
	}
}

// secrets are those that the farm made for itself.
func (y *yard) secrets(t *testing.T) map[string]string {
	t.Helper()
	_, key := y.farm.Key()
	secrets := map[string]string{"API key": key, "access token": y.accessToken(t)}
	for what, file := range map[string]string{"worker token": "worker.token", "farm key": "farm.key"} {
		text, err := os.ReadFile(filepath.Join(y.farm.Dir(), file))
		if err != nil {
			t.Fatal(err)
		}
		secrets[what] = strings.TrimSpace(string(text))
	}
	return secrets
}

// checkSpilled proves that the script had its say, so that what is not found was masked.
func checkSpilled(t *testing.T, log string) {
	t.Helper()
	for _, want := range []string{
		fmt.Sprintf("known %d whole: ***", len(checkoutToken)), "known split: ***", "known base64 : ***", "known base64 xyz: eHl6***",
		"known base64 x-access-token:: ***", "known escaped: ***%0A ***%0A ***%0A ***%0a", "MODFARM_MODULE_ID=acme:secrets-stay-in",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}

// action runs the Action as a runner does and returns what it wrote anywhere.
func (y *yard) action(t *testing.T, meta, address string) string {
	t.Helper()
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "meta.json"), []byte(meta), 0o644); err != nil {
		t.Fatal(err)
	}
	id, key := y.farm.Key()
	cmd := exec.CommandContext(t.Context(), y.binary, "action")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "GITHUB_WORKSPACE=" + work, "GITHUB_ACTIONS=true", "GITHUB_OUTPUT=" + work + "/output",
		"GITHUB_STEP_SUMMARY=" + work + "/summary", "RUNNER_DEBUG=1", "INPUT_URL=" + y.farm.URL(), "INPUT_KEY-ID=" + id,
		"INPUT_KEY-VALUE=" + key, "INPUT_VERSION=v1.0.0", "INPUT_REF=v1.0.0", "INPUT_TOKEN=" + checkoutToken,
		"GITHUB_SERVER_URL=" + address, "GITHUB_REPOSITORY=acme/secrets",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the Action: %v\n%s", err, out)
	}
	var wrote strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "::add-mask::") { // how a runner is told; it shows none of it
			wrote.WriteString(line)
		}
	}
	for _, file := range []string{"output", "summary"} {
		text, err := os.ReadFile(filepath.Join(work, file))
		if err == nil {
			wrote.Write(text)
		}
	}
	return wrote.String()
}

// failingCalls make errors that have a secret at hand.
func (y *yard) failingCalls(t *testing.T, found *leaks, address string) {
	t.Helper()
	id, key := y.farm.Key()
	request := y.request(t, "secrets-stay-in")
	request.Token, request.Version, request.Ref = checkoutToken, version(t, "2.0.0"), "no-such-ref"
	request.Repo = address
	build, log := y.build(t, request)
	found.look("a failed build", build.Jobs[0].Reason+log)
	request.Repo = strings.Replace(address, "://", "://x-access-token:"+url.PathEscape(checkoutToken)+"@", 1)
	_, err := y.client.StartBuild(t.Context(), request)
	if err == nil {
		t.Error("an address with a token in it was taken")
	}
	found.look("a refused address", fmt.Sprint(err))
	wrong, err := client.New(client.Config{URL: y.farm.URL(), KeyID: id + "x", Key: key, UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = wrong.Login(t.Context())
	found.look("a refused login", fmt.Sprint(err))
	if _, err := client.New(client.Config{URL: "http://" + id + ":" + key + "@127.0.0.1:1", KeyID: id, Key: key}); err != nil {
		found.look("a refused address of a farm", err.Error())
	}
	away, err := client.New(client.Config{URL: "http://127.0.0.1:1", KeyID: id, Key: key, UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = away.Login(t.Context())
	found.look("a farm that is away", fmt.Sprint(err))
}

// gitRecorder is a git server that remembers the addresses it was asked for.
type gitRecorder struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func recordingHost(t *testing.T, repos string) *gitRecorder {
	t.Helper()
	git, err := gittest.Handler(repos, checkoutToken)
	if err != nil {
		t.Fatal(err)
	}
	r := &gitRecorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, req.URL.String()+" "+req.Referer()+" "+req.UserAgent())
		r.mu.Unlock()
		git.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *gitRecorder) addresses() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// inspectContainers looks at all that the engine knows of the worker's containers.
func inspectContainers(t *testing.T, engine *docker.Client, worker string, found *leaks) (seen int) {
	t.Helper()
	list, err := engine.ContainerList(t.Context(), docker.ContainerListOptions{
		All: true, Filters: make(docker.Filters).Add("label", "dev.modfarm.worker="+worker),
	})
	if err != nil {
		return 0
	}
	for _, c := range list.Items {
		got, err := engine.ContainerInspect(t.Context(), c.ID, docker.ContainerInspectOptions{})
		if err != nil {
			continue // it ended meanwhile
		}
		text, err := json.Marshal(got)
		if err != nil {
			continue
		}
		found.look("a container's settings", string(text))
		seen++
	}
	return seen
}

// spellings are the forms in which a secret would be seen.
func spellings(secret string) []string {
	list := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	for before := range 3 {
		text := append(make([]byte, before), secret...)
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := alphabet.EncodeToString(text)
			list = append(list, encoded[4*((before+2)/3):len(encoded)-4])
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
