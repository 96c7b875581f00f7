package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Exit codes. Scripts rely on them; docs/operate.md lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitBuildFailed = 3
	exitNotFound    = 4
	exitDenied      = 5
	exitInterrupted = 130
)

// usageError marks a mistake in the command line itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// hintedError is an error with the next step, which is shown on a line of its own.
type hintedError struct {
	error
	hint string
}

func (e hintedError) Unwrap() error { return e.error }

// hinted puts the next step behind an error; nil stays nil. What a farm or a
// package says of its own faults needs no hint: module.Fault has its advice.
func hinted(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hintedError{err, fmt.Sprintf(format, args...)}
}

// exitCode is what the process says to scripts. The order matters: a build that
// failed because of a missing thing is a build that failed.
func exitCode(ctx context.Context, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errBuildFailed), errors.Is(err, errBuildCancelled):
		return exitBuildFailed
	case errors.As(err, &usage):
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, module.ErrNotFound):
		return exitNotFound
	case errors.Is(err, module.ErrUnauthorized), errors.Is(err, module.ErrForbidden):
		return exitDenied
	}
	return exitFailed
}

// errInterrupted stands for whatever an interrupt made of a command.
var errInterrupted = errors.New("interrupted")

// interrupted is the plain word for an error that an interrupt brought, unless it has more to say than that.
func interrupted(ctx context.Context, err error) error {
	var left leftError
	if exitCode(ctx, err) != exitInterrupted || errors.As(err, &left) {
		return err
	}
	return fmt.Errorf("%w: %w", errInterrupted, err)
}

// printFailure writes "error: what" and, where there is a next step, "hint: it".
// Further lines of either are indented below their first.
func printFailure(w io.Writer, err error, lookup lookupFunc) {
	what, hint := describeFailure(err)
	if errors.Is(err, errInterrupted) {
		what = errInterrupted.Error()
	}
	errorWord, hintWord := "error:", "hint:"
	if colours(w, lookup) {
		errorWord, hintWord = "\x1b[1;31merror:\x1b[0m", "\x1b[1;36mhint:\x1b[0m"
	}
	w = safeOutput(w)
	fmt.Fprintln(w, errorWord, strings.ReplaceAll(what, "\n", "\n  "))
	if hint != "" {
		fmt.Fprintln(w, hintWord, strings.ReplaceAll(hint, "\n", "\n  "))
	}
}

// describeFailure divides an error into what is wrong and what to do. The advice
// of a single fault at its end becomes the hint.
func describeFailure(err error) (what, hint string) {
	what = strings.TrimSpace(err.Error())
	// The kind of an error is for callers of an API: here the exit code tells it, and the words tell more.
	for _, kind := range []error{
		module.ErrInvalid, module.ErrNotFound, module.ErrConflict, module.ErrUnauthorized, module.ErrForbidden, module.ErrUnavailable,
	} {
		what = strings.TrimPrefix(what, kind.Error()+": ")
	}
	var h hintedError
	var fault module.Fault
	var faults module.Faults
	switch {
	case errors.As(err, &h):
		return what, h.hint
	case errors.As(err, &faults) && len(faults) == 1:
		fault = faults[0]
	case !errors.As(err, &fault):
		return what, ""
	}
	if fault.Advice == "" {
		return what, ""
	}
	if rest, found := strings.CutSuffix(what, "; "+fault.Advice); found {
		return rest, fault.Advice
	}
	return what, ""
}

// colours tells whether a stream shows colours: a terminal does, unless its user
// says no (https://no-color.org).
func colours(w io.Writer, lookup lookupFunc) bool {
	file, ok := w.(*os.File)
	if !ok || !isTerminal(file) {
		return false
	}
	no, _ := lookup("NO_COLOR")
	term, _ := lookup("TERM")
	return no == "" && term != "dumb"
}
