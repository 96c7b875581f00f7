package github

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gh "github.com/google/go-github/v60/github"

	"github.com/modfarm/modfarm/module"
)

const (
	// secondaryWait is how long to stay away after a secondary rate limit that names no time.
	// Source: GitHub's best practices for using the REST API.
	secondaryWait = time.Minute
	// firstWait and longestWait bound how long is waited after other faults.
	firstWait   = 2 * time.Second
	longestWait = 5 * time.Minute
)

// explain puts what was done before GitHub's error, and the sentinel that says what kind it is.
func explain(err error, what string) error {
	kind := module.ErrUnavailable
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusGone:
		kind = module.ErrNotFound
	case http.StatusUnauthorized:
		kind = module.ErrUnauthorized
	case http.StatusForbidden:
		kind = module.ErrForbidden
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		kind = module.ErrInvalid
	}
	if limited(err) {
		kind = module.ErrUnavailable // it is not a refusal of what was asked for
	}
	return fmt.Errorf("%w: %s: %w", kind, what, err)
}

// statusOf is the status that GitHub answered a call, or the request for a token before it, with; 0 for none.
func statusOf(err error) int {
	if r := responseOf(err); r != nil { //nolint:bodyclose // go-github has closed it
		return r.StatusCode
	}
	return 0
}

// responseOf is the answer to a call, or to the request for a token before it; nil for none.
func responseOf(err error) *http.Response {
	if r, ok := errors.AsType[*gh.ErrorResponse](err); ok {
		return r.Response
	}
	if r, ok := errors.AsType[*ghinstallation.HTTPError](err); ok {
		return r.Response
	}
	return nil
}

// trouble is explain for a call of an installation. A token that is not accepted any more is replaced by a new one the
// next time.
func (g *GitHub) trouble(err error, installation int64, what string) error {
	if statusOf(err) == http.StatusUnauthorized {
		g.dropClient(installation)
		return fmt.Errorf("%w: %s: %w", module.ErrUnavailable, what, err)
	}
	return explain(err, what)
}

// final says that trying again cannot help.
func final(err error) bool {
	return !limited(err) && (errors.Is(err, module.ErrNotFound) || errors.Is(err, module.ErrInvalid) || errors.Is(err, module.ErrForbidden) ||
		errors.Is(err, module.ErrUnauthorized) || errors.Is(err, module.ErrConflict))
}

// retryAt is when to try again after a fault: when GitHub says so, or later and later.
func retryAt(err error, tries int, now time.Time) time.Time {
	if wait, ok := limitOf(err, now); ok {
		return now.Add(wait)
	}
	wait := firstWait
	for range min(tries, 8) {
		wait *= 2
	}
	return now.Add(min(wait, longestWait))
}

// limited says that GitHub asked to stay away.
func limited(err error) bool {
	_, ok := limitOf(err, time.Time{})
	return ok
}

// limitOf is how long GitHub asked to stay away: until its limit begins anew, or for what the answer says.
func limitOf(err error, now time.Time) (time.Duration, bool) {
	if limit, ok := errors.AsType[*gh.RateLimitError](err); ok {
		return max(firstWait, limit.Rate.Reset.Sub(now)), true
	}
	if abuse, ok := errors.AsType[*gh.AbuseRateLimitError](err); ok {
		if abuse.RetryAfter != nil {
			return *abuse.RetryAfter, true
		}
		return secondaryWait, true
	}
	if r := responseOf(err); r != nil { //nolint:bodyclose // go-github has closed it
		return limitIn(r, now)
	}
	return 0, false
}

// limitIn reads a refusal that the libraries did not take for a limit: of a token, or with another status.
func limitIn(r *http.Response, now time.Time) (time.Duration, bool) {
	if r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil {
		return time.Duration(max(seconds, 1)) * time.Second, true
	}
	reset, err := strconv.ParseInt(r.Header.Get("X-RateLimit-Reset"), 10, 64)
	if err == nil && r.Header.Get("X-RateLimit-Remaining") == "0" {
		return max(firstWait, time.Unix(reset, 0).Sub(now)), true
	}
	return secondaryWait, r.StatusCode == http.StatusTooManyRequests
}
