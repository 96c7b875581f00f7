package farm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// uploads is uploaded source that is kept, or not any more.
type uploads struct {
	source *source
	gone   bool
	kept   int
}

func (u *uploads) ReadSource(ctx context.Context, _ string, paths []string) (map[string][]byte, error) {
	return u.source.ReadFiles(ctx, "", commitA, "", paths)
}

func (u *uploads) KeepSource(context.Context, string) error {
	if u.gone {
		return fmt.Errorf("%w: the uploaded source is not kept any more; upload it again", module.ErrNotFound)
	}
	u.kept++
	return nil
}

// TestRetryUploadedSource: a retry needs the source, keeps it before anything is queued, and is refused when it is gone.
func TestRetryUploadedSource(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		files := &uploads{source: w.source}
		w.Uploads = files
		s := submission("", amd64)
		s.Repo, s.Ref, s.Token, s.Source = "", "", "", strings.Repeat("a1", 32)
		b := w.submit(s)
		w.finish(w.claim("w1", amd64), failedOutcome)

		files.gone = true
		_, err := w.Retry(t.Context(), farm.Retry{BuildID: b.ID})
		if !errors.Is(err, module.ErrNotFound) || !strings.Contains(err.Error(), "upload it again") || strings.Contains(err.Error(), b.ID) {
			t.Errorf("retried without its source: %v", err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Failed)

		files.gone = false
		if _, err := w.Retry(t.Context(), farm.Retry{BuildID: b.ID}); err != nil || files.kept != 1 {
			t.Errorf("retried: %v; kept %d times", err, files.kept)
		}
		if _, err := w.Retry(t.Context(), farm.Retry{BuildID: b.ID}); !errors.Is(err, module.ErrConflict) || files.kept != 1 {
			t.Errorf("retried while it is queued: %v; kept %d times", err, files.kept)
		}
		a := w.claim("w2", amd64)
		w.stage(a, "amd64")
		w.wantState(w.finish(a, farm.Outcome{Kind: farm.OutcomeDone}), farm.Built)
	})
}
