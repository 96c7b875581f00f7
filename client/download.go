package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// transferSilence is how long an archive may stand still under way. The farm may think for a while
// about one that it has received.
const transferSilence = 10 * time.Minute

// downloadSilence is how long a download may stand still.
const downloadSilence = time.Minute

// ErrCorrupt means that what arrived is not what was published.
var ErrCorrupt = errors.New("the download is corrupt")

// Download writes a package to w and verifies its digest and size, which must be known. It goes on
// where it was after the connection broke. progress, which may be nil, is told how many bytes were
// written. After an error what w holds must not be used.
func (c *Client) Download(ctx context.Context, w io.Writer, p Package, progress func(done, total int64)) error {
	return c.download(ctx, w, nil, p, progress)
}

// ResumeDownload is Download into a file that holds the beginning of the package, or nothing: what is
// there is read for the digest, and only the rest is fetched. After ErrCorrupt the file is empty, as it
// held something else; after other errors it can be resumed again.
func (c *Client) ResumeDownload(ctx context.Context, file *os.File, p Package, progress func(done, total int64)) error {
	err := c.download(ctx, file, file, p, progress)
	if errors.Is(err, ErrCorrupt) {
		return errors.Join(err, file.Truncate(0))
	}
	return err
}

func (c *Client) download(ctx context.Context, w io.Writer, there io.Reader, p Package, progress func(done, total int64)) error {
	if len(p.SHA256) != hex.EncodedLen(sha256.Size) || p.URL == "" {
		return fmt.Errorf("%w: package %s %s has no digest or address; take it from Package", module.ErrInvalid, p.ID, p.Version)
	}
	d := &download{c: c, pkg: p, w: w, hash: sha256.New(), progress: progress}
	if there != nil {
		var err error
		if d.done, err = io.Copy(d.hash, there); err != nil {
			return fmt.Errorf("read what is downloaded already: %w", err)
		}
		d.etag = `"` + p.SHA256 + `"` // as the farm makes it: other bytes come whole
	}
	return d.run(ctx)
}

func (d *download) run(ctx context.Context) error {
	err := resume(ctx, func(ctx context.Context) (bool, error) {
		before := d.done
		err := d.once(ctx)
		return d.done > before, err
	})
	if err != nil {
		return err
	}
	return d.verify()
}

type download struct {
	c        *Client
	pkg      Package
	lease    string // of the job whose source it is; empty for a package
	w        io.Writer
	hash     hash.Hash
	done     int64
	etag     string
	progress func(done, total int64)
}

func (d *download) verify() error {
	if d.pkg.Size > 0 && d.done != d.pkg.Size {
		return fmt.Errorf("%w: %s %s has %d bytes instead of %d; try again", ErrCorrupt, d.pkg.ID, d.pkg.Version, d.done, d.pkg.Size)
	}
	if got := hex.EncodeToString(d.hash.Sum(nil)); got != d.pkg.SHA256 {
		return fmt.Errorf("%w: %s %s has the SHA-256 %s instead of %s; try again", ErrCorrupt, d.pkg.ID, d.pkg.Version, got, d.pkg.SHA256)
	}
	return nil
}

func (d *download) once(parent context.Context) error {
	if d.pkg.Size > 0 && d.done >= d.pkg.Size {
		return nil // all bytes came, only the end of the answer did not
	}
	ctx, moving, done := watch(parent, downloadSilence)
	defer done()
	res, err := d.request(ctx, parent)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := d.rest(parent, res)
	if err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		moving.Reset(downloadSilence)
		if werr := d.write(buf[:n]); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return d.c.unreachable(parent, err)
		}
	}
}

func (d *download) request(ctx, parent context.Context) (*http.Response, error) {
	target, ours, err := d.c.locate(d.pkg.URL)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", d.pkg.ID, err)
	}
	// Otherwise the transport would ask for, and silently undo, another layer of gzip.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", d.c.agent)
	if ours {
		if err := d.c.auth.set(ctx, req.Header); err != nil {
			return nil, d.c.fromRPC(parent, err)
		}
	}
	if d.lease != "" {
		req.Header.Set(wire.HeaderLease, d.lease)
	}
	if d.done > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(d.done, 10)+"-")
		if d.etag != "" {
			req.Header.Set("If-Range", d.etag)
		}
	}
	res, err := d.c.http.Do(req)
	if err != nil {
		return nil, d.c.unreachable(parent, err)
	}
	return res, nil
}

// rest is the part of the answer that is not written yet.
func (d *download) rest(parent context.Context, res *http.Response) (io.Reader, error) {
	switch res.StatusCode {
	case http.StatusPartialContent:
		from := fmt.Sprintf("bytes %d-", d.done)
		if got := res.Header.Get("Content-Range"); !strings.HasPrefix(got, from) {
			return nil, fmt.Errorf("%w: the farm answered %q for the bytes from %d on; try again", ErrCorrupt, got, d.done)
		}
		return res.Body, nil
	case http.StatusOK:
		d.etag = res.Header.Get("ETag")
		if _, err := io.CopyN(io.Discard, res.Body, d.done); err != nil {
			return nil, d.c.unreachable(parent, err)
		}
		return res.Body, nil
	}
	return nil, fromHTTP(res)
}

func (d *download) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := d.w.Write(b); err != nil {
		return fmt.Errorf("write the download: %w", err)
	}
	d.hash.Write(b)
	d.done += int64(len(b))
	if d.progress != nil {
		d.progress(d.done, d.pkg.Size)
	}
	return nil
}

// locate says where to fetch a download, and whether that is the farm itself and may see the token.
// A farm names its downloads by its public address; they are fetched from the address that this
// client was given, which is the one known to be reachable from here.
func (c *Client) locate(s string) (target string, ours bool, err error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return "", false, fmt.Errorf("%w: the farm named %q as the address of a download; check its public URL", module.ErrInvalid, s)
	}
	if strings.HasPrefix(s, c.base.String()+wire.PathJobs) || strings.HasPrefix(s, c.base.String()+wire.PathBuilds) {
		return s, true, nil
	}
	if i := strings.Index(u.EscapedPath(), wire.PathPackages); i >= 0 && u.RawQuery == "" {
		return c.base.String() + u.EscapedPath()[i:], true, nil
	}
	return s, false, nil
}
