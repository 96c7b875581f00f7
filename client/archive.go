package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// PutArchive sends a built archive under a lease, by the strategy that built it, and returns what the
// farm found in it. progress, which may be nil, is told how many bytes were sent; it starts again
// from the beginning after the connection broke. A refused archive is an Error with Faults, and
// WrongPlatform when it was built for another platform. It does not close file.
func (c *Client) PutArchive(ctx context.Context, l LeaseRef, s module.Strategy, file io.ReadSeeker, progress func(sent, total int64)) (Archive, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return Archive{}, fmt.Errorf("find the size of the archive: %w", err)
	}
	p := put{c: c, lease: l, strategy: s, file: file, size: size, progress: progress}
	var got Archive
	err = resume(ctx, func(ctx context.Context) (bool, error) {
		var err error
		before := p.furthest
		got, err = p.once(ctx)
		return p.furthest > before, err
	})
	return got, err
}

type put struct {
	c        *Client
	lease    LeaseRef
	strategy module.Strategy
	file     io.ReadSeeker
	size     int64
	furthest int64 // the most bytes that any attempt sent
	progress func(sent, total int64)
}

func (p *put) once(parent context.Context) (Archive, error) {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return Archive{}, fmt.Errorf("rewind the archive: %w", err)
	}
	ctx, moving, done := watch(parent, transferSilence)
	defer done()
	body := &upload{file: p.file, sent: func(n int64) {
		moving.Reset(transferSilence)
		p.furthest = max(p.furthest, n)
		if p.progress != nil {
			p.progress(n, p.size)
		}
	}}
	// The transport may still read the body after it returned; the file is only ours again once the
	// body is closed.
	defer body.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.c.base.String()+wire.ArchivePath(p.lease.JobID), body)
	if err != nil {
		return Archive{}, fmt.Errorf("send the archive: %w", err)
	}
	req.ContentLength = p.size
	if err := p.c.header(ctx, req); err != nil {
		return Archive{}, p.c.fromRPC(parent, err)
	}
	req.Header.Set("Content-Type", wire.TypeArchive)
	req.Header.Set("Expect", "100-continue")
	req.Header.Set(wire.HeaderLease, p.lease.Token)
	req.Header.Set(wire.HeaderStrategy, string(p.strategy))
	res, err := p.c.http.Do(req)
	if err != nil {
		return Archive{}, p.c.unreachable(parent, err)
	}
	defer res.Body.Close()
	return archiveFrom(res)
}

func archiveFrom(res *http.Response) (Archive, error) {
	if res.StatusCode != http.StatusOK {
		return Archive{}, fromHTTP(res)
	}
	var a wire.Archive
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		return Archive{}, fmt.Errorf("read the farm's answer about the archive: %w", err)
	}
	return Archive{
		SHA256: a.SHA256, TarSHA256: a.TarSHA256, CRC32C: a.CRC32C, Size: a.Size, TarSize: a.TarSize,
		Entries: a.Entries, Warnings: a.Warnings,
	}, nil
}

// upload is a request body that stops reading its file for good when it is closed.
type upload struct {
	mu     sync.Mutex
	file   io.Reader
	closed bool
	n      int64
	sent   func(n int64)
}

// Read reads the file.
func (u *upload) Read(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return 0, io.ErrClosedPipe
	}
	n, err := u.file.Read(b)
	u.n += int64(n)
	u.sent(u.n)
	return n, err
}

// Close ends reading; it waits for a Read that is under way.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	return nil
}

// header puts on a plain request what every request to the farm has.
func (c *Client) header(ctx context.Context, req *http.Request) error {
	req.Header.Set("User-Agent", c.agent)
	return c.auth.set(ctx, req.Header)
}
