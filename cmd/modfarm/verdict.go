package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/modfarm/modfarm/client"
)

// What marks that the program worked and the build did not.
var (
	errBuildFailed    = errors.New("the build failed")
	errBuildCancelled = errors.New("the build was cancelled")
)

// leftError is an interrupt while a build was watched, which goes on.
type leftError struct{ build, flags string }

func (e leftError) Error() string {
	return fmt.Sprintf("the build goes on; follow it with: modfarm module build logs %s --wait%s; stop it with: modfarm module build cancel %s%s",
		e.build, e.flags, e.build, e.flags)
}

func (e leftError) Unwrap() error { return context.Canceled }

// verdict writes a line for each platform of a build that has ended, or one for
// several that ended for the same reason, and returns errBuildFailed or
// errBuildCancelled unless all succeeded.
func verdict(w io.Writer, build client.Build) error {
	what := build.Module.String() + phrase(" ", build.Version.String())
	type end struct {
		state  client.JobState
		reason string
	}
	var order []end
	failed := map[end][]client.Job{}
	for _, job := range build.Jobs {
		if job.OK() {
			fmt.Fprintf(w, "%s %s %s\n", job.State, what, result(job))
			continue
		}
		e := end{job.State, oneLine(job.Reason)}
		if failed[e] == nil {
			order = append(order, e)
		}
		failed[e] = append(failed[e], job)
	}
	for _, e := range order {
		fmt.Fprintf(w, "%s %s %s: %s\n", e.state, what, platformsOf(failed[e]), cmp.Or(e.reason, "the farm gave no reason"))
	}
	switch {
	case len(order) == 0:
		return nil
	case slices.ContainsFunc(order, func(e end) bool { return e.state != client.JobCancelled }):
		return errBuildFailed
	}
	return errBuildCancelled
}

// result is what came of a platform: how, how big, and how long it took.
func result(job client.Job) string {
	text := job.Platform.String() + phrase(" ", string(job.Strategy))
	if job.Release != nil {
		text += fmt.Sprintf(" %d bytes sha256:%s", job.Release.Size, job.Release.SHA256)
	}
	if !job.StartedAt.IsZero() && !job.EndedAt.IsZero() {
		text += " " + job.EndedAt.Sub(job.StartedAt).Round(time.Second).String()
	}
	return text
}
