package wire

import (
	"net/http"

	"connectrpc.com/connect"
)

// Kind is a class of errors: what a caller can do about one. Both ends translate between their own
// errors and kinds, and only this table knows the codes.
type Kind int

// The kinds.
const (
	// KindInternal is the farm's own fault.
	KindInternal Kind = iota
	// KindInvalid is a wrong input.
	KindInvalid
	// KindNotFound is a thing that does not exist, or not for this caller.
	KindNotFound
	// KindConflict contradicts what is recorded.
	KindConflict
	// KindLeaseLost is a job that another worker holds by now.
	KindLeaseLost
	// KindUnauthorized is a caller that nobody knows.
	KindUnauthorized
	// KindForbidden is a caller that is known but may not.
	KindForbidden
	// KindUnavailable may work later.
	KindUnavailable
	// KindUnimplemented is a method that this farm does not have.
	KindUnimplemented
	// KindCanceled is a caller that went away.
	KindCanceled
	// KindTimeout took too long.
	KindTimeout
)

type row struct {
	kind   Kind
	code   connect.Code
	status int
}

// StatusClientGone is logged, and sent to nobody, when the caller went away.
const StatusClientGone = 499

// table has the row that decodes a code or status first.
func table() [11]row {
	return [11]row{
		{KindInvalid, connect.CodeInvalidArgument, http.StatusUnprocessableEntity},
		{KindNotFound, connect.CodeNotFound, http.StatusNotFound},
		{KindConflict, connect.CodeAlreadyExists, http.StatusConflict},
		{KindLeaseLost, connect.CodeAborted, http.StatusGone},
		{KindUnauthorized, connect.CodeUnauthenticated, http.StatusUnauthorized},
		{KindForbidden, connect.CodePermissionDenied, http.StatusForbidden},
		{KindUnavailable, connect.CodeUnavailable, http.StatusServiceUnavailable},
		{KindUnimplemented, connect.CodeUnimplemented, http.StatusNotImplemented},
		{KindCanceled, connect.CodeCanceled, StatusClientGone},
		{KindTimeout, connect.CodeDeadlineExceeded, http.StatusGatewayTimeout},
		{KindInternal, connect.CodeInternal, http.StatusInternalServerError},
	}
}

// Code is the RPC code of the kind.
func (k Kind) Code() connect.Code {
	for _, r := range table() {
		if r.kind == k {
			return r.code
		}
	}
	return connect.CodeInternal
}

// Status is the HTTP status of the kind.
func (k Kind) Status() int {
	for _, r := range table() {
		if r.kind == k {
			return r.status
		}
	}
	return http.StatusInternalServerError
}

// KindOfCode is the kind that a code means. Codes that the farm itself never sends, but a proxy or
// the RPC library may, count as their nearest kind.
func KindOfCode(c connect.Code) Kind {
	for _, r := range table() {
		if r.code == c {
			return r.kind
		}
	}
	switch c {
	case connect.CodeResourceExhausted, connect.CodeOutOfRange:
		return KindInvalid
	case connect.CodeFailedPrecondition:
		return KindConflict
	default:
		return KindInternal
	}
}

// KindOfStatus is the kind that an HTTP status means, proxies included.
func KindOfStatus(status int) Kind {
	for _, r := range table() {
		if r.status == status {
			return r.kind
		}
	}
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway:
		return KindUnavailable
	case status >= 400 && status < 500:
		return KindInvalid
	default:
		return KindInternal
	}
}
