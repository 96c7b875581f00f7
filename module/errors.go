package module

import "errors"

// The sentinels shared by every package: wrap them with %w so that the edge can
// choose a status code without knowing who failed. Their text is for users.
var (
	// ErrInvalid means that an input is wrong and will stay wrong when it is sent again.
	ErrInvalid = errors.New("invalid input")
	// ErrNotFound means that the named thing does not exist, or not for this caller.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that the request contradicts what is already recorded.
	ErrConflict = errors.New("conflict")
	// ErrUnauthorized means that nobody knows who is asking.
	ErrUnauthorized = errors.New("not authenticated")
	// ErrForbidden means that the caller is known but may not do this.
	ErrForbidden = errors.New("not allowed")
	// ErrUnavailable means that something needed does not answer now; trying again later may help.
	ErrUnavailable = errors.New("unavailable, try again later")
)
