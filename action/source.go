package action

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// repository is the url of meta.json, or else the repository that the workflow belongs to.
func (r *inputReader) repository(address string, getenv func(string) string) string {
	if address != "" {
		return address
	}
	server, name := getenv("GITHUB_SERVER_URL"), getenv("GITHUB_REPOSITORY")
	if server == "" || name == "" {
		r.fault("meta-path", "", `the file has no "url", and the runner names no repository`, `set "url" to the https address of the repository`)
		return ""
	}
	return server + "/" + name
}

// defaultRef is what is built when the input says nothing: main, as the stock action does it, except that what is
// published, and what is asked for by the workflow's own identity, is the commit that the workflow runs for.
func (s *step) defaultRef(in inputs) string {
	commit := s.env.Getenv("GITHUB_SHA")
	if commit == "" || !s.isOwn(in.repo) || (in.version.IsZero() && in.keyID != "") {
		return "main"
	}
	return commit
}

// isOwn reports whether an address is that of the repository which the workflow belongs to, on whatever host.
func (s *step) isOwn(repo string) bool {
	u, err := url.Parse(repo)
	if err != nil {
		return false
	}
	name := strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	return name != "" && strings.EqualFold(name, s.env.Getenv("GITHUB_REPOSITORY"))
}

// folderOf is the folder of meta.json within its repository: seen from the checkout that it is in, or from the
// workspace where there is no checkout.
func (s *step) folderOf(metaPath string) string {
	workspace := filepath.Clean(s.env.Getenv("GITHUB_WORKSPACE"))
	folder := filepath.Dir(s.inWorkspace(metaPath))
	inside, err := filepath.Rel(workspace, folder)
	if err != nil || !filepath.IsLocal(inside) {
		return "."
	}
	for top := folder; top != workspace; top = filepath.Dir(top) {
		if _, err := os.Stat(filepath.Join(top, ".git")); err == nil {
			inside, _ = filepath.Rel(top, folder) // both are clean and absolute, or both are not
			break
		}
	}
	return path.Clean(filepath.ToSlash(inside))
}
