package workers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	"github.com/modfarm/modfarm/module/source"
)

// Causes of a job's context.
var (
	errCancelled = errors.New("the job was cancelled")
	errDraining  = errors.New("the worker stops")
)

// verdict is an error that says how the job ends.
type verdict struct {
	kind   client.OutcomeKind
	reason string
}

func (v *verdict) Error() string { return v.reason }

// failed is the module's own fault.
func failed(format string, args ...any) error {
	return &verdict{client.OutcomeFailed, fmt.Sprintf(format, args...)}
}

// uncrossable says that cross-building was tried and showed that it cannot work. It is the only error that leads
// to another strategy.
type uncrossable struct{ because string }

func (u *uncrossable) Error() string { return u.because }

// outcomeOf turns the end of a job into what the farm is told.
func outcomeOf(err error, strategy module.Strategy) client.Outcome {
	out := client.Outcome{Kind: client.OutcomeFault, Strategy: strategy}
	var v *verdict
	var u *uncrossable
	var repo *source.Error
	var refused *archive.Refused
	var exceeded *Exceeded
	switch {
	case err == nil:
		out.Kind = client.OutcomeDone
		return out
	case errors.Is(err, errDraining), errors.Is(err, errCancelled): // the farm knows which jobs it cancelled
		out.Kind = client.OutcomeReturned
	case errors.As(err, &v):
		out.Kind = v.kind
	case errors.As(err, &exceeded):
		out.Kind = client.OutcomeFailed
	case errors.As(err, &u):
		out.Kind, out.Strategy = client.OutcomeFallback, module.StrategyCross
	case errors.As(err, &refused):
		out.Kind = client.OutcomeRefused
	case errors.As(err, &repo):
		out.Kind = kindOfRepository(repo)
	case errors.Is(err, module.ErrInvalid), errors.Is(err, module.ErrConflict):
		out.Kind = client.OutcomeRefused
	}
	out.Reason = sentence(err)
	return out
}

func kindOfRepository(e *source.Error) client.OutcomeKind {
	switch e.Kind {
	case source.Unreachable:
		return client.OutcomeFault
	case source.Refused:
		return client.OutcomeRefused
	default:
		return client.OutcomeFailed
	}
}

// sentence is an error in one line, without this package's own prefixes.
func sentence(err error) string {
	text := strings.TrimPrefix(err.Error(), module.ErrUnavailable.Error()+": ")
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}

// causeOf prefers the reason why a context ended over the error that this made of some call.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
