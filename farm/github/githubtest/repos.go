package githubtest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/modfarm/modfarm/module/source/gittest"
)

// Repo is a repository: a work tree of the test's, and the bare one that is served.
type Repo struct {
	ID          int64
	Owner, Name string
	Private     bool
	// Git is the work tree and the bare repository, for what Push does not do.
	Git *gittest.Repo

	s *Server
}

// zero is the object that webhooks name where there is none.
const zero = "0000000000000000000000000000000000000000"

// eventsAtOnce is how many tags one push may carry before GitHub sends no event for any of them.
// Source: GitHub's documentation of the push and create events.
const eventsAtOnce = 3

// NewRepo makes an empty repository.
func (s *Server) NewRepo(owner, name string, private bool) *Repo {
	s.tb.Helper()
	git, err := gittest.NewRepo(s.tb.Context(), s.root, strings.ToLower(owner+"/"+name)+".git", s.tb.TempDir())
	if err != nil {
		s.tb.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	repo := &Repo{ID: s.id(), Owner: owner, Name: name, Private: private, Git: git, s: s}
	s.repos[repoKey(owner, name)] = repo
	return repo
}

// FullName is owner/name.
func (r *Repo) FullName() string { return r.Owner + "/" + r.Name }

// CloneURL is where git fetches it.
func (r *Repo) CloneURL() string { return r.s.URL + "/" + r.FullName() + ".git" }

// Commit commits files, pushes main without any tag, and returns the commit.
func (r *Repo) Commit(files map[string]string) string {
	r.s.tb.Helper()
	commit, err := r.Git.Commit(r.s.tb.Context(), files)
	if err != nil {
		r.s.tb.Fatal(err)
	}
	return commit
}

// Tag makes tags on HEAD and pushes them together: GitHub tells the webhook of each, or of none when there are more
// than three. Annotated ones are objects of their own.
func (r *Repo) Tag(annotated bool, tags ...string) {
	r.s.tb.Helper()
	for _, tag := range tags {
		if annotated {
			r.git("tag", "-f", "-a", "-m", "Release "+tag, tag)
		} else {
			r.git("tag", "-f", tag)
		}
	}
	before := map[string]string{}
	for _, tag := range tags {
		before[tag] = r.remote(tag)
	}
	push := []string{"push", "--quiet", "--force", "origin"}
	for _, tag := range tags {
		push = append(push, "refs/tags/"+tag)
	}
	r.git(push...)
	if len(tags) > eventsAtOnce {
		return
	}
	for _, tag := range tags {
		r.pushed(tag, before[tag])
	}
}

// SignedTag puts a tag with a signature on HEAD, as "git tag -s" does, and pushes it. Nobody can check this signature.
func (r *Repo) SignedTag(tag string) {
	r.s.tb.Helper()
	text := "object " + strings.TrimSpace(r.git("rev-parse", "HEAD")) + "\ntype commit\ntag " + tag + "\ntagger Test <test@example.com> 1767323045 +0000\n\n" +
		"Release " + tag + "\n-----BEGIN PGP SIGNATURE-----\n\niHUEABYKAB0WIQQ=\n=AAAA\n-----END PGP SIGNATURE-----\n"
	file := filepath.Join(r.s.tb.TempDir(), "tag")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.s.tb.Fatal(err)
	}
	r.git("update-ref", "refs/tags/"+tag, strings.TrimSpace(r.git("hash-object", "-t", "tag", "-w", file)))
	before := r.remote(tag)
	r.git("push", "--quiet", "--force", "origin", "refs/tags/"+tag)
	r.pushed(tag, before)
}

// DeleteTag removes a tag and tells the webhook.
func (r *Repo) DeleteTag(tag string) {
	r.s.tb.Helper()
	before := r.remote(tag)
	r.git("push", "--quiet", "origin", ":refs/tags/"+tag)
	r.s.Send("delete", r.event(map[string]any{"ref": tag, "ref_type": "tag"}))
	r.s.Send("push", r.event(map[string]any{
		"ref": "refs/tags/" + tag, "before": before, "after": zero, "created": false, "deleted": true, "forced": false, "head_commit": nil,
	}))
}

// pushed sends what GitHub sends for a tag: a push, and a create when it is new.
func (r *Repo) pushed(tag, before string) {
	r.s.tb.Helper()
	after, commit := r.remote(tag), strings.TrimSpace(r.git("rev-parse", tag+"^{commit}"))
	created := before == ""
	if created {
		before = zero
		r.s.Send("create", r.event(map[string]any{"ref": tag, "ref_type": "tag", "master_branch": "main"}))
	}
	r.s.Send("push", r.event(map[string]any{
		"ref": "refs/tags/" + tag, "before": before, "after": after, "created": created, "deleted": false, "forced": !created,
		"head_commit": map[string]any{"id": commit, "message": "Change", "author": map[string]any{"name": "Test"}},
		"pusher":      map[string]any{"name": "test"},
	}))
}

// Release publishes a release of a tag: only the webhook sees it.
func (r *Repo) Release(tag string) {
	r.s.Send("release", r.event(map[string]any{
		"action":  "published",
		"release": map[string]any{"id": 1, "tag_name": tag, "draft": false, "prerelease": false, "target_commitish": "main"},
	}))
}

// Rename gives the repository another name and tells the webhook. The old name goes on leading to it, as at GitHub.
func (r *Repo) Rename(name string) {
	r.s.tb.Helper()
	old := r.Name
	r.move(r.Owner, name)
	r.s.Send("repository", r.event(map[string]any{
		"action": "renamed", "changes": map[string]any{"repository": map[string]any{"name": map[string]any{"from": old}}},
	}))
}

// Transfer gives the repository to another account and tells the webhook.
func (r *Repo) Transfer(owner string) {
	r.s.tb.Helper()
	old := r.Owner
	r.move(owner, r.Name)
	r.s.Send("repository", r.event(map[string]any{
		"action":  "transferred",
		"changes": map[string]any{"owner": map[string]any{"from": map[string]any{"organization": map[string]any{"login": old}}}},
	}))
}

// SetPrivate changes who may read the repository and tells the webhook.
func (r *Repo) SetPrivate(private bool) {
	r.s.mu.Lock()
	r.Private = private
	r.s.mu.Unlock()
	action := "publicized"
	if private {
		action = "privatized"
	}
	r.s.Send("repository", r.event(map[string]any{"action": action}))
}

// Delete removes the repository and tells the webhook.
func (r *Repo) Delete() {
	event := r.event(map[string]any{"action": "deleted"})
	r.s.mu.Lock()
	delete(r.s.repos, repoKey(r.Owner, r.Name))
	r.s.mu.Unlock()
	r.s.Send("repository", event)
}

func (r *Repo) move(owner, name string) {
	r.s.tb.Helper()
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	target := filepath.Join(r.s.root, strings.ToLower(owner+"/"+name)+".git")
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		r.s.tb.Fatal(err)
	}
	if err := os.Rename(r.Git.Bare, target); err != nil {
		r.s.tb.Fatal(err)
	}
	if err := os.Symlink(target, r.Git.Bare); err != nil { // the old address redirects
		r.s.tb.Fatal(err)
	}
	r.Git.Bare = target
	for key, in := range r.s.installations {
		for i, have := range in.repos {
			if have == repoKey(r.Owner, r.Name) {
				r.s.installations[key].repos[i] = repoKey(owner, name)
			}
		}
	}
	r.s.repos[repoKey(owner, name)] = r // the old key stays: it redirects
	r.Owner, r.Name = owner, name
}

// event is a webhook's payload about the repository: with the installation that covers it, when there is one.
func (r *Repo) event(fields map[string]any) map[string]any {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	fields["repository"] = r.describe(r.s.URL)
	fields["sender"] = map[string]any{"login": "test", "type": "User"}
	for _, in := range r.s.installations {
		if r.s.covers(in, repoKey(r.Owner, r.Name)) {
			fields["installation"] = map[string]any{"id": in.id}
		}
	}
	return fields
}

func (r *Repo) describe(base string) map[string]any {
	visibility := "public"
	if r.Private {
		visibility = "private"
	}
	return map[string]any{
		"id": r.ID, "name": r.Name, "full_name": r.FullName(), "private": r.Private, "visibility": visibility,
		"owner": map[string]any{"login": r.Owner}, "default_branch": "main",
		"clone_url": base + "/" + r.FullName() + ".git", "html_url": base + "/" + r.FullName(), "url": base + "/api/v3/repos/" + r.FullName(),
	}
}

// remote is the object a tag names in the served repository; empty for none.
func (r *Repo) remote(tag string) string {
	out, err := r.s.gitIn(r.Git.Bare, "for-each-ref", "--format=%(objectname)", "refs/tags/"+tag)
	if err != nil {
		r.s.tb.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (r *Repo) git(args ...string) string {
	r.s.tb.Helper()
	out, err := r.s.gitIn(r.Git.Dir, args...)
	if err != nil {
		r.s.tb.Fatal(err)
	}
	return out
}

// serveGit is git over HTTP: private repositories want an installation token that may read them.
func (s *Server) serveGit(w http.ResponseWriter, r *http.Request) {
	path := strings.ToLower(strings.TrimPrefix(r.URL.Path, "/"))
	name, rest, found := strings.Cut(path, ".git/")
	s.mu.Lock()
	repo := s.repos[name]
	status := http.StatusOK
	if found && repo != nil && (repo.Private || credential(r) != "") {
		if t, code := s.may(r, repoKey(repo.Owner, repo.Name), "contents", "read"); t == nil {
			status = code
		}
	}
	s.mu.Unlock()
	switch {
	case !found || repo == nil:
		http.NotFound(w, r)
	case status != http.StatusOK:
		w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		http.Error(w, "Invalid username or token.", http.StatusUnauthorized)
	case strings.HasPrefix(rest, "git-receive-pack"):
		http.Error(w, "tests push without HTTP", http.StatusForbidden)
	default:
		r.URL.Path = "/" + path
		s.git.ServeHTTP(w, r)
	}
}

// Replace makes a commit that has these files and no others, and pushes main.
func (r *Repo) Replace(files map[string]string) string {
	r.s.tb.Helper()
	r.git("rm", "-r", "-q", "--ignore-unmatch", ".")
	return r.Commit(files)
}
