package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// nowhere is a commit that no repository has.
const nowhere = "0123456789abcdef0123456789abcdef01234567"

// repositoryCases are repositories that are not there, not open, or point elsewhere.
func repositoryCases() []badCase {
	cases := []badCase{
		{
			name: "repository-absent", want: client.JobFailed, says: []string{"nothing-here.git", "no such repository", "check the address"},
			ask: func(y *yard, r *client.BuildRequest) { r.Repo = y.open.URL + "/nothing-here.git" },
		},
		{
			name: "tag-absent", want: client.JobFailed, says: []string{"v9.9.9", "no tag, branch or commit", "push it first"},
			ask: func(_ *yard, r *client.BuildRequest) { r.Ref = "v9.9.9" },
		},
		{
			name: "commit-missing", want: client.JobFailed, says: []string{"does not", "this commit", "push it first"},
			ask: func(_ *yard, r *client.BuildRequest) { r.Ref = nowhere },
		},
		{
			name: "token-wrong", want: client.JobFailed, says: []string{"token-wrong.git", "refused the token", "pass a token that may read"},
			ask: func(y *yard, r *client.BuildRequest) {
				r.Repo, r.Token = y.closed.URL+"/token-wrong.git", "this-token-was-revoked-5d1b"
			},
			after: func(t *testing.T, _ *yard, b client.Build, log string) {
				t.Helper()
				if strings.Contains(b.Jobs[0].Reason+log, "this-token-was-revoked") {
					t.Error("the token is told")
				}
			},
		},
		{
			name: "token-absent", want: client.JobFailed, says: []string{"token-absent.git", "login", "pass a token that may read"},
			ask: func(y *yard, r *client.BuildRequest) { r.Repo = y.closed.URL + "/token-absent.git" },
		},
		{
			name: "token-right", build: goodBuild, want: client.JobPublished,
			ask: func(y *yard, r *client.BuildRequest) { r.Repo, r.Token = y.closed.URL+"/token-right.git", yardToken },
		},
		{
			name: "link-local", want: client.JobRefused, says: []string{"169.254.169.254", "private addresses are not allowed", "--allow-private-repositories"},
			ask: func(_ *yard, r *client.BuildRequest) { r.Repo = "https://169.254.169.254/latest/meta-data" },
		},
	}
	for name, address := range forbidden() {
		cases = append(cases, submoduleCase("submodule-"+name, address), largeCase("lfs-"+name, address))
	}
	return cases
}

// helperRan is what the program in an ext:: address would leave on this machine.
func helperRan() string { return filepath.Join(os.TempDir(), "modfarm-helper-ran") }

// forbidden are addresses that lead to this machine, to programs on it, or to
// its neighbours, by what they try.
func forbidden() map[string]string {
	return map[string]string{
		"file":       "file:///etc",
		"ext":        "ext::sh -c 'touch " + helperRan() + "'",
		"ssh":        "ssh://git@github.com/acme/widget.git",
		"link-local": "https://169.254.169.254/latest/meta-data",
	}
}

// scheme is the word of a refused address that its sentence has to name.
func scheme(address string) string {
	if strings.HasPrefix(address, "https://") {
		return "169.254.169.254"
	}
	name, _, _ := strings.Cut(address, ":")
	return name
}

func submoduleCase(name, address string) badCase {
	return badCase{
		name: name, want: client.JobRefused, says: []string{"submodule", "sub", scheme(address), "not allowed"},
		files: map[string]string{".gitmodules": "[submodule \"sub\"]\n\tpath = sub\n\turl = \"" + address + "\"\n"},
		prepare: func(t *testing.T, _ *yard, repo *gittest.Repo) {
			t.Helper()
			if err := os.Mkdir(filepath.Join(repo.Dir, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := gittest.Git(t.Context(), repo.Dir, "update-index", "--add", "--cacheinfo", "160000,"+nowhere+",sub"); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func largeCase(name, address string) badCase {
	return badCase{
		name: name, want: client.JobRefused, says: []string{".lfsconfig", "lfs.url", scheme(address), "not allowed"},
		files: map[string]string{
			".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", ".lfsconfig": "[lfs]\n\turl = \"" + address + "\"\n",
		},
		prepare: func(t *testing.T, _ *yard, repo *gittest.Repo) {
			t.Helper()
			pointer, err := repo.AddLarge("large")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(repo.Dir, "model.bin"), []byte(pointer), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// refusedAddresses are refused before there is a build.
func refusedAddresses(t *testing.T, y *yard) {
	t.Helper()
	y.newModule(t, "address-refused")
	for _, address := range []string{
		"file:///etc", "ext::sh -c id", "ssh://git@github.com/acme/widget.git", "git@github.com:acme/widget.git", "/etc",
		"https://user:hunter2hunter2@github.com/acme/widget.git",
	} {
		request := y.request(t, "address-refused")
		request.Repo = address
		_, err := y.client.StartBuild(t.Context(), request)
		if err == nil {
			t.Errorf("a build of %s was started", address)
			continue
		}
		t.Log(err)
		checkSentence(t, err.Error(), "repo", "address", "; ")
		if strings.Contains(err.Error(), "hunter2") {
			t.Error("the password in an address is told")
		}
	}
	if builds, err := y.client.Builds(t.Context(), module.ID{Namespace: "acme", Name: "address-refused"}, 1); err != nil || len(builds) != 0 {
		t.Errorf("there is a build all the same: %v, %v", builds, err)
	}
}

// submodulesAndLargeFiles builds a repository that has both and is fine.
func submodulesAndLargeFiles(t *testing.T, y *yard) {
	t.Helper()
	const name, content = "submodules-lfs-fine", "a large model file"
	sub := y.newRepo(t, name+"-sub", func(*gittest.Repo) {})
	subCommit, err := sub.Commit(t.Context(), map[string]string{"part.txt": "a part\n"})
	if err != nil {
		t.Fatal(err)
	}
	y.run(t, badCase{
		name: name, want: client.JobPublished,
		build: "cat sub/part.txt model.bin && " + goodBuild + " && cp sub/part.txt model.bin dist/",
		files: map[string]string{
			".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
			".gitmodules":    "[submodule \"sub\"]\n\tpath = sub\n\turl = ../" + name + "-sub.git\n",
		},
		prepare: func(t *testing.T, y *yard, repo *gittest.Repo) {
			t.Helper()
			submoduleCase("", "").prepare(t, y, repo)
			if _, err := gittest.Git(t.Context(), repo.Dir, "update-index", "--cacheinfo", "160000,"+subCommit+",sub"); err != nil {
				t.Fatal(err)
			}
			pointer, err := repo.AddLarge(content)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(repo.Dir, "model.bin"), []byte(pointer), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		ask: func(y *yard, r *client.BuildRequest) { r.Repo = y.open.URL + "/" + name + ".git" },
		after: func(t *testing.T, _ *yard, _ client.Build, log string) {
			t.Helper()
			for _, want := range []string{"a part", content} {
				if !strings.Contains(log, want) {
					t.Errorf("the build did not see %q; its log:\n%s", want, log)
				}
			}
		},
	})
}
