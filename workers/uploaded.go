package workers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// unpackSource fills the tree with the source that was uploaded for the job. Its time is that of its newest file, so
// that the same source builds to the same bytes.
func (j *job) unpackSource(ctx context.Context) (when time.Time, err error) {
	j.log.say("fetching the uploaded source %s", j.a.Build.Commit)
	packed := filepath.Join(j.dir, "source.tar.gz")
	file, err := os.OpenFile(packed, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return when, fmt.Errorf("make a file for the source: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(packed)) }()
	err = j.pool.Farm.GetSource(ctx, j.a.Lease.LeaseRef, j.a.Build.Commit, file)
	if errors.Is(err, module.ErrNotFound) {
		return when, failed("%s", sentence(err))
	}
	if err != nil {
		return when, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return when, fmt.Errorf("rewind the source: %w", err)
	}
	if err := os.MkdirAll(j.tree(), 0o755); err != nil {
		return when, fmt.Errorf("make the work tree: %w", err)
	}
	if err := archive.Extract(ctx, file, j.tree(), archive.Limits{}); err != nil {
		return when, err
	}
	return newest(j.tree())
}

// newest is when the newest file of a tree was changed, in whole seconds.
func newest(dir string) (when time.Time, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(when) {
			when = info.ModTime()
		}
		return err
	})
	return when.UTC().Truncate(time.Second), err
}
