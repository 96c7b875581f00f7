package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// unimplemented is a method that this farm does not have.
type unimplemented string

// Error says so.
func (u unimplemented) Error() string { return string(u) + " is not something that this farm has" }

// kindOf classifies an error of any package. What it does not know is the farm's own fault.
func kindOf(ctx context.Context, err error) wire.Kind {
	var missing unimplemented
	var library *connect.Error
	switch {
	case errors.Is(err, farm.ErrLeaseLost):
		return wire.KindLeaseLost
	case errors.Is(err, module.ErrInvalid):
		return wire.KindInvalid
	case errors.Is(err, module.ErrNotFound):
		return wire.KindNotFound
	case errors.Is(err, module.ErrConflict):
		return wire.KindConflict
	case errors.Is(err, module.ErrUnauthorized):
		return wire.KindUnauthorized
	case errors.Is(err, module.ErrForbidden):
		return wire.KindForbidden
	case errors.Is(err, module.ErrUnavailable):
		return wire.KindUnavailable
	case errors.As(err, &missing):
		return wire.KindUnimplemented
	case errors.As(err, &library): // the RPC library could not read or write a message
		return wire.KindOfCode(library.Code())
	case errors.Is(ctx.Err(), context.Canceled):
		// The caller left, and reads nothing, or the farm is stopping, and the caller should try again.
		return wire.KindUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		return wire.KindTimeout
	}
	return wire.KindInternal
}

// failure is an error as it leaves the farm.
type failure struct {
	kind      wire.Kind
	text      string
	faults    module.Faults
	wrong     bool // an archive was refused because it is for another platform
	reference string
}

// fail turns an error into what may leave the farm. It is the one place that logs the farm's own faults.
func (s *server) fail(ctx context.Context, what string, err error) failure {
	f := failure{kind: kindOf(ctx, err), text: err.Error()}
	if errors.Is(err, context.Canceled) {
		f.text = "the farm stopped, or the connection broke, before this was done; try again"
	}
	if f.kind == wire.KindInternal {
		f.reference = newReference()
		f.text = fmt.Sprintf("internal error %s; ask the farm's operator to look that up in its log", f.reference)
		s.log.ErrorContext(ctx, "request failed", "request", what, "reference", f.reference, "error", err)
		return f
	}
	if refused, ok := errors.AsType[*archive.Refused](err); ok {
		f.wrong, f.faults = refused.WrongPlatform, refused.Faults
		return f
	}
	if !errors.As(err, &f.faults) {
		if one, ok := errors.AsType[module.Fault](err); ok {
			f.faults = module.Faults{one}
		}
	}
	return f
}

// rpcError makes an error of the RPC library.
func (s *server) rpcError(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	f := s.fail(ctx, what, err)
	out := connect.NewError(f.kind.Code(), errors.New(f.text))
	detail := &modfarmv1.ErrorDetail{Reference: f.reference}
	for _, v := range f.faults {
		detail.Faults = append(detail.Faults, &modfarmv1.Fault{
			Path: v.Path, Value: v.Value, Problem: v.Problem, Advice: v.Advice, Line: int32(v.Line), //nolint:gosec // a line number
		})
	}
	if gap, ok := errors.AsType[gapError](err); ok {
		detail.LogOffset = &gap.next
	}
	if f.reference == "" && len(f.faults) == 0 && detail.LogOffset == nil {
		return out
	}
	if d, derr := connect.NewErrorDetail(detail); derr == nil {
		out.AddDetail(d)
	}
	return out
}

// httpError answers a plain HTTP request.
func (s *server) httpError(w http.ResponseWriter, r *http.Request, err error) wire.Kind {
	f := s.fail(r.Context(), r.Method+" "+r.URL.Path, err)
	body := wire.Failure{Error: f.text, Code: f.kind.Code().String(), WrongPlatform: f.wrong, Reference: f.reference}
	for _, v := range f.faults {
		body.Faults = append(body.Faults, wire.Fault{Path: v.Path, Value: v.Value, Problem: v.Problem, Advice: v.Advice, Line: v.Line})
	}
	if f.kind == wire.KindUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="modfarm"`)
	}
	_ = writeJSON(w, f.kind.Status(), body) // the caller is gone when this fails
	return f.kind
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	if err != nil {
		return connect.NewError(connect.CodeCanceled, err) // only a caller that left makes this fail
	}
	return nil
}

func newReference() string {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// recovered is panicked for the RPC library.
func recovered(_ context.Context, _ connect.Spec, _ http.Header, p any) error { return panicked(p) }

// panicked turns a panic of a handler into an error with the place it came from, for the log.
func panicked(p any) error {
	return fmt.Errorf("panic: %v\n%s", p, debug.Stack())
}
