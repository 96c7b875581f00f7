package workers_test

import (
	"context"
	"io"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// slowUploads keeps uploads waiting until the gate opens.
type slowUploads struct {
	*fakeFarm
	reached chan string // ids of jobs
	gate    chan struct{}
}

func (f slowUploads) PutArchive(ctx context.Context, l client.LeaseRef, s module.Strategy, r io.ReadSeeker, p func(sent, total int64)) (client.Archive, error) {
	f.reached <- l.JobID
	select {
	case <-f.gate:
		return f.fakeFarm.PutArchive(ctx, l, s, r, p)
	case <-ctx.Done():
		return client.Archive{}, context.Cause(ctx)
	}
}
