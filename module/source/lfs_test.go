package source_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/module/source"
	"github.com/modfarm/modfarm/module/source/gittest"
)

const attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"

// large is a fixture with one large file, model.bin, and the commit that has it.
func large(t *testing.T, content string, files map[string]string, tokens ...string) (f fixture, sha string) {
	t.Helper()
	f = newFixture(t, tokens...)
	pointer, err := f.repo.AddLarge(content)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"data/.gitattributes": attributes, "data/model.bin": pointer, "pointer.txt": pointer}
	maps.Copy(all, files)
	return f, commit(t, f.repo, all)
}

func TestLargeFiles(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("large ", 1000)
	f, sha := large(t, content, nil, token)
	dir := t.TempDir()
	if err := new(source.Git).Fetch(t.Context(), source.Repository{URL: f.url, Token: token}, sha, dir); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "data/model.bin"); got != content {
		t.Errorf("model.bin holds %.60q", got)
	}
	if got := read(t, dir, "pointer.txt"); !strings.HasPrefix(got, "version ") {
		t.Errorf("a file that .gitattributes does not name was replaced: %.60q", got)
	}
	assertNowhere(t, dir, token)
	cmd := exec.CommandContext(t.Context(), "git", "-C", dir, "status", "--porcelain")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("git status in the work tree: %v\n%s", err, out)
	}
}

// TestLargeFilesElsewhere asks the place that .lfsconfig names, without the token.
func TestLargeFilesElsewhere(t *testing.T) {
	t.Parallel()
	other, _ := large(t, "large", nil)
	f, sha := large(t, "large", map[string]string{".lfsconfig": "[lfs]\n\turl = " + other.url + "/info/lfs\n"}, token)
	dir := t.TempDir()
	if err := new(source.Git).Fetch(t.Context(), source.Repository{URL: f.url, Token: token}, sha, dir); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "data/model.bin"); got != "large" {
		t.Errorf("model.bin holds %.60q", got)
	}
}

func TestLargeFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	answer := func(href string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var question struct{ Objects []map[string]any }
			_ = json.NewDecoder(r.Body).Decode(&question)
			for _, o := range question.Objects {
				o["actions"] = map[string]any{"download": map[string]any{"href": href, "header": map[string]string{"Metadata-Flavor": "Google"}}}
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"objects": question.Objects})
		}
	}
	tests := map[string]struct {
		config string           // .lfsconfig
		batch  http.HandlerFunc // in place of the server's
		object http.HandlerFunc
		want   []string
	}{
		"config: file":       {config: "file:///etc", want: []string{".lfsconfig: lfs.url", "file addresses are not allowed"}},
		"config: link-local": {config: "https://169.254.169.254/x", want: []string{".lfsconfig: lfs.url", "private addresses are not allowed"}},
		"answer: link-local": {batch: answer("http://169.254.169.254/latest"), want: []string{"large files", "not allowed"}},
		"answer: file":       {batch: answer("file:///etc/passwd"), want: []string{"large files", "not an https address"}},
		"redirect: private": {
			object: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://10.1.2.3/object?signature=secret", http.StatusFound)
			},
			want: []string{"private addresses are not allowed (10.1.2.3)"},
		},
		"other bytes": {
			object: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("other")) },
			want:   []string{"other bytes for the large file data/model.bin"},
		},
		"more bytes": {
			object: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("large and larger")) },
			want:   []string{"other bytes for the large file data/model.bin"},
		},
		"denied": {
			batch: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusForbidden) },
			want:  []string{"does not give out its large files", "pass a token"},
		},
		"nonsense": {
			batch: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
			want:  []string{"does not speak the protocol"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			if tc.config != "" {
				files[".lfsconfig"] = "[lfs]\n\turl = " + tc.config + "\n"
			}
			f, sha := large(t, "large", files)
			git, err := gittest.Handler(f.root)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, what, isLarge := strings.Cut(r.URL.Path, "/info/lfs/objects/")
				switch {
				case isLarge && what == "batch" && tc.batch != nil:
					tc.batch(w, r)
				case isLarge && what != "batch" && tc.object != nil:
					tc.object(w, r)
				default:
					git.ServeHTTP(w, r)
				}
			}))
			t.Cleanup(server.Close)
			err = new(source.Git).Fetch(t.Context(), source.Repository{URL: server.URL + "/acme/widget.git"}, sha, t.TempDir())
			if err == nil {
				t.Fatal("the commit was fetched")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "signature") {
				t.Errorf("a signed address is told: %v", err)
			}
		})
	}
}
