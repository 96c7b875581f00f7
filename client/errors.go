package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// ErrLeaseLost means that another worker holds the job by now, or nobody: stop working on it.
var ErrLeaseLost = fmt.Errorf("the lease of the job is lost: %w", module.ErrConflict)

// Error is an answer of the farm that is not a success, or why there was no answer. It wraps the
// sentinel of package module that says what kind it is; its Faults are found with errors.As.
type Error struct {
	// Message is for people.
	Message string
	// Faults lists what is wrong with an input; may be empty.
	Faults module.Faults
	// WrongPlatform says that an archive was built for another platform.
	WrongPlatform bool
	// LogOffset is where the next log chunk must begin, when one was refused for its offset; else -1.
	LogOffset int64
	// Reference finds the error in the farm's log; empty unless the fault is the farm's own.
	Reference string
	// Answered is false when the farm could not be reached or the connection broke.
	Answered bool

	causes []error
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the sentinel, the faults and the cause, as far as there are any.
func (e *Error) Unwrap() []error { return e.causes }

// sentinel is the error of package module, or of this one, for a kind; nil when there is none.
func sentinel(k wire.Kind) error {
	switch k {
	case wire.KindInvalid:
		return module.ErrInvalid
	case wire.KindNotFound:
		return module.ErrNotFound
	case wire.KindConflict:
		return module.ErrConflict
	case wire.KindLeaseLost:
		return ErrLeaseLost
	case wire.KindUnauthorized:
		return module.ErrUnauthorized
	case wire.KindForbidden:
		return module.ErrForbidden
	case wire.KindUnavailable, wire.KindTimeout, wire.KindCanceled: // canceled by the farm, not by the caller
		return module.ErrUnavailable
	case wire.KindUnimplemented, wire.KindInternal:
		return nil
	}
	return nil
}

func (e *Error) because(errs ...error) *Error {
	for _, err := range errs {
		if err != nil {
			e.causes = append(e.causes, err)
		}
	}
	if len(e.Faults) > 0 {
		e.causes = append(e.causes, e.Faults)
	}
	return e
}

// fromRPC makes an Error of what a generated client returned; nil stays nil.
func (c *Client) fromRPC(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	ce, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return c.unreachable(ctx, err)
	}
	if !connect.IsWireError(err) && !errors.Is(err, module.ErrUnauthorized) {
		return c.unreachable(ctx, err)
	}
	e := &Error{Message: ce.Message(), LogOffset: -1, Answered: true}
	for _, d := range ce.Details() {
		v, verr := d.Value()
		if detail, ok := v.(*modfarmv1.ErrorDetail); verr == nil && ok {
			e.take(detail)
		}
	}
	return e.because(sentinel(wire.KindOfCode(ce.Code())))
}

func (e *Error) take(d *modfarmv1.ErrorDetail) {
	e.Reference = d.GetReference()
	if d.LogOffset != nil {
		e.LogOffset = d.GetLogOffset()
	}
	for _, f := range d.GetFaults() {
		e.Faults = append(e.Faults, module.Fault{
			Path: f.GetPath(), Value: f.GetValue(), Problem: f.GetProblem(), Advice: f.GetAdvice(), Line: int(f.GetLine()),
		})
	}
}

// unreachable is for calls that the farm did not answer. The caller's own cancel stays visible.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &Error{Message: context.Cause(ctx).Error(), LogOffset: -1, causes: []error{ctx.Err()}}
	}
	message := fmt.Sprintf("the farm at %s does not answer (%s); check the address and that it runs", c.base, reason(err))
	kind := module.ErrUnavailable
	if c.base.Scheme == "https" && strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		plain := *c.base
		plain.Scheme = "http"
		message = fmt.Sprintf("what answers at %s speaks http without TLS; if that is your farm, write its address as %s", c.base, &plain)
		kind = module.ErrInvalid // it does not go away by itself
	}
	return (&Error{Message: message, LogOffset: -1}).because(kind, err)
}

// reason is the innermost text worth showing.
func reason(err error) string {
	if ce, ok := errors.AsType[*connect.Error](err); ok {
		return ce.Message()
	}
	return err.Error()
}

// fromHTTP makes an Error of a plain HTTP answer that is not a success. It reads the body.
func fromHTTP(res *http.Response) error {
	const most = 1 << 20
	e := &Error{LogOffset: -1, Answered: true}
	kind := wire.KindOfStatus(res.StatusCode)
	body, err := io.ReadAll(io.LimitReader(res.Body, most))
	var f wire.Failure
	if err != nil || json.Unmarshal(body, &f) != nil || f.Error == "" {
		e.Message = fmt.Sprintf("%s %s answered %s", res.Request.Method, res.Request.URL.Redacted(), res.Status)
		return e.because(sentinel(kind))
	}
	e.Message, e.WrongPlatform, e.Reference = strings.TrimSpace(f.Error), f.WrongPlatform, f.Reference
	for _, v := range f.Faults {
		e.Faults = append(e.Faults, module.Fault{Path: v.Path, Value: v.Value, Problem: v.Problem, Advice: v.Advice, Line: v.Line})
	}
	return e.because(sentinel(kind))
}

// temporary reports whether the same request may succeed soon.
func temporary(err error) bool {
	_, ours := errors.AsType[*Error](err)
	return ours && errors.Is(err, module.ErrUnavailable)
}
