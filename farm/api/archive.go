package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	"github.com/modfarm/modfarm/proto/wire"
)

// drainMost is how much of a refused archive is still read, in bytes: a worker that is cut off in the
// middle of sending may never read why.
const drainMost = 256 << 20

// putArchive takes the archive of a job from the worker that holds it, inspects it while it streams
// in, and stages it. The farm publishes it when the worker finishes.
func (s *server) putArchive(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkWorker(r.Header); err != nil {
		return err
	}
	ref := farm.LeaseRef{JobID: r.PathValue("job"), Token: r.Header.Get(wire.HeaderLease)}
	strategy, err := module.ParseStrategy(r.Header.Get(wire.HeaderStrategy))
	if err != nil {
		return at(wire.HeaderStrategy, err)
	}
	job, build, err := s.farm.Held(r.Context(), ref)
	if err != nil {
		return err
	}
	rel, expect, err := expectedOf(job, build, strategy)
	if err != nil {
		return err
	}
	body := &bodyReader{from: r.Body}
	report, err := s.registry.Receive(r.Context(), body, expect)
	if body.broken != nil {
		return fmt.Errorf("%w: the archive broke off after %d bytes (%w); send it again", module.ErrUnavailable, body.n, body.broken)
	}
	if err != nil {
		_, _ = io.CopyN(io.Discard, body, drainMost) // best effort, see drainMost
		return err
	}
	fillFrom(&rel, report)
	if err := s.farm.Stage(r.Context(), ref, rel); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wire.Archive{
		SHA256: report.SHA256, TarSHA256: report.TarSHA256, CRC32C: report.CRC32C,
		Size: report.Size, TarSize: report.TarSize, Entries: report.Entries, Warnings: report.Warnings,
	})
}

// bodyReader remembers whether the sender broke off: what came is no archive then, but that is the
// line's fault and not the module's.
type bodyReader struct {
	from   io.Reader
	n      int64
	broken error
}

// Read reads on.
func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken = err
	}
	return n, err
}

// expectedOf says what the archive of a job must be, and what release it would become. All of it comes
// from the farm's own records: a worker is believed in nothing but the strategy.
func expectedOf(job farm.Job, build farm.Build, s module.Strategy) (module.Release, archive.Expect, error) {
	if build.Manifest == nil {
		return module.Release{}, archive.Expect{}, fmt.Errorf("%w: build %s is not resolved yet; wait until it is claimed", module.ErrConflict, build.ID)
	}
	manifest, err := json.Marshal(build.Manifest)
	if err != nil {
		return module.Release{}, archive.Expect{}, fmt.Errorf("encode the manifest of build %s: %w", build.ID, err)
	}
	rel := module.Release{
		ID: build.Module, Version: build.Version, Platform: job.Platform, Commit: build.Commit, BuildID: build.ID,
		Strategy: s, Entrypoint: build.Manifest.Entrypoint, Manifest: manifest,
	}
	expect := archive.Expect{Entrypoint: build.Manifest.Entrypoint, Platform: job.Platform, FirstRun: build.Manifest.FirstRun}
	return rel, expect, nil
}
