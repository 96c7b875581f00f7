package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// observer logs every RPC at debug level and turns the errors of handlers into those of the wire.
type observer struct{ s *server }

// WrapUnary observes a unary call.
func (o observer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		start := time.Now()
		res, err := next(ctx, req)
		return res, o.done(ctx, req.Spec(), start, err)
	}
}

// WrapStreamingHandler observes a stream.
func (o observer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		start := time.Now()
		return o.done(ctx, conn.Spec(), start, next(ctx, conn))
	}
}

// WrapStreamingClient is for clients.
func (o observer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (o observer) done(ctx context.Context, spec connect.Spec, start time.Time, err error) error {
	err = o.s.rpcError(ctx, spec.Procedure, err)
	code := "ok"
	if err != nil {
		code = connect.CodeOf(err).String()
	}
	o.s.logRequest(ctx, spec.Procedure, code, start)
	return err
}

// logRequest never sees headers or bodies: they carry secrets.
func (s *server) logRequest(ctx context.Context, what, code string, start time.Time) {
	s.log.LogAttrs(ctx, slog.LevelDebug, "request",
		slog.String("request", what), slog.String("code", code), slog.Duration("took", time.Since(start)))
}

// endpoint makes a handler of a function that returns its error. The writer is passed on as it is:
// wrapping it would hide that it can send files without copying them.
func (s *server) endpoint(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, code := time.Now(), "ok"
		if err := guarded(f, w, r); err != nil {
			code = s.finishHTTP(w, r, err)
		}
		s.logRequest(r.Context(), r.Method+" "+r.URL.Path, code, start)
	})
}

// guarded turns a panic into an error.
func guarded(f func(http.ResponseWriter, *http.Request) error, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return f(w, r)
}

func (s *server) finishHTTP(w http.ResponseWriter, r *http.Request, err error) string {
	var gone *connect.Error
	if errors.As(err, &gone) && gone.Code() == connect.CodeCanceled {
		return gone.Code().String() // nobody is there to be told
	}
	return s.httpError(w, r, err).Code().String()
}
