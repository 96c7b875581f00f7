package githubtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// CheckRun is a check run as it stands, with every change to it.
type CheckRun struct {
	ID          int64            `json:"id"`
	Name        string           `json:"name"`
	HeadSHA     string           `json:"head_sha"`
	ExternalID  string           `json:"external_id"`
	DetailsURL  string           `json:"details_url"`
	Status      string           `json:"status"`
	Conclusion  string           `json:"conclusion,omitempty"`
	StartedAt   string           `json:"started_at,omitempty"`
	CompletedAt string           `json:"completed_at,omitempty"`
	Output      CheckOutput      `json:"output"`
	Actions     []map[string]any `json:"actions,omitempty"`
	// Annotations are all that were sent, in order.
	Annotations []Annotation `json:"-"`
	// History is the status, or the conclusion of a completed run, after each call.
	History []string `json:"-"`
	// Titles are those of the output after each call.
	Titles []string `json:"-"`

	repo *Repo
}

// CheckOutput is what a check run shows.
type CheckOutput struct {
	Title       string       `json:"title"`
	Summary     string       `json:"summary"`
	Text        string       `json:"text,omitempty"`
	Annotations []Annotation `json:"annotations,omitempty"`
}

// Annotation is a remark on lines of a file.
type Annotation struct {
	Path      string `json:"path"`
	StartLine int    `json:"start_line"`
	EndLine   int    `json:"end_line"`
	Level     string `json:"annotation_level"`
	Message   string `json:"message"`
	Title     string `json:"title,omitempty"`
}

// annotationsAtOnce is how many annotations GitHub takes with one call.
// Source: GitHub's documentation of the checks API.
const annotationsAtOnce = 50

// CheckRuns lists the check runs of a repository in the order in which they were made, as they stand now.
func (s *Server) CheckRuns(repo *Repo) []CheckRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []CheckRun
	for _, c := range s.checks {
		if c.repo == repo {
			now := *c
			now.History, now.Titles, now.Annotations = slices.Clone(c.History), slices.Clone(c.Titles), slices.Clone(c.Annotations)
			list = append(list, now)
		}
	}
	slices.SortFunc(list, func(a, b CheckRun) int { return int(a.ID - b.ID) })
	return list
}

// Rerun presses "Re-run" beside a check run.
func (s *Server) Rerun(id int64) {
	s.mu.Lock()
	c := s.checks[id]
	run := map[string]any{"id": c.ID, "name": c.Name, "head_sha": c.HeadSHA, "external_id": c.ExternalID, "app": map[string]any{"id": s.App.ID}}
	s.mu.Unlock()
	s.Send("check_run", c.repo.event(map[string]any{"action": "rerequested", "check_run": run}))
}

// RerunAll presses "Re-run all checks" of a commit.
func (s *Server) RerunAll(repo *Repo, commit string) {
	s.Send("check_suite", repo.event(map[string]any{
		"action": "rerequested", "check_suite": map[string]any{"id": 1, "head_sha": commit, "app": map[string]any{"id": s.App.ID}},
	}))
}

func (s *Server) checkRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /repos/{owner}/{name}/check-runs", func(w http.ResponseWriter, r *http.Request) { s.writeCheck(w, r, 0) })
	mux.HandleFunc("PATCH /repos/{owner}/{name}/check-runs/{id}", func(w http.ResponseWriter, r *http.Request) { s.writeCheck(w, r, pathID(r)) })
}

func (s *Server) writeCheck(w http.ResponseWriter, r *http.Request, id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	repo := s.repos[repoKey(r.PathValue("owner"), r.PathValue("name"))]
	if repo == nil {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	if t, status := s.may(r, repoKey(repo.Owner, repo.Name), "checks", "write"); t == nil {
		problem(w, status, "Resource not accessible by integration")
		return
	}
	c := s.checks[id]
	if id != 0 && (c == nil || c.repo != repo) {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	next := CheckRun{repo: repo, Status: "queued"}
	if c != nil {
		next = *c
	}
	if err := json.NewDecoder(r.Body).Decode(&next); err != nil {
		problem(w, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	if complaint := s.wrongCheck(&next); complaint != "" {
		problem(w, http.StatusUnprocessableEntity, "Invalid request.\n\n%s", complaint)
		return
	}
	if c == nil {
		next.ID = s.id()
	}
	next.Annotations = append(next.Annotations, next.Output.Annotations...)
	next.Output.Annotations = nil
	state := next.Status
	if state == "completed" {
		state = next.Conclusion
	}
	next.History, next.Titles = append(next.History, state), append(next.Titles, next.Output.Title)
	s.checks[next.ID] = &next
	status := http.StatusOK
	if c == nil {
		status = http.StatusCreated
	}
	answer(w, status, next)
}

// wrongCheck is GitHub's complaint about a check run; s.mu is held.
func (s *Server) wrongCheck(c *CheckRun) string {
	if c.Conclusion != "" {
		c.Status = "completed"
	}
	_, err := s.gitIn(c.repo.Git.Bare, "cat-file", "-e", c.HeadSHA+"^{commit}")
	conclusions := []string{"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}
	const most = 65535 // characters of a summary or text
	switch {
	case c.Name == "":
		return `"name" wasn't supplied.`
	case err != nil:
		return "No commit found for SHA: " + c.HeadSHA
	case !slices.Contains([]string{"queued", "in_progress", "completed"}, c.Status):
		return c.Status + " is not a valid status."
	case c.Status == "completed" && !slices.Contains(conclusions, c.Conclusion):
		return "a completed check run needs a conclusion, not " + c.Conclusion
	case len(c.Output.Annotations) > annotationsAtOnce:
		return "no more than 50 annotations are allowed at once"
	case len(c.Output.Summary) > most || len(c.Output.Text) > most:
		return "summary or text is too long"
	case c.Output.Title == "" && c.Output.Summary != "":
		return `"title" wasn't supplied.`
	}
	for _, a := range c.Output.Annotations {
		if a.Path == "" || strings.HasPrefix(a.Path, "/") || a.StartLine < 1 || a.EndLine < a.StartLine || a.Message == "" ||
			!slices.Contains([]string{"notice", "warning", "failure"}, a.Level) {
			return "an annotation is not valid: " + a.Path
		}
	}
	return ""
}

func (s *Server) listChecks(w http.ResponseWriter, r *http.Request, repo *Repo, ref string) {
	list := []CheckRun{}
	for _, c := range s.CheckRuns(repo) {
		if c.HeadSHA == ref {
			list = append(list, c)
		}
	}
	from, to := page(w, r, len(list))
	answer(w, http.StatusOK, map[string]any{"total_count": len(list), "check_runs": list[from:to]})
}
