package action

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module/problems"
)

// maxAnnotations is how many errors, and how many warnings, GitHub shows of one step.
const maxAnnotations = 10

// annotate shows each platform that did not succeed with the end of its log, then what compilers said at its line. Its
// result is the step's error.
func (s *step) annotate(build client.Build, w *watch) error {
	var failed []string
	for _, job := range build.Jobs {
		if job.OK() {
			continue
		}
		platform := job.Platform.String()
		failed = append(failed, platform)
		text := s.redact(strings.TrimSpace(w.tails[job.ID]))
		if job.Reason != "" && !strings.Contains(text, job.Reason) {
			text = strings.TrimSpace(text + "\n" + s.redact(job.Reason))
		}
		s.gh.WithFieldsMap(map[string]string{"title": platform + " " + string(job.State)}).Errorf("%s", text)
	}
	s.annotateLines(remarksOf(build, w.found), maxAnnotations-len(failed))
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrBuildFailed, strings.Join(failed, ", "))
}

// remark is what compilers said of a line, and the platforms that they said it for.
type remark struct {
	problems.Problem
	platforms []string
}

// remarksOf are the remarks of all platforms, each once. Those of a platform that was built are warnings only: a log
// may hold something that looks like an error and is none.
func remarksOf(build client.Build, found map[string]*problems.Finder) []remark {
	var remarks []remark
	at := map[problems.Problem]int{}
	for _, job := range build.Jobs {
		finder := found[job.ID]
		if finder == nil {
			continue
		}
		for _, p := range finder.Problems() {
			if job.OK() && !p.Warning {
				continue
			}
			i, known := at[p]
			if !known {
				i, at[p] = len(remarks), len(remarks)
				remarks = append(remarks, remark{Problem: p})
			}
			if name := job.Platform.String(); !slices.Contains(remarks[i].platforms, name) {
				remarks[i].platforms = append(remarks[i].platforms, name)
			}
		}
	}
	return remarks
}

// annotateLines shows remarks at their lines: so many errors, and as many warnings as GitHub shows. What is more is
// counted.
func (s *step) annotateLines(remarks []remark, errorsLeft int) {
	warningsLeft, more := maxAnnotations, 0
	for _, r := range remarks {
		at := s.gh.WithFieldsMap(map[string]string{
			"file": r.Path, "line": strconv.Itoa(r.Line), "title": strings.Join(r.platforms, ", "),
		})
		left, show := &errorsLeft, at.Errorf
		if r.Warning {
			left, show = &warningsLeft, at.Warningf
		}
		if *left <= 0 {
			more++
			continue
		}
		*left--
		show("%s", s.redact(r.Message))
	}
	if more > 0 {
		s.say(fmt.Sprintf("%d more remarks of compilers are in the logs", more))
	}
}
