package githubtest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

func (s *Server) repositoryRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /repos/{owner}/{name}", s.onRepo("metadata", func(w http.ResponseWriter, _ *http.Request, repo *Repo) {
		answer(w, http.StatusOK, repo.describe(s.URL))
	}))
	mux.HandleFunc("GET /repos/{owner}/{name}/contents/{path...}", s.onRepo("contents", s.contents))
	mux.HandleFunc("GET /repos/{owner}/{name}/commits/{ref...}", s.onRepo("contents", s.commit))
	mux.HandleFunc("GET /repos/{owner}/{name}/tags", s.onRepo("contents", s.tags))
	mux.HandleFunc("GET /repos/{owner}/{name}/git/matching-refs/{ref...}", s.onRepo("contents", s.matchingRefs))
	mux.HandleFunc("GET /repos/{owner}/{name}/git/ref/{ref...}", s.onRepo("contents", s.ref))
	mux.HandleFunc("GET /repos/{owner}/{name}/git/tags/{sha}", s.onRepo("contents", s.tagObject))
	mux.HandleFunc("GET /repos/{owner}/{name}/git/trees/{sha}", s.onRepo("contents", s.tree))
	mux.HandleFunc("GET /repositories/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for key, repo := range s.repos {
			if repo.ID != pathID(r) || key != repoKey(repo.Owner, repo.Name) {
				continue
			}
			if t, status := s.may(r, key, "metadata", "read"); t == nil {
				problem(w, status, "Not Found")
				return
			}
			answer(w, http.StatusOK, repo.describe(s.URL))
			return
		}
		problem(w, http.StatusNotFound, "Not Found")
	})
}

// onRepo finds the repository and checks the token's permission to read.
func (s *Server) onRepo(permission string, next func(http.ResponseWriter, *http.Request, *Repo)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		repo := s.repos[repoKey(r.PathValue("owner"), r.PathValue("name"))]
		var t *installationToken
		status := http.StatusNotFound
		if repo != nil {
			t, status = s.may(r, repoKey(repo.Owner, repo.Name), permission, "read")
		}
		s.mu.Unlock()
		switch {
		case status == http.StatusUnauthorized:
			problem(w, status, "Bad credentials")
		case status == http.StatusForbidden:
			problem(w, status, "Resource not accessible by integration")
		case t == nil:
			problem(w, http.StatusNotFound, "Not Found")
		default:
			next(w, r, repo)
		}
	}
}

func (s *Server) contents(w http.ResponseWriter, r *http.Request, repo *Repo) {
	ref := r.URL.Query().Get("ref")
	if ref == "" {
		ref = "main"
	}
	name := path.Clean(r.PathValue("path"))
	kind, err := s.gitIn(repo.Git.Bare, "cat-file", "-t", ref+":"+strings.TrimPrefix(name, "."))
	if err != nil {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	if strings.TrimSpace(kind) == "tree" {
		out, err := s.gitIn(repo.Git.Bare, "ls-tree", "--format=%(objecttype) %(path)", ref+":"+strings.TrimPrefix(name, "."))
		if err != nil {
			problem(w, http.StatusNotFound, "Not Found")
			return
		}
		list := []map[string]any{}
		for line := range strings.Lines(out) {
			kind, file, _ := strings.Cut(strings.TrimSpace(line), " ")
			list = append(list, map[string]any{"type": map[string]string{"blob": "file", "tree": "dir"}[kind], "name": file, "path": path.Join(name, file)})
		}
		answer(w, http.StatusOK, list)
		return
	}
	text, err := s.gitIn(repo.Git.Bare, "cat-file", "blob", ref+":"+name)
	if err != nil {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"type": "file", "encoding": "base64", "size": len(text), "name": path.Base(name), "path": name,
		"content": base64.StdEncoding.EncodeToString([]byte(text)),
	})
}

func (s *Server) commit(w http.ResponseWriter, r *http.Request, repo *Repo) {
	if ref, ok := strings.CutSuffix(r.PathValue("ref"), "/check-runs"); ok {
		s.listChecks(w, r, repo, ref)
		return
	}
	out, err := s.gitIn(repo.Git.Bare, "rev-parse", "--verify", r.PathValue("ref")+"^{commit}")
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, "No commit found for SHA: %s", r.PathValue("ref"))
		return
	}
	answer(w, http.StatusOK, map[string]any{"sha": strings.TrimSpace(out)})
}

type tagRef struct{ name, object, kind, commit string }

func (s *Server) tagRefs(repo *Repo, prefix string) ([]tagRef, error) {
	out, err := s.gitIn(repo.Git.Bare, "for-each-ref", "--format=%(refname) %(objectname) %(objecttype) %(*objectname)", prefix)
	var list []tagRef
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		t := tagRef{name: f[0], object: f[1], kind: f[2], commit: f[1]}
		if len(f) > 3 {
			t.commit = f[3]
		}
		list = append(list, t)
	}
	return list, err
}

func (s *Server) tags(w http.ResponseWriter, r *http.Request, repo *Repo) {
	refs, err := s.tagRefs(repo, "refs/tags")
	if err != nil {
		problem(w, http.StatusInternalServerError, "%v", err)
		return
	}
	from, to := page(w, r, len(refs))
	list := []map[string]any{}
	for _, t := range refs[from:to] {
		list = append(list, map[string]any{"name": strings.TrimPrefix(t.name, "refs/tags/"), "commit": map[string]any{"sha": t.commit}})
	}
	answer(w, http.StatusOK, list)
}

func (s *Server) matchingRefs(w http.ResponseWriter, r *http.Request, repo *Repo) {
	refs, err := s.tagRefs(repo, "refs/tags")
	if err != nil {
		problem(w, http.StatusInternalServerError, "%v", err)
		return
	}
	list := []map[string]any{}
	for _, t := range refs {
		if strings.HasPrefix(t.name, "refs/"+r.PathValue("ref")) {
			list = append(list, refJSON(t))
		}
	}
	from, to := page(w, r, len(list))
	answer(w, http.StatusOK, list[from:to])
}

func refJSON(t tagRef) map[string]any {
	return map[string]any{"ref": t.name, "object": map[string]any{"type": t.kind, "sha": t.object}}
}

func (s *Server) ref(w http.ResponseWriter, r *http.Request, repo *Repo) {
	refs, err := s.tagRefs(repo, "refs/"+r.PathValue("ref"))
	if err != nil || len(refs) != 1 || refs[0].name != "refs/"+r.PathValue("ref") {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	answer(w, http.StatusOK, refJSON(refs[0]))
}

func (s *Server) tagObject(w http.ResponseWriter, r *http.Request, repo *Repo) {
	out, err := s.gitIn(repo.Git.Bare, "rev-parse", "--verify", r.PathValue("sha")+"^{commit}")
	if err != nil {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	answer(w, http.StatusOK, map[string]any{"sha": r.PathValue("sha"), "object": map[string]any{"type": "commit", "sha": strings.TrimSpace(out)}})
}

func (s *Server) tree(w http.ResponseWriter, r *http.Request, repo *Repo) {
	args := []string{"ls-tree", "--format=%(objecttype) %(path)"}
	if r.URL.Query().Get("recursive") != "" {
		args = append(args, "-r")
	}
	out, err := s.gitIn(repo.Git.Bare, append(args, r.PathValue("sha"))...)
	if err != nil {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	entries := []map[string]any{}
	for line := range strings.Lines(out) {
		kind, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		entries = append(entries, map[string]any{"type": kind, "path": file})
	}
	answer(w, http.StatusOK, map[string]any{"sha": r.PathValue("sha"), "tree": entries, "truncated": false})
}

// page is the part of a list that was asked for, with GitHub's Link header to the next.
func page(w http.ResponseWriter, r *http.Request, n int) (from, to int) {
	number := func(name string, otherwise int) int {
		if v, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil && v > 0 {
			return v
		}
		return otherwise
	}
	size, at := min(number("per_page", 30), 100), number("page", 1)
	from = min((at-1)*size, n)
	to = min(from+size, n)
	if to < n {
		next := *r.URL
		query := next.Query()
		query.Set("page", strconv.Itoa(at+1))
		next.RawQuery = query.Encode()
		w.Header().Set("Link", fmt.Sprintf(`<http://%s/api/v3%s>; rel="next"`, r.Host, next.RequestURI()))
	}
	return from, to
}
