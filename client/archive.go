package client

import (
	"context"
	"io"
	"net/http"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// PutArchive sends a built archive under a lease, by the strategy that built it, and returns what the
// farm found in it. It goes on where it was after the connection broke or the farm was started anew.
// progress, which may be nil, is told how many bytes the farm has or is being sent. A refused archive
// is an Error with Faults, and WrongPlatform when it was built for another platform. It does not close
// file.
func (c *Client) PutArchive(ctx context.Context, l LeaseRef, s module.Strategy, file io.ReadSeeker, progress func(sent, total int64)) (Archive, error) {
	done, err := c.send(ctx, wire.NewUpload{JobID: l.JobID, Strategy: string(s)}, l.Token, file, progress)
	if err != nil {
		return Archive{}, err
	}
	return archiveFrom(done.Archive), nil
}

func archiveFrom(a *wire.Archive) Archive {
	return Archive{
		SHA256: a.SHA256, TarSHA256: a.TarSHA256, CRC32C: a.CRC32C, Size: a.Size, TarSize: a.TarSize,
		Entries: a.Entries, Warnings: a.Warnings,
	}
}

// header puts on a plain request what every request to the farm has.
func (c *Client) header(ctx context.Context, req *http.Request) error {
	req.Header.Set("User-Agent", c.agent)
	return c.auth.set(ctx, req.Header)
}
