package action

import (
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/client"
)

// summarize adds the build to the job's summary page.
func (s *step) summarize(build client.Build, r result) {
	if s.env.Getenv("GITHUB_STEP_SUMMARY") != "" {
		s.gh.AddStepSummary(s.redact(summaryOf(build, r)))
	}
}

// summarizeStarted says on the summary page where a build goes on that the step does not wait for.
func (s *step) summarizeStarted(in inputs, id, look string) {
	if s.env.Getenv("GITHUB_STEP_SUMMARY") == "" {
		return
	}
	s.gh.AddStepSummary(s.redact(fmt.Sprintf("### %s %s: %s\n\nBuild `%s` goes on without this step:\n\n```sh\n%s\n```\n",
		cell(in.manifest.ID.String()), cell(versionText(in.version)), statusStarted, id, look)))
}

func summaryOf(build client.Build, r result) string {
	var b strings.Builder
	version := r.Version
	if version == "" {
		version = "(not published)"
	}
	fmt.Fprintf(&b, "### %s %s: %s\n\n", cell(build.Module.String()), cell(version), r.Status)
	b.WriteString("| platform | status | strategy | size | digest | seconds |\n|---|---|---|---:|---|---:|\n")
	for i, a := range r.Artifacts {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.1f |\n",
			a.Platform, cell(a.Status), cell(strategyText(build.Jobs[i])), sizeText(a.Size), digestText(a.SHA256), a.Seconds)
	}
	for _, a := range r.Artifacts {
		if a.Reason != "" {
			fmt.Fprintf(&b, "\n**%s %s:** %s\n", a.Platform, cell(a.Status), cell(a.Reason))
		}
		for _, warning := range a.Warnings {
			fmt.Fprintf(&b, "\n%s warning: %s\n", a.Platform, cell(warning))
		}
	}
	fmt.Fprintf(&b, "\nBuild `%s`", build.ID)
	if build.Commit != "" {
		fmt.Fprintf(&b, " of commit `%s`", build.Commit)
	}
	b.WriteString("\n")
	return b.String()
}

func strategyText(job client.Job) string {
	if job.FallbackFrom != "" {
		return fmt.Sprintf("%s (%s did not work)", job.Strategy, job.FallbackFrom)
	}
	return string(job.Strategy)
}

func sizeText(bytes int64) string {
	switch {
	case bytes == 0:
		return ""
	case bytes < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	case bytes < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	default:
		return fmt.Sprintf("%.2f GB", float64(bytes)/1e9)
	}
}

func digestText(sha256 string) string {
	if sha256 == "" {
		return ""
	}
	return "`sha256:" + sha256 + "`"
}

// cell makes text plain within Markdown, on one line.
func cell(text string) string {
	return strings.NewReplacer("\r", "", "\n", " ", "|", `\|`, "`", "\\`", "*", `\*`, "[", `\[`, "<", "&lt;", "&", "&amp;").Replace(text)
}
