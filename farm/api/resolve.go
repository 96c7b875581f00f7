package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// resolveService says which upload a machine gets.
type resolveService struct{ *server }

// Resolve picks one upload.
func (s resolveService) Resolve(ctx context.Context, req *modfarmv1.ResolveRequest) (*modfarmv1.ResolveResponse, error) {
	p, err := caller(ctx, account.RoleMachine)
	if err != nil {
		return nil, err
	}
	id, err := moduleID(req.GetModuleId())
	if err != nil {
		return nil, err
	}
	w, err := wish(id, req.GetSelector(), req.GetPlatform(), req.GetTags())
	if err != nil {
		return nil, err
	}
	found, err := s.resolve(ctx, p, w, req.GetExplain())
	if err != nil {
		return nil, err
	}
	return s.resolveTo(ctx, found, req.GetExplain()), nil
}

// wish reads a question. Everything that is wrong with it comes back at once.
func wish(id module.ID, selector, platform string, tags []string) (registry.Wish, error) {
	w := registry.Wish{ID: id, Machine: module.Machine{Tags: tags}}
	var faults module.Faults
	note := func(field string, err error) {
		if fault, ok := at(field, err).(module.Fault); ok { //nolint:errorlint // at returns the bare Fault
			faults = append(faults, fault)
		}
	}
	note("version", w.Selector.UnmarshalText([]byte(selector)))
	note("platform", w.Machine.Platform.UnmarshalText([]byte(platform)))
	return w, faults.Err()
}

// resolve turns an answer without an upload into an error, unless it is to be explained.
func (s *server) resolve(ctx context.Context, p account.Principal, w registry.Wish, explain bool) (registry.Resolved, error) {
	found, err := s.registry.Resolve(ctx, viewer(p), w)
	if err == nil && !explain {
		err = found.Err()
	}
	return found, err
}

func (s *server) resolveTo(ctx context.Context, found registry.Resolved, explain bool) *modfarmv1.ResolveResponse {
	out := &modfarmv1.ResolveResponse{Warnings: found.Warnings}
	if rel := found.Release; rel != nil {
		out.Upload = &modfarmv1.ResolvedUpload{
			Release: releaseTo(rel), PackageId: rel.ID.PackageID(), PackageVersion: registry.PackageVersion(*rel),
			Url: s.downloadURL(ctx, *rel),
		}
	} else {
		out.Reason = found.Err().Error()
	}
	if explain {
		for _, c := range found.Resolution.Explain() {
			out.Candidates = append(out.Candidates, &modfarmv1.ResolveCandidate{
				Version: c.Version.String(), Platform: c.Platform.String(), Tags: c.Tags, Refused: string(c.Refused), Reason: c.Reason,
			})
		}
	}
	return out
}

func (s *server) downloadURL(ctx context.Context, rel module.Release) string {
	return s.address(ctx, wire.DownloadPath(rel.ID.PackageID(), registry.PackageVersion(rel)))
}

// getResolved is Resolve for plain HTTP. Machines ask again and again, so the answer has an ETag over all
// of it; it is made anew each time, so that nothing old is ever confirmed.
func (s *server) getResolved(w http.ResponseWriter, r *http.Request) error {
	id, wrong := module.ParsePackageID(r.PathValue("namespace") + "/" + r.PathValue("name"))
	p, err := s.httpCaller(r, account.RoleMachine, id)
	if err != nil {
		return err
	}
	if wrong != nil {
		return at("module", wrong)
	}
	query, explain, err := resolveQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	asked, err := wish(id, query.Get(wire.ParamSelector), query.Get(wire.ParamPlatform), query[wire.ParamTag])
	if err != nil {
		return err
	}
	found, err := s.resolve(r.Context(), p, asked, explain)
	if err != nil {
		return err
	}
	ctx := context.WithValue(r.Context(), originKey{}, origin(r))
	return writeRevalidated(w, r, s.resolutionTo(ctx, found, explain))
}

// resolveQuery refuses what it does not know: a machine with a misspelled tag would get the wrong upload.
func resolveQuery(raw string) (query url.Values, explain bool, err error) {
	query, err = url.ParseQuery(raw)
	if err != nil {
		return nil, false, module.Fault{Path: "query", Value: raw, Problem: "not readable", Advice: "write spaces as %20 and plus signs as %2B"}
	}
	for name, values := range query {
		switch name {
		case wire.ParamTag:
		case wire.ParamSelector, wire.ParamPlatform, wire.ParamExplain:
			if len(values) > 1 {
				return nil, false, module.Fault{Path: name, Value: values[1], Problem: "given twice", Advice: "give it once"}
			}
		default:
			return nil, false, module.Fault{Path: name, Problem: "not known here", Advice: "use version, platform, tag and explain"}
		}
	}
	if text := query.Get(wire.ParamExplain); text != "" {
		if explain, err = strconv.ParseBool(text); err != nil {
			return nil, false, module.Fault{Path: wire.ParamExplain, Value: text, Problem: "neither true nor false", Advice: "write true"}
		}
	}
	return query, explain, nil
}

func (s *server) resolutionTo(ctx context.Context, found registry.Resolved, explain bool) wire.Resolution {
	asked := found.Resolution
	out := wire.Resolution{
		Module: found.ID.String(), Selector: asked.Selector.String(), Platform: asked.Machine.Platform.String(),
		Tags: notNil(asked.Machine.Tags), Warnings: found.Warnings,
	}
	if rel := found.Release; rel != nil {
		out.Upload = &wire.ResolvedUpload{
			Version: rel.Version.String(), Platform: rel.Platform.String(), Tags: notNil(rel.Tags),
			PackageID: rel.ID.PackageID(), PackageVersion: registry.PackageVersion(*rel), URL: s.downloadURL(ctx, *rel),
			Size: rel.Size, SHA256: rel.SHA256, Entrypoint: rel.Entrypoint, Commit: rel.Commit, PublishedAt: rel.PublishedAt,
		}
	} else {
		out.Reason = found.Err().Error()
	}
	if explain {
		for _, c := range asked.Explain() {
			out.Candidates = append(out.Candidates, wire.ResolveCandidate{
				Version: c.Version.String(), Platform: c.Platform.String(), Tags: notNil(c.Tags), Refused: string(c.Refused), Reason: c.Reason,
			})
		}
	}
	return out
}

// notNil makes an empty list of none, which JSON would print as null.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// writeRevalidated writes JSON that a caller may keep if it asks each time whether it still holds.
func writeRevalidated(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h := w.Header()
	h.Set("ETag", etag)
	h.Set("Cache-Control", "private, no-cache")
	// The same address means another answer to another key.
	h.Set("Vary", "Authorization, "+wire.HeaderKeyID)
	h.Set("X-Content-Type-Options", "nosniff")
	if matches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // only a caller that left makes this fail
	return nil
}

// matches reads an If-None-Match header.
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == etag || tag == "*" {
			return true
		}
	}
	return false
}
