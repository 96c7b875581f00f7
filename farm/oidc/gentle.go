package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// againAfter is how long an issuer is left alone after it answered: whoever sends tokens of keys that do not exist
	// makes the farm ask no more often.
	againAfter = 5 * time.Second
	// maxDocument bounds what is read of an issuer's answer, in bytes. GitHub's are below 20 KiB.
	maxDocument = 1 << 20
)

var errJustAsked = errors.New("the issuer listed its keys a moment ago")

// gentle is a transport that asks for the same document rarely, and takes nothing for it that is too large or no JSON.
// The verifying library would ask for every token of an unknown key, and read whatever comes.
type gentle struct {
	next  http.RoundTripper
	again time.Duration

	mu   sync.Mutex
	last map[string]asked
}

// asked is how the last request for a document went.
type asked struct {
	at  time.Time
	err error
}

func newGentle(next http.RoundTripper, again time.Duration) *gentle {
	if next == nil {
		next = http.DefaultTransport
	}
	if again == 0 {
		again = againAfter
	}
	return &gentle{next: next, again: again, last: map[string]asked{}}
}

// RoundTrip makes the request, unless it was answered a moment ago. After a failure that moment is shorter.
func (g *gentle) RoundTrip(r *http.Request) (*http.Response, error) {
	name := r.URL.String()
	g.mu.Lock()
	last := g.last[name]
	g.mu.Unlock()
	switch since := time.Since(last.at); {
	case last.err != nil && since < g.again/5:
		return nil, last.err
	case last.err == nil && since < g.again:
		return nil, errJustAsked
	}
	res, err := g.fetch(r)
	g.mu.Lock()
	g.last[name] = asked{at: time.Now(), err: err}
	g.mu.Unlock()
	return res, err
}

func (g *gentle) fetch(r *http.Request) (*http.Response, error) {
	res, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err // the client says what was asked
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %s", res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read its answer: %w", err)
	case len(body) > maxDocument:
		return nil, fmt.Errorf("its answer is larger than %d bytes", maxDocument)
	case !json.Valid(body):
		return nil, errors.New("its answer is no JSON")
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return res, nil
}
