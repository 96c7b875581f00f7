package github

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	gh "github.com/google/go-github/v60/github"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/problems"
)

const (
	// checkEvery is how often the job of a check is looked at: what changes meanwhile is told together.
	checkEvery = 3 * time.Second
	// annotationsAtOnce is how many annotations GitHub takes with one call. Source: GitHub's documentation of checks.
	annotationsAtOnce = 50
	// maxAnnotations bounds them for one check.
	maxAnnotations = 150
	// longestSummary is in characters; GitHub takes 65,535. Source: the same.
	longestSummary = 60_000
	// logRead bounds how much of a log is searched for compiler errors: its last part.
	logRead = 4 << 20
)

// told is what a check run says of a job.
type told struct {
	Status, Conclusion, Title, Summary string
	Started, Completed                 time.Time
}

// digest tells whether something new is to be said.
func (t told) digest() string {
	text, _ := json.Marshal(t) // plain fields
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// updateChecks tells GitHub how jobs stand.
func (g *GitHub) updateChecks(ctx context.Context) error {
	for {
		list, err := g.Store.DueChecks(ctx, g.now(), batch)
		if err != nil {
			return err
		}
		if err := side(ctx, list, g.updateCheck); err != nil {
			return err
		}
		if len(list) < batch {
			return nil
		}
	}
}

func (g *GitHub) updateCheck(ctx context.Context, c Check) error {
	next, err := g.tell(ctx, c)
	switch {
	case err == nil:
		next.NextAt, next.Tries = g.now().Add(checkEvery), 0
	case ctx.Err() != nil:
		return ctx.Err()
	case final(err):
		next.Done = true
		g.Log.WarnContext(ctx, "github check given up", "job", c.JobID, "error", err)
	default:
		next.NextAt = retryAt(err, c.Tries, g.now())
		if !limited(err) {
			next.Tries++
		}
		g.Log.WarnContext(ctx, "github check later", "job", c.JobID, "until", next.NextAt, "error", err)
	}
	return g.Store.SaveCheck(ctx, next)
}

// tell brings one check run up to date.
func (g *GitHub) tell(ctx context.Context, c Check) (Check, error) {
	build, err := g.Builds.Build(ctx, c.BuildID)
	if err != nil {
		return c, err
	}
	i := slices.IndexFunc(build.Jobs, func(j farm.Job) bool { return j.ID == c.JobID })
	if i < 0 {
		return c, fmt.Errorf("%w: the build %s has no job %s", module.ErrNotFound, c.BuildID, c.JobID)
	}
	job := build.Jobs[i]
	what := describe(build, job)
	if what.digest() == c.Told {
		return c, nil
	}
	repo, err := g.known(ctx, c.RepoID)
	if err != nil {
		return c, err
	}
	api, err := g.on(ctx, repo.InstallationID)
	if err != nil {
		return c, err
	}
	var notes []*gh.CheckRunAnnotation
	if job.State == farm.Failed {
		if notes, err = g.annotations(ctx, build, job); err != nil {
			return c, err
		}
	}
	if c.RunID, err = g.send(ctx, api, repo, build, job, c, what, notes); err != nil {
		return c, err
	}
	c.Told, c.Done = what.digest(), job.State.Terminal()
	return c, nil
}

// send makes or changes the check run; annotations that do not fit into one call follow in others.
func (g *GitHub) send(ctx context.Context, api *gh.Client, repo Repository, build farm.Build, job farm.Job, c Check, what told,
	notes []*gh.CheckRunAnnotation,
) (id int64, err error) {
	owner, name := splitName(repo.FullName)
	title := "modfarm / " + build.Module.Name + " / " + job.Platform.String()
	link := g.logLink(job.ID)
	for first := true; first || len(notes) > 0; first = false {
		n := min(len(notes), annotationsAtOnce)
		output := &gh.CheckRunOutput{Title: &what.Title, Summary: &what.Summary, Annotations: notes[:n]}
		notes = notes[n:]
		call, cancel := context.WithTimeout(ctx, callTimeout)
		if c.RunID == 0 {
			run, _, cerr := api.Checks.CreateCheckRun(call, owner, name, gh.CreateCheckRunOptions{
				Name: title, HeadSHA: c.Commit, ExternalID: &job.ID, DetailsURL: &link, Output: output,
				Status: optional(what.Status), Conclusion: optional(what.Conclusion), StartedAt: stamp(what.Started), CompletedAt: stamp(what.Completed),
			})
			c.RunID, err = run.GetID(), cerr
		} else {
			_, _, err = api.Checks.UpdateCheckRun(call, owner, name, c.RunID, gh.UpdateCheckRunOptions{
				Name: title, ExternalID: &job.ID, DetailsURL: &link, Output: output,
				Status: optional(what.Status), Conclusion: optional(what.Conclusion), CompletedAt: stamp(what.Completed),
			})
		}
		cancel()
		if err != nil {
			return c.RunID, g.trouble(err, repo.InstallationID, "tell the check of "+job.Platform.String()+" on "+repo.FullName)
		}
	}
	return c.RunID, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func stamp(t time.Time) *gh.Timestamp {
	if t.IsZero() {
		return nil
	}
	return &gh.Timestamp{Time: t}
}

// describe is what a check run says of a job now.
func describe(b farm.Build, j farm.Job) told {
	t := told{Status: "queued", Title: "Waiting", Started: j.StartedAt}
	switch {
	case j.State == farm.Queued, j.State == farm.Resolving:
		t.Title = "Waiting for a worker"
		if j.State == farm.Resolving {
			t.Title = "Reading the commit"
		}
	case !j.State.Terminal():
		t.Status, t.Title = "in_progress", stepTitle(j)
	default:
		t.Status, t.Completed = "completed", j.EndedAt
		t.Conclusion, t.Title = conclusion(j)
	}
	t.Summary = summary(b, j)
	return t
}

func stepTitle(j farm.Job) string {
	switch {
	case j.State == farm.Publishing:
		return "Publishing"
	case j.State == farm.Waiting:
		return "Built; waiting for the other platforms"
	case j.Step == "":
		return "Running"
	}
	return "Running: " + j.Step
}

func conclusion(j farm.Job) (conclusion, title string) {
	took := ""
	if !j.StartedAt.IsZero() {
		took = " in " + j.EndedAt.Sub(j.StartedAt).Round(time.Second).String()
	}
	switch j.State {
	case farm.Published:
		return "success", "Published" + took
	case farm.Built:
		return "success", "Built" + took
	case farm.Cancelled:
		return "cancelled", "Cancelled"
	case farm.Refused:
		return "failure", "Refused"
	}
	return "failure", "Failed" + took
}

// summary is Markdown: the reason first, then what was made.
func summary(b farm.Build, j farm.Job) string {
	var s strings.Builder
	if j.Reason != "" {
		fmt.Fprintf(&s, "%s\n\n", escapeMarkdown(j.Reason))
	}
	fmt.Fprintf(&s, "| | |\n|---|---|\n| Module | `%s` %s |\n| Platform | %s |\n", b.Module, b.Version, j.Platform)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&s, "| %s | %s |\n", name, strings.ReplaceAll(escapeMarkdown(value), "|", `\|`))
		}
	}
	row("Strategy", string(j.Strategy))
	if j.FallbackFrom != "" {
		row("After", string(j.FallbackFrom)+" did not work")
	}
	row("Worker", j.Worker)
	if !j.StartedAt.IsZero() {
		row("Started", j.StartedAt.UTC().Format("15:04:05 UTC"))
	}
	if r := j.Release; r != nil && j.State.Done() {
		row("Size", units.HumanSize(float64(r.Size)))
		row("SHA-256", r.SHA256)
		for _, w := range r.Warnings {
			row("Warning", w)
		}
	}
	if j.Attempt > 1 {
		row("Attempt", fmt.Sprint(j.Attempt))
	}
	return cut(s.String(), longestSummary)
}

// cut shortens text at a character's border.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// escapeMarkdown keeps the words of scripts from being links, pictures or mentions.
func escapeMarkdown(s string) string {
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", "[", `\[`, "]", `\]`, "!", `\!`, "@", "@\u200b", "`", "'", "\n", " ").Replace(s)
}

// annotations are the compiler errors in the last part of a job's log.
func (g *GitHub) annotations(ctx context.Context, b farm.Build, j farm.Job) ([]*gh.CheckRunAnnotation, error) {
	found := problems.New(b.Workdir)
	for offset := max(0, j.LogSize-logRead); offset < j.LogSize; {
		chunks, err := g.Builds.ReadLog(ctx, j.ID, offset, 0)
		if err != nil {
			return nil, err
		}
		if len(chunks) == 0 {
			break
		}
		for _, c := range chunks {
			_, _ = found.Write(c.Data) // never fails
			offset = c.Offset + int64(len(c.Data))
		}
	}
	var list []*gh.CheckRunAnnotation
	for _, p := range found.Problems() {
		if len(list) == maxAnnotations {
			break
		}
		level := "failure"
		if p.Warning {
			level = "warning"
		}
		list = append(list, &gh.CheckRunAnnotation{
			Path: &p.Path, StartLine: &p.Line, EndLine: &p.Line, AnnotationLevel: &level, Message: &p.Message,
			Title: new(j.Platform.String()),
		})
	}
	return list, nil
}

// rerun builds the jobs of checks again, and lets the ledger look at their tags.
func (g *GitHub) rerun(ctx context.Context, checks []Check) (string, error) {
	if len(checks) == 0 {
		return "no job of this farm", nil
	}
	again := 0
	var faults []error
	for _, c := range checks {
		job, err := g.retry(ctx, c)
		if errors.Is(err, module.ErrConflict) {
			continue // it is under way, or it succeeded
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		again++
		g.Log.InfoContext(ctx, "github re-run", "job", job)
	}
	if err := errors.Join(faults...); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d jobs are built again", again, len(checks)), nil
}

func (g *GitHub) retry(ctx context.Context, c Check) (job string, err error) {
	build, err := g.Builds.Build(ctx, c.BuildID)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(build.Jobs, func(j farm.Job) bool { return j.ID == c.JobID })
	if i < 0 {
		return "", fmt.Errorf("%w: the build %s has no job %s", module.ErrNotFound, c.BuildID, c.JobID)
	}
	if _, err := g.Builds.Retry(ctx, farm.Retry{BuildID: c.BuildID, Platform: build.Jobs[i].Platform, RequestedBy: "a re-run at GitHub"}); err != nil {
		return "", err
	}
	// A run that was asked for again is a new one at GitHub, under the same name.
	c.RunID, c.Told, c.Done, c.NextAt, c.Tries = 0, "", false, g.now(), 0
	if err := g.Store.SaveCheck(ctx, c); err != nil {
		return "", err
	}
	g.hurry(loopChecks)
	tags, err := g.Store.Tags(ctx, TagFilter{RepoID: c.RepoID, Limit: -1})
	if err != nil {
		return "", err
	}
	for _, t := range tags {
		if t.Commit == c.Commit && len(t.Builds) > 0 {
			err = errors.Join(err, g.Store.UpdateTag(ctx, t.RepoID, t.Name, func(t *Tag) error {
				t.State, t.Reason, t.NextAt = TagWaiting, "its builds are under way", g.now()
				return nil
			}))
		}
	}
	g.hurry(loopTags)
	return c.JobID, err
}
