package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// valve lets requests through to a handler until some of them are held. A held request waits until it is let go,
// or until its sender leaves.
type valve struct {
	next http.Handler

	mu    sync.Mutex
	holds []*hold
}

// hold is what a valve holds: requests of some kind, after some bytes of their bodies.
type hold struct {
	match   func(*http.Request) bool
	after   int64
	reached chan struct{} // closed when the first one is held
	free    chan struct{} // closed when they are let go
	once    sync.Once
	let     sync.Once
}

// hold begins to hold requests, each after some bytes of its body; 0 holds it before anything of it is passed on.
func (v *valve) hold(after int64, match func(*http.Request) bool) *hold {
	h := &hold{match: match, after: after, reached: make(chan struct{}), free: make(chan struct{})}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.holds = append(v.holds, h)
	return h
}

// release lets go of what is held, and holds nothing more.
func (h *hold) release() { h.let.Do(func() { close(h.free) }) }

// wait holds until release, or until the sender left.
func (h *hold) wait(r *http.Request) error {
	h.once.Do(func() { close(h.reached) })
	select {
	case <-h.free:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

func (h *hold) open() bool {
	select {
	case <-h.free:
		return true
	default:
		return false
	}
}

// ServeHTTP implements http.Handler.
func (v *valve) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	holds := v.holds
	v.mu.Unlock()
	for _, h := range holds {
		switch {
		case h.open() || !h.match(r):
		case h.after > 0:
			r.Body = &heldBody{ReadCloser: r.Body, request: r, hold: h, left: h.after}
		case h.wait(r) != nil:
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to hang up
		}
	}
	v.next.ServeHTTP(w, r)
}

// heldBody is a body that stands still after some bytes.
type heldBody struct {
	io.ReadCloser
	request *http.Request
	hold    *hold
	left    int64
}

// Read implements io.Reader.
func (b *heldBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if err := b.hold.wait(b.request); err != nil {
			return 0, err
		}
		return b.ReadCloser.Read(p)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// forward passes requests on to a farm. What the farm does not answer it does not answer either: it hangs up, as
// the farm's own machine would. Answers that lose picks get lost in the same way.
func forward(target string, lose func(*http.Request) bool) (http.Handler, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		FlushInterval: -1,
		ModifyResponse: func(res *http.Response) error {
			if lose(res.Request) {
				return errBroken
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to hang up
		},
	}, nil
}

var errBroken = errors.New("the connection broke")

// What workers ask of a farm, as a valve sees it.
func isUpload(r *http.Request) bool { return r.Method == http.MethodPut }

func isFinish(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".WorkerService/Finish") }

// isFetch is a request of git for a repository.
func isFetch(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/git-upload-pack") }
