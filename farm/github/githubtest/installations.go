package githubtest

import (
	"net/http"
	"slices"
	"strings"
)

// Install installs the App on an account, for all its repositories when none is named, tells the webhook, and returns
// the installation's id.
func (s *Server) Install(account string, repos ...string) int64 {
	s.mu.Lock()
	in := &installation{id: s.id(), account: account, all: len(repos) == 0}
	for _, name := range repos {
		in.repos = append(in.repos, repoKey(account, name))
	}
	s.installations[in.id] = in
	payload := map[string]any{"action": "created", "installation": describe(in), "repositories": s.short(in)}
	s.mu.Unlock()
	s.Send("installation", payload)
	return in.id
}

// Uninstall removes an installation and tells the webhook; its tokens are worth nothing from now on.
func (s *Server) Uninstall(id int64) {
	s.mu.Lock()
	in := s.installations[id]
	delete(s.installations, id)
	s.mu.Unlock()
	s.Send("installation", map[string]any{"action": "deleted", "installation": describe(in)})
}

// Suspend keeps an installation from everything, or lets it go on, and tells the webhook.
func (s *Server) Suspend(id int64, suspended bool) {
	s.mu.Lock()
	in := s.installations[id]
	in.suspended = suspended
	payload := map[string]any{"action": "unsuspend", "installation": describe(in)}
	s.mu.Unlock()
	if suspended {
		payload["action"] = "suspend"
	}
	s.Send("installation", payload)
}

// AddRepositories adds repositories of the account to an installation and tells the webhook.
func (s *Server) AddRepositories(id int64, names ...string) {
	s.mu.Lock()
	in := s.installations[id]
	before := len(in.repos)
	for _, name := range names {
		in.repos = append(in.repos, repoKey(in.account, name))
	}
	added := s.shortOf(in.repos[before:])
	s.mu.Unlock()
	s.Send("installation_repositories", map[string]any{
		"action": "added", "installation": describe(in), "repositories_added": added, "repositories_removed": []any{},
	})
}

func describe(in *installation) map[string]any {
	selection := "selected"
	if in.all {
		selection = "all"
	}
	var since any
	if in.suspended {
		since = "2026-01-02T03:04:05Z"
	}
	return map[string]any{
		"id": in.id, "suspended_at": since, "account": map[string]any{"login": in.account, "id": 1, "type": "Organization"}, "repository_selection": selection,
		"permissions": map[string]string{"contents": "read", "checks": "write", "metadata": "read"},
	}
}

// short lists an installation's repositories as webhooks do; s.mu is held.
func (s *Server) short(in *installation) []map[string]any {
	var keys []string
	for key := range s.repos {
		if s.covers(in, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return s.shortOf(keys)
}

func (s *Server) shortOf(keys []string) []map[string]any {
	list := []map[string]any{}
	for _, key := range keys {
		if repo := s.repos[key]; repo != nil {
			list = append(list, map[string]any{"id": repo.ID, "name": repo.Name, "full_name": repo.FullName(), "private": repo.Private})
		}
	}
	return list
}

func (s *Server) listInstallations(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []map[string]any{}
	for _, in := range s.installations {
		list = append(list, describe(in))
	}
	answer(w, http.StatusOK, list)
}

func (s *Server) getInstallation(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.installations[pathID(r)]
	if in == nil {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	answer(w, http.StatusOK, describe(in))
}

func (s *Server) installationOf(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := repoKey(r.PathValue("owner"), r.PathValue("name"))
	for _, in := range s.installations {
		if s.repos[key] != nil && s.covers(in, key) {
			answer(w, http.StatusOK, describe(in))
			return
		}
	}
	problem(w, http.StatusNotFound, "Not Found")
}

func (s *Server) installedRepositories(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, status := s.may(r, "", "metadata", "read")
	if t == nil {
		problem(w, status, "Bad credentials")
		return
	}
	var list []map[string]any
	for key, repo := range s.repos {
		if s.covers(s.installations[t.installation], key) && (t.repos == nil || slices.Contains(t.repos, key)) {
			list = append(list, repo.describe(s.URL))
		}
	}
	slices.SortFunc(list, func(a, b map[string]any) int {
		return strings.Compare(a["full_name"].(string), b["full_name"].(string))
	})
	from, to := page(w, r, len(list))
	answer(w, http.StatusOK, map[string]any{"total_count": len(list), "repositories": append([]map[string]any{}, list[from:to]...)})
}
