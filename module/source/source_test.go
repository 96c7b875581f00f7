package source_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
	"github.com/modfarm/modfarm/module/source/gittest"
)

const token = "s3cret-token-0123456789"

// fixture is a served repository with two commits; the first one is tagged v0.1.0.
type fixture struct {
	url           string
	repo          *gittest.Repo
	first, second string
	root          string
}

func newFixture(t *testing.T, tokens ...string) fixture {
	t.Helper()
	root := t.TempDir()
	repo, err := gittest.NewRepo(t.Context(), root, "acme/widget.git", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{repo: repo, root: root}
	f.first = commit(t, repo, map[string]string{"meta.json": "{}", "sub/build.sh": "#!/bin/sh\n"}, "v0.1.0")
	f.second = commit(t, repo, map[string]string{"meta.json": `{"a":1}`})
	server, err := gittest.NewServer(root, tokens...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	f.url = server.URL + "/acme/widget.git"
	return f
}

func commit(t *testing.T, r *gittest.Repo, files map[string]string, tags ...string) string {
	t.Helper()
	sha, err := r.Commit(t.Context(), files, tags...)
	if err != nil {
		t.Fatal(err)
	}
	return sha
}

func TestResolve(t *testing.T) {
	t.Parallel()
	f := newFixture(t, token)
	if _, err := gittest.Git(t.Context(), f.repo.Dir, "push", "origin", f.first+":refs/heads/feature/x"); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"v0.1.0": f.first, "refs/tags/v0.1.0": f.first, "main": f.second, "HEAD": f.second, "": f.second,
		"feature/x": f.first, f.first: f.first, strings.ToUpper(f.first): f.first,
	} {
		got, err := new(source.Git).Resolve(t.Context(), source.Repository{URL: f.url, Token: token}, ref)
		if err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", ref, got, err, want)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t, token)
	missing := strings.Replace(f.url, "widget", "nothing", 1)
	tests := map[string]struct {
		repo source.Repository
		ref  string
		kind source.Kind
		is   error
		says string
	}{
		"no such tag":  {source.Repository{URL: f.url, Token: token}, "v9.9.9", source.NotFound, module.ErrNotFound, "v9.9.9"},
		"short commit": {source.Repository{URL: f.url, Token: token}, f.first[:8], source.NotFound, module.ErrNotFound, "40 digits"},
		"no token":     {source.Repository{URL: f.url}, "main", source.Denied, module.ErrForbidden, "pass a token"},
		"wrong token":  {source.Repository{URL: f.url, Token: "wrong-token"}, "main", source.Denied, module.ErrForbidden, "token"},
		"no repo":      {source.Repository{URL: missing, Token: token}, "main", source.NotFound, module.ErrNotFound, "no such repository"},
		"nobody there": {source.Repository{URL: "http://127.0.0.1:1/x"}, "main", source.Unreachable, module.ErrUnavailable, "does not answer"},
		"option":       {source.Repository{URL: f.url}, "--upload-pack=x", source.Refused, module.ErrInvalid, "not a ref"},
		"pattern":      {source.Repository{URL: f.url}, "v*", source.Refused, module.ErrInvalid, "not a ref"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := new(source.Git).Resolve(t.Context(), tc.repo, tc.ref)
			var e *source.Error
			if !errors.As(err, &e) || e.Kind != tc.kind || !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want kind %q saying %q", err, tc.kind, tc.says)
			}
			if tc.repo.Token != "" && strings.Contains(err.Error(), tc.repo.Token) {
				t.Errorf("the error contains the token: %v", err)
			}
		})
	}
}

func TestFetchPutsOneCommitAndNoSecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t, token)
	dir := filepath.Join(t.TempDir(), "tree")
	git := new(source.Git)
	if err := git.Fetch(t.Context(), source.Repository{URL: f.url, Token: token}, f.first, dir); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "meta.json"); got != "{}" {
		t.Errorf("meta.json = %q, want the first commit's", got)
	}
	info, err := os.Stat(filepath.Join(dir, "sub/build.sh"))
	if err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("build.sh lost its exec bit: %v %v", info, err)
	}
	count, err := gittest.Git(t.Context(), dir, "rev-list", "--all", "--count", "HEAD")
	if err != nil || strings.TrimSpace(count) != "1" {
		t.Errorf("history has %s commits (%v), want 1", count, err)
	}
	when, err := git.CommitTime(t.Context(), dir)
	if err != nil || time.Since(when) > time.Hour {
		t.Errorf("CommitTime = %v, %v", when, err)
	}
	assertNowhere(t, dir, token)
}

// assertNowhere looks for a secret in every file below dir.
func assertNowhere(t *testing.T, dir, secret string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), secret) {
			t.Errorf("%s contains the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFetchMissingCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	err := new(source.Git).Fetch(t.Context(), source.Repository{URL: f.url}, strings.Repeat("ab", 20), t.TempDir())
	if !errors.Is(err, module.ErrNotFound) {
		t.Errorf("error %v, want not found", err)
	}
}

func TestReadFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	big := strings.Repeat("x", 2000)
	if err := os.Symlink("meta.json", filepath.Join(f.repo.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	sha := commit(t, f.repo, map[string]string{"big": big, "module/a b.txt": "hello"})
	git, repo := new(source.Git), source.Repository{URL: f.url}
	got, err := git.ReadFiles(t.Context(), repo, sha, []string{"meta.json", "absent", "./module/a b.txt"}, 1000)
	want := map[string][]byte{"meta.json": []byte(`{"a":1}`), "./module/a b.txt": []byte("hello")}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("ReadFiles: %v\n%s", err, cmp.Diff(want, got))
	}
	for _, bad := range []string{"big", "link", "module", "../etc/passwd", "/etc/passwd"} {
		if _, err := git.ReadFiles(t.Context(), repo, sha, []string{bad}, 1000); !errors.Is(err, module.ErrInvalid) {
			t.Errorf("ReadFiles(%q): error %v, want a refusal", bad, err)
		}
	}
}

func TestSubmodules(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	lib, err := gittest.NewRepo(t.Context(), f.root, "acme/lib.git", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	commit(t, lib, map[string]string{"lib.c": "int x;"})
	mustGit(t, f.repo.Dir, "submodule", "--quiet", "add", lib.Bare, "third_party/lib")
	mustGit(t, f.repo.Dir, "config", "-f", ".gitmodules", "submodule.third_party/lib.url", "../lib.git")
	sha := commit(t, f.repo, nil)
	dir := t.TempDir()
	if err := new(source.Git).Fetch(t.Context(), source.Repository{URL: f.url}, sha, dir); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "third_party/lib/lib.c"); got != "int x;" {
		t.Errorf("the submodule holds %q", got)
	}
	for _, address := range []string{
		lib.Bare, "file://" + lib.Bare, "ext::sh -c touch% " + dir + "/pwned", "git@github.com:acme/lib.git",
		"ssh://github.com/acme/lib", "http://example.com/lib.git", "https://169.254.169.254/lib.git",
	} {
		mustGit(t, f.repo.Dir, "config", "-f", ".gitmodules", "submodule.third_party/lib.url", address)
		sha := commit(t, f.repo, nil)
		err := new(source.Git).Fetch(t.Context(), source.Repository{URL: f.url}, sha, t.TempDir())
		if !errors.Is(err, module.ErrInvalid) {
			t.Errorf("a submodule at %q: error %v, want a refusal", address, err)
		}
	}
	if _, err := os.Stat(dir + "/pwned"); err == nil {
		t.Error("a submodule's address ran a command")
	}
}

func TestNothingOfTheUserIsUsed(t *testing.T) {
	f := newFixture(t)
	home, marker := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	hook := filepath.Join(home, "hooks", "post-checkout")
	if err := os.MkdirAll(filepath.Dir(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ntouch "+marker+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := "[core]\n\thooksPath = " + filepath.Dir(hook) + "\n[url \"http://127.0.0.1:1/\"]\n\tinsteadOf = " + f.url + "\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, ".gitconfig"))
	dir := t.TempDir()
	if err := new(source.Git).Fetch(t.Context(), source.Repository{URL: f.url}, f.first, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a hook ran")
	}
	if _, err := os.Stat(filepath.Join(dir, ".git", "hooks")); err == nil {
		t.Error("the work tree has a hooks folder from a template")
	}
}

func TestTokenIsInNoArgument(t *testing.T) {
	f := newFixture(t, token)
	program, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	bin, record := t.TempDir(), filepath.Join(t.TempDir(), "argv")
	wrapper := "#!/bin/sh\nprintf '%s\\n' \"$@\" >> " + record + "\nexec " + program + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	git, repo := new(source.Git), source.Repository{URL: f.url, Token: token}
	if _, err := git.Resolve(t.Context(), repo, "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := git.ReadFiles(t.Context(), repo, f.first, []string{"meta.json"}, 1000); err != nil {
		t.Fatal(err)
	}
	if err := git.Fetch(t.Context(), repo, f.first, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	argv, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))
	if text := string(argv); !strings.Contains(text, "fetch") || strings.Contains(text, token) || strings.Contains(text, basic) {
		t.Errorf("arguments of git:\n%s", text)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	base := strings.TrimSuffix(f.url, "/acme/widget.git")
	var mu sync.Mutex
	var leaked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		leaked = append(leaked, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(elsewhere.Close)
	backend, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(backend)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/away"):
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/acme/widget.git"):
			pass.ServeHTTP(w, r)
		default:
			http.Redirect(w, r, strings.Replace(r.URL.String(), "/widget/", "/widget.git/", 1), http.StatusMovedPermanently)
		}
	}))
	t.Cleanup(front.Close)
	git := new(source.Git)
	got, err := git.Resolve(t.Context(), source.Repository{URL: front.URL + "/acme/widget"}, "main")
	if err != nil || got != f.second {
		t.Errorf("a server that redirects to .git: %q, %v", got, err)
	}
	_, err = git.Resolve(t.Context(), source.Repository{URL: front.URL + "/away/x", Token: token}, "main")
	if !errors.Is(err, module.ErrInvalid) || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("a redirect elsewhere: error %v, want a refusal", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(leaked) != 0 {
		t.Errorf("the redirect was followed, with %q", leaked)
	}
}

func TestTimeoutEndsGit(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	t.Cleanup(func() { close(release); slow.Close() })
	git := &source.Git{Timeout: 300 * time.Millisecond}
	started := time.Now()
	_, err := git.Resolve(t.Context(), source.Repository{URL: slow.URL + "/x"}, "main")
	if !errors.Is(err, module.ErrUnavailable) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("error %v, want a timeout", err)
	}
	if took := time.Since(started); took > 4*time.Second {
		t.Errorf("took %v: git's helper was not ended", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := git.Resolve(ctx, source.Repository{URL: slow.URL + "/x"}, "main"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want cancelled", err)
	}
}

func mustGit(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := gittest.Git(t.Context(), dir, args...); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
