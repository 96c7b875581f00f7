package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/proto/wire"
)

// transferMemory is the most resident memory of a farm while 10 GiB are uploaded to
// it and 200 slow downloads are under way. It is taken once.
type transferMemory struct{}

// Name implements measure.
func (transferMemory) Name() string { return "transfer-memory" }

const (
	largeUpload   = 10 << 30
	slowDownloads = 200
)

// Run implements measure.
func (transferMemory) Run(ctx context.Context, l *lab) (result, error) {
	s, err := l.uploading(ctx)
	if err != nil {
		return result{}, err
	}
	pkg, err := s.publish(ctx)
	if err != nil {
		return result{}, err
	}
	sum, size, err := digestOfNoise(largeUpload)
	if err != nil {
		return result{}, err
	}
	under, stop := context.WithCancel(ctx)
	defer stop()
	var readers errgroup.Group
	id, key := s.farm.Key()
	for range slowDownloads {
		t, err := startTransfer(under, pkg.URL, http.Header{"key_id": {id}, "key": {key}}, transferred)
		if err != nil {
			return result{}, err
		}
		readers.Go(func() error { return t.trickle(under) })
	}
	sent := make(chan error, 1)
	go func() { sent <- s.stream(under, sum, size) }()
	var memory []float64
	for err = error(nil); err == nil; {
		select {
		case err = <-sent:
			stop()
			if err = errors.Join(err, readers.Wait()); err != nil {
				return result{}, err
			}
			return result{value: most(memory), bound: 256, unit: mebibytes(), samples: map[string][]float64{"MiB": memory}}, nil
		case <-time.After(500 * time.Millisecond):
			var now float64
			now, err = residentMemory(s.farm.PID())
			memory = append(memory, now)
		}
	}
	return result{}, err
}

// stream uploads noise that is never a file, has it inspected to its end, and removes it.
func (s *uploads) stream(ctx context.Context, sum string, size int64) error {
	began, err := s.begin(ctx, size, sum)
	if err != nil {
		return err
	}
	body := noise(largeUpload)
	defer body.Close()
	if _, err := s.request(ctx, http.MethodPut, wire.UploadPath(began.ID), body, size); err != nil {
		return err
	}
	_, err = s.request(ctx, http.MethodDelete, wire.UploadPath(began.ID), nil, 0)
	return err
}

// trickle reads as a device behind a slow line does, until ctx ends.
func (t *transfer) trickle(ctx context.Context) error {
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		if _, err := t.conn.Read(buf); err != nil {
			return errors.Join(err, t.conn.Close())
		}
		if sleep(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	return t.conn.Close()
}

func most(list []float64) float64 {
	top := 0.0
	for _, v := range list {
		top = max(top, v)
	}
	return top
}
