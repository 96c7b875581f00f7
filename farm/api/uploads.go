package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

const (
	// finishWait is how long one request waits for the inspection of an upload. It is
	// shorter than any proxy's patience; the sender asks again.
	finishWait = 10 * time.Second
	// maxAnnouncement bounds the JSON that begins an upload, in bytes.
	maxAnnouncement = 64 << 10
	// drainMost is how much of a refused archive is still read, in bytes: a sender that is cut off in
	// the middle may never read why.
	drainMost = 256 << 20
)

// mountUploads are the uploads by plain HTTP: begun, sent in as many pieces as it takes, and finished.
func (s *server) mountUploads(mux *http.ServeMux) {
	mux.Handle("POST "+wire.PathUploads, s.endpoint(s.beginUpload))
	mux.Handle("HEAD "+wire.PathUploads+"/{upload}", s.endpoint(s.uploadOffset))
	mux.Handle("PUT "+wire.PathUploads+"/{upload}", s.endpoint(s.continueUpload))
	mux.Handle("PATCH "+wire.PathUploads+"/{upload}", s.endpoint(s.continueUpload))
	mux.Handle("DELETE "+wire.PathUploads+"/{upload}", s.endpoint(s.abandonUpload))
	mux.Handle("POST "+wire.PathUploads+"/{upload}/finish", s.endpoint(s.finishUpload))
}

// target is what an upload is for: the release it becomes, what its archive has to be, and how it ends.
type target struct {
	pending registry.Pending
	expect  archive.Expect
	// keep publishes or stages the archive that was received.
	keep func(ctx context.Context, rel module.Release) error
}

// beginUpload makes an upload, or finds the one of the same archive that was interrupted.
func (s *server) beginUpload(w http.ResponseWriter, r *http.Request) error {
	var n wire.NewUpload
	if err := s.knows(r); err != nil { // nobody else's JSON is read
		return err
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAnnouncement)).Decode(&n); err != nil {
		return fmt.Errorf("%w: the body is not the JSON that begins an upload: %w", module.ErrInvalid, err)
	}
	var t target
	var err error
	if n.JobID != "" {
		t, err = s.jobTarget(r, n.JobID, n.Strategy)
	} else {
		t, err = s.newModuleTarget(r, n)
	}
	if err != nil {
		return err
	}
	t.pending.Size, t.pending.SHA256 = n.Size, n.SHA256
	p, at, err := s.registry.BeginUpload(r.Context(), t.pending)
	if err != nil {
		return err
	}
	w.Header().Set("Location", wire.UploadPath(p.ID))
	w.Header().Set(wire.HeaderOffset, strconv.FormatInt(at, 10))
	return writeJSON(w, http.StatusCreated, wire.Upload{ID: p.ID, Offset: at, Size: p.Size})
}

// knows refuses callers that are neither a user nor a worker.
func (s *server) knows(r *http.Request) error {
	if r.Header.Get(wire.HeaderLease) != "" {
		return s.checkWorker(r.Header)
	}
	_, err := s.authenticated(r)
	return err
}

func (s *server) newModuleTarget(r *http.Request, n wire.NewUpload) (target, error) {
	rel, err := releaseFrom(&appv1.ModuleFileInfo{ModuleId: n.ModuleID, Version: n.Version, Platform: n.Platform, PlatformTags: n.PlatformTags})
	if err != nil {
		return target{}, err
	}
	p, err := s.uploader(r, rel)
	if err != nil {
		return target{}, err
	}
	return s.moduleTarget(r, p, registry.Pending{Release: rel, Lenient: n.Force})
}

// moduleTarget is the target of an archive that somebody built elsewhere. The module is looked up anew
// with every request: whose module it is, and who may publish it, may change while an upload waits.
func (s *server) moduleTarget(r *http.Request, p account.Principal, row registry.Pending) (target, error) {
	m, err := s.registry.OwnModule(r.Context(), p.Org.ID, row.Release.ID)
	if err != nil {
		return target{}, err
	}
	row.OrgID, row.ModuleKey = m.OrgID, m.Key
	row.Release.ID, row.Release.Entrypoint = m.ID(), m.Metadata.Entrypoint
	return target{
		pending: row,
		expect: archive.Expect{
			Entrypoint: m.Metadata.Entrypoint, Platform: row.Release.Platform, FirstRun: m.Metadata.FirstRun,
			LenientEntrypoint: row.Lenient,
		},
		keep: func(ctx context.Context, rel module.Release) error {
			return s.registry.Publish(ctx, []module.Release{rel})
		},
	}, nil
}

// jobTarget is the target of an archive that a worker built, under its lease.
func (s *server) jobTarget(r *http.Request, jobID, strategy string) (target, error) {
	if err := s.checkWorker(r.Header); err != nil {
		return target{}, err
	}
	how, err := module.ParseStrategy(strategy)
	if err != nil {
		return target{}, at("strategy", err)
	}
	return s.leaseTarget(r, jobID, how)
}

// uploadTarget finds an upload that the caller may touch. Whoever may not cannot tell it from one that
// does not exist.
func (s *server) uploadTarget(r *http.Request) (target, error) {
	if err := s.knows(r); err != nil {
		return target{}, err
	}
	row, err := s.registry.Upload(r.Context(), r.PathValue("upload"))
	if err != nil {
		return target{}, err
	}
	var t target
	switch lease := r.Header.Get(wire.HeaderLease); {
	case (row.JobID != "") != (lease != ""):
		return target{}, unknownUpload(row.ID)
	case lease != "":
		t, err = s.leaseTarget(r, row.JobID, row.Release.Strategy)
	default:
		t, err = s.ownTarget(r, row)
	}
	if err == nil && t.pending.ModuleKey != row.ModuleKey {
		err = unknownUpload(row.ID)
	}
	rel := t.pending.Release
	t.pending = row
	t.pending.Release = rel
	return t, err
}

// ownTarget is the target of an upload that the caller's organization began.
func (s *server) ownTarget(r *http.Request, row registry.Pending) (target, error) {
	p, err := s.authenticated(r)
	if err != nil {
		return target{}, err
	}
	if p.Org.ID != row.OrgID {
		return target{}, unknownUpload(row.ID)
	}
	if p, err = s.uploader(r, row.Release); err != nil {
		return target{}, err
	}
	return s.moduleTarget(r, p, row)
}

// uploader is the caller, when they may publish a release.
func (s *server) uploader(r *http.Request, rel module.Release) (account.Principal, error) {
	p, err := s.httpCaller(r, account.RolePublisher, rel.ID)
	if err != nil {
		return p, err
	}
	return p, p.RequireVersion(rel.Version)
}

func unknownUpload(id string) error {
	return fmt.Errorf("%w: there is no upload %s; begin a new one", module.ErrNotFound, id)
}

// uploadOffset tells where an upload goes on.
func (s *server) uploadOffset(w http.ResponseWriter, r *http.Request) error {
	t, err := s.uploadTarget(r)
	if err != nil {
		return err
	}
	at, err := s.registry.UploadOffset(r.Context(), t.pending)
	if err != nil {
		return err
	}
	offsetHeaders(w.Header(), at, t.pending.Size)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func offsetHeaders(h http.Header, at, size int64) {
	h.Set(wire.HeaderOffset, strconv.FormatInt(at, 10))
	h.Set(wire.HeaderLength, strconv.FormatInt(size, 10))
	h.Set("Cache-Control", "no-store")
}

// continueUpload takes bytes. Those that came before the connection broke stay.
func (s *server) continueUpload(w http.ResponseWriter, r *http.Request) error {
	t, err := s.uploadTarget(r)
	if err != nil {
		return err
	}
	offset, err := offsetOf(r.Header)
	if err != nil {
		return err
	}
	if len(t.pending.Answer) > 0 {
		return fmt.Errorf("%w: upload %s is finished; it takes no more", module.ErrConflict, t.pending.ID)
	}
	body := &bodyReader{from: r.Body}
	interrupt := func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now()) }
	next, err := s.registry.ContinueUpload(r.Context(), t.pending.ID, offset, body, t.expect, interrupt)
	switch {
	case body.broken != nil && !errors.Is(err, module.ErrInvalid):
		return fmt.Errorf("%w: the upload broke off after %d bytes (%w); ask for its offset and send the rest", module.ErrUnavailable, offset+body.n, body.broken)
	case errors.Is(err, module.ErrInvalid):
		_, _ = io.CopyN(io.Discard, r.Body, drainMost) // best effort, see drainMost
		return err
	case err != nil:
		if errors.Is(err, module.ErrConflict) {
			offsetHeaders(w.Header(), next, t.pending.Size)
		}
		return err
	}
	offsetHeaders(w.Header(), next, t.pending.Size)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// offsetOf is where the bytes of a request go: by Upload-Offset, by Content-Range, or at the beginning.
func offsetOf(h http.Header) (int64, error) {
	text, field := h.Get(wire.HeaderOffset), wire.HeaderOffset
	if text == "" {
		field = "Content-Range"
		if text = h.Get(field); text == "" {
			return 0, nil
		}
		text = strings.TrimPrefix(text, "bytes ")
		text, _, _ = strings.Cut(text, "-")
	}
	offset, err := strconv.ParseInt(text, 10, 64)
	if err != nil || offset < 0 {
		return 0, module.Fault{Path: field, Value: h.Get(field), Problem: "not a position in an archive", Advice: "write how many bytes were sent before"}
	}
	return offset, nil
}

// abandonUpload removes an upload. A finished one is history, and stays.
func (s *server) abandonUpload(w http.ResponseWriter, r *http.Request) error {
	t, err := s.uploadTarget(r)
	if err != nil {
		return err
	}
	if len(t.pending.Answer) == 0 {
		if err := s.registry.AbandonUpload(r.Context(), t.pending.ID); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// finishUpload publishes or stages an archive that has arrived. While its inspection goes on it answers
// 202 every few seconds, so that no proxy takes the silence for an end; who lost the answer asks again.
func (s *server) finishUpload(w http.ResponseWriter, r *http.Request) error {
	t, err := s.uploadTarget(r)
	if err != nil {
		return err
	}
	p := t.pending
	if len(p.Answer) > 0 {
		return writeJSON(w, http.StatusOK, json.RawMessage(p.Answer))
	}
	report, inspected, err := s.registry.FinishUpload(r.Context(), p.ID, t.expect, finishWait)
	if err != nil {
		return err
	}
	answer := wire.Upload{ID: p.ID, Offset: p.Size, Size: p.Size, Inspected: inspected}
	if report == nil {
		return writeJSON(w, http.StatusAccepted, answer)
	}
	rel := p.Release
	fillFrom(&rel, report)
	if err := t.keep(r.Context(), rel); err != nil {
		return err
	}
	answer.Archive = archiveTo(report)
	if p.JobID == "" {
		answer.URL = s.addressOf(r, wire.DownloadPath(rel.ID.PackageID(), registry.PackageVersion(rel)))
	}
	text, err := json.Marshal(answer)
	if err == nil {
		err = s.registry.CompleteUpload(r.Context(), p.ID, text)
	}
	if err != nil { // it is published all the same
		s.log.WarnContext(r.Context(), "the end of an upload was not noted", "upload", p.ID, "error", err)
	}
	return writeJSON(w, http.StatusOK, answer)
}

func archiveTo(r *archive.Report) *wire.Archive {
	return &wire.Archive{
		SHA256: r.SHA256, TarSHA256: r.TarSHA256, CRC32C: r.CRC32C,
		Size: r.Size, TarSize: r.TarSize, Entries: r.Entries, Warnings: r.Warnings,
	}
}
