package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// ResolveRequest asks which upload of a module a machine gets.
type ResolveRequest struct {
	Module   module.ID
	Selector module.Selector
	Machine  module.Machine
	// Explain asks for the verdict on every candidate. That nothing fits is no error then.
	Explain bool
	// Known is an earlier answer to the same question, or nil. It comes back when it still holds,
	// which costs the farm and the network least.
	Known *Resolution
}

// Resolution is the answer. Its JSON is what the command line prints: names are added, and never change.
type Resolution struct {
	Module   module.ID       `json:"module"`
	Selector module.Selector `json:"selector"`
	Platform module.Platform `json:"platform"`
	Tags     []string        `json:"tags"`
	// Upload is nil when nothing fits.
	Upload *ResolvedUpload `json:"upload"`
	// Reason is why nothing fits.
	Reason string `json:"reason,omitempty"`
	// Warnings are what to know before using the upload: deprecations.
	Warnings []string `json:"warnings,omitempty"`
	// Candidates are there when asked for: the one that was taken, then those that fit as well, then
	// all others.
	Candidates []ResolveCandidate `json:"candidates,omitempty"`

	etag string
}

// ResolvedUpload is what the machine gets.
type ResolvedUpload struct {
	Version  module.Version  `json:"version"`
	Platform module.Platform `json:"platform"`
	Tags     []string        `json:"tags"`
	// PackageID and PackageVersion are what a machine's configuration calls it.
	PackageID      string `json:"package_id"`
	PackageVersion string `json:"package_version"`
	URL            string `json:"url"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is the hex digest of the file.
	SHA256      string    `json:"sha256"`
	Entrypoint  string    `json:"entrypoint"`
	Commit      string    `json:"commit,omitempty"`
	PublishedAt time.Time `json:"published_at"`
}

// Package is the upload as Download takes it.
func (u ResolvedUpload) Package() Package {
	return Package{ID: u.PackageID, Version: u.PackageVersion, URL: u.URL, SHA256: u.SHA256, Size: u.Size, CreatedAt: u.PublishedAt}
}

// ResolveCandidate is an upload of the module with the verdict on it.
type ResolveCandidate struct {
	Version  module.Version  `json:"version"`
	Platform module.Platform `json:"platform"`
	Tags     []string        `json:"tags"`
	// Refused is empty for the one that was taken.
	Refused module.Refusal `json:"refused,omitempty"`
	// Reason is one sentence.
	Reason string `json:"reason,omitempty"`
}

// maxResolution bounds the answer, in bytes: a module of 100,000 uploads explained.
const maxResolution = 64 << 20

// Resolve says which upload a machine gets. When nothing fits the error wraps module.ErrNotFound and
// says why.
func (c *Client) Resolve(ctx context.Context, req ResolveRequest) (Resolution, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, DefaultTimeout, fmt.Errorf("the farm did not answer within %s", DefaultTimeout))
	defer cancel()
	query := url.Values{wire.ParamSelector: {req.Selector.String()}, wire.ParamPlatform: {req.Machine.Platform.String()}}
	if len(req.Machine.Tags) > 0 {
		query[wire.ParamTag] = req.Machine.Tags
	}
	if req.Explain {
		query.Set(wire.ParamExplain, "true")
	}
	res, err := c.getWithToken(ctx, wire.ResolvePath(req.Module.PackageID(), query), req.Known)
	if err != nil {
		return Resolution{}, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && req.Known != nil:
		return *req.Known, nil
	case res.StatusCode != http.StatusOK:
		return Resolution{}, fromHTTP(res)
	}
	out := Resolution{etag: res.Header.Get("ETag")}
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxResolution)).Decode(&out); err != nil {
		return Resolution{}, c.unreachable(ctx, fmt.Errorf("read the answer: %w", err))
	}
	return out, nil
}

// getWithToken sends a GET, and once more with a new token when the farm refused the old one.
func (c *Client) getWithToken(ctx context.Context, path string, known *Resolution) (*http.Response, error) {
	for again := true; ; again = false {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+path, nil)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", path, err)
		}
		req.Header.Set("User-Agent", c.agent)
		if known != nil && known.etag != "" {
			req.Header.Set("If-None-Match", known.etag)
		}
		token, err := c.auth.token(ctx)
		if err != nil {
			return nil, c.fromRPC(ctx, err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := c.http.Do(req)
		if err != nil {
			return nil, c.unreachable(ctx, err)
		}
		if res.StatusCode != http.StatusUnauthorized || !again || c.auth.worker != "" {
			return res, nil
		}
		if err := res.Body.Close(); err != nil && !errors.Is(err, context.Canceled) {
			return nil, c.unreachable(ctx, err)
		}
		c.auth.forget(token)
	}
}
