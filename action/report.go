package action

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// The values of the output `status`.
const (
	statusStarted   = "started"   // with wait: false
	statusPublished = "published" // every platform is in the registry
	statusBuilt     = "built"     // every platform was built, and there was no version to publish
	statusFailed    = "failed"    // a platform failed or was refused
	statusCancelled = "cancelled" // the workflow, or somebody else, ended the build
)

// result is what the outputs say.
type result struct {
	Status, Version string
	Artifacts       []artifact
}

// artifact is one element of the output `artifacts`: a platform of the build, published or not.
type artifact struct {
	Platform string   `json:"platform"`
	Status   string   `json:"status"`
	Strategy string   `json:"strategy,omitempty"`
	Size     int64    `json:"size,omitempty"`
	SHA256   string   `json:"sha256,omitempty"`
	Seconds  float64  `json:"seconds"`
	Reason   string   `json:"reason,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func resultOf(build client.Build, asked module.Version) result {
	r := result{Status: overall(build), Version: asked.String()}
	for _, job := range build.Jobs {
		r.Artifacts = append(r.Artifacts, artifactOf(job))
	}
	return r
}

func overall(build client.Build) string {
	some := func(states ...client.JobState) bool {
		return slices.ContainsFunc(build.Jobs, func(j client.Job) bool { return slices.Contains(states, j.State) })
	}
	switch {
	case build.OK() && some(client.JobPublished):
		return statusPublished
	case build.OK():
		return statusBuilt
	case some(client.JobFailed, client.JobRefused):
		return statusFailed
	case some(client.JobCancelled):
		return statusCancelled
	default:
		return statusFailed
	}
}

func artifactOf(job client.Job) artifact {
	a := artifact{Platform: job.Platform.String(), Status: string(job.State), Strategy: string(job.Strategy)}
	if !job.StartedAt.IsZero() && !job.EndedAt.IsZero() {
		a.Seconds = float64(job.EndedAt.Sub(job.StartedAt).Milliseconds()) / 1000
	}
	if !job.OK() {
		a.Reason = job.Reason
	}
	if job.Release != nil {
		a.Size, a.SHA256, a.Warnings = job.Release.Size, job.Release.SHA256, job.Release.Warnings
	}
	return a
}

// report writes the outputs.
func (s *step) report(r result) {
	if r.Artifacts == nil {
		r.Artifacts = []artifact{}
	}
	artifacts, _ := json.Marshal(r.Artifacts) // texts, numbers and lists of them cannot fail
	s.setOutput("version", r.Version)
	s.setOutput("status", r.Status)
	s.setOutput("artifacts", s.redact(string(artifacts)))
}

// setOutput is nothing outside a runner, which names the file for outputs.
func (s *step) setOutput(name, value string) {
	if s.env.Getenv("GITHUB_OUTPUT") != "" {
		s.gh.SetOutput(name, value)
	}
}

// fail shows an error as annotations, each fault of meta.json at its line, and returns it.
func (s *step) fail(err error) error {
	if wrong, ok := errors.AsType[*inputError](err); ok {
		for _, fault := range wrong.inputs {
			s.gh.Errorf("%s", s.redact(fault.String()))
		}
		for _, fault := range wrong.manifest {
			place, text := placed(wrong.metaPath, fault)
			s.gh.WithFieldsMap(place).Errorf("%s", s.redact(text))
		}
	} else {
		s.gh.Errorf("%s", s.redact(err.Error()))
	}
	return safeError{err: err, text: harmless(s.redact(err.Error()))}
}

// placed makes the line of a fault the line of its annotation.
func placed(path string, fault module.Fault) (place map[string]string, text string) {
	place = map[string]string{"file": path}
	if fault.Line > 0 {
		place["line"] = strconv.Itoa(fault.Line)
	}
	fault.Line = 0
	return place, fault.String()
}

// hint shows what is allowed in meta.json but probably not meant.
func (s *step) hint(metaPath string, m *module.Manifest) {
	for _, fault := range m.Hints() {
		place, text := placed(metaPath, fault)
		s.gh.WithFieldsMap(place).Warningf("%s", s.redact(text))
	}
}

// sayResult prints a line for each platform.
func (s *step) sayResult(r result) {
	for _, a := range r.Artifacts {
		text := fmt.Sprintf("%s: %s", a.Platform, a.Status)
		if a.Strategy != "" {
			text += " by " + a.Strategy
		}
		text += fmt.Sprintf(" in %.1f s", a.Seconds)
		if a.SHA256 != "" {
			text += fmt.Sprintf(", %d bytes, sha256:%s", a.Size, a.SHA256)
		}
		s.say(text)
	}
}

// say prints a line for people.
func (s *step) say(text string) {
	s.gh.Infof("%s", harmless(strings.ReplaceAll(text, "\n", " ")))
}

// mask tells the runner the secrets before anything else is printed.
func (s *step) mask() {
	for _, name := range []string{"key-value", "token"} {
		s.secret(s.gh.GetInput(name))
	}
}

// secret tells the runner a secret; each of its lines is one.
func (s *step) secret(text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			s.gh.AddMask(line)
			s.conceal(line)
		}
	}
}

// conceal keeps a secret out of what the step writes itself.
func (s *step) conceal(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, text, "***")
}

// redact takes the secrets out of what goes where the runner does not look: files and annotations.
func (s *step) redact(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.NewReplacer(s.secrets...).Replace(text)
}

// safeError is an error whose text holds neither secrets nor commands.
type safeError struct {
	err  error
	text string
}

func (e safeError) Error() string { return e.text }

func (e safeError) Unwrap() error { return e.err }
