package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

const (
	// pieceSize and pieces are the buffers between a connection, the disk and the
	// digests: what one upload costs in memory beside its inspection.
	pieceSize = 256 << 10
	pieces    = 4
	// flushEvery is after how many bytes the disk is told to take what it has, so
	// that the end of an upload need not wait for all of it, and the state of the
	// digests is kept.
	flushEvery = 64 << 20
)

// intake takes in the bytes of one archive. Three things happen to them side by
// side: one goroutine reads the connection and writes the file, a second hashes
// the same buffers, and a third reads the file behind the first, out of the page
// cache, and inspects it. An inspection cannot be interrupted and taken up again as
// a digest can; when an intake goes on with bytes of an earlier one it reads them
// again from the disk while the rest comes in.
type intake struct {
	upload Upload
	expect archive.Expect
	digest *digest
	// keep notes the state of the digests for bytes that are durable; may be nil.
	keep func(ctx context.Context, state []byte) error

	mu       sync.Mutex
	grown    *sync.Cond // size, complete or failed changed
	size     int64      // bytes written
	read     int64      // bytes inspected
	complete bool       // no more will come
	failed   error      // why the inspection shall end early

	inspection context.CancelFunc
	inspected  chan struct{} // closed when report and verdict are there
	report     *archive.Report
	verdict    error
}

// newIntake starts an inspection that goes on when the request that began it has
// ended; stop ends it.
func newIntake(ctx context.Context, u Upload, d *digest, e archive.Expect) *intake {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	in := &intake{
		upload: u, expect: e, digest: d, size: u.Size(),
		inspection: cancel, inspected: make(chan struct{}),
	}
	in.grown = sync.NewCond(&in.mu)
	go func() {
		defer close(in.inspected)
		in.report, in.verdict = archive.Examine(ctx, &follower{in: in}, e)
	}()
	return in
}

// limit is the largest archive that the intake takes, in bytes.
func (in *intake) limit() int64 {
	if in.expect.Limits.Compressed > 0 {
		return in.expect.Limits.Compressed
	}
	return archive.MaxCompressed
}

// take writes and hashes body to its end. All that came before an error is written
// and hashed.
func (in *intake) take(ctx context.Context, body io.Reader) error {
	free, full := make(chan []byte, pieces), make(chan []byte, pieces)
	for range pieces {
		free <- make([]byte, pieceSize)
	}
	flusher := newFlusher(ctx, in)
	var hashing sync.WaitGroup
	hashing.Go(func() {
		for piece := range full {
			_, _ = in.digest.Write(piece) // never fails
			flusher.passed(int64(len(piece)))
			free <- piece[:pieceSize]
		}
	})
	err := in.fill(ctx, body, free, full)
	close(full)
	hashing.Wait()
	return errors.Join(err, flusher.wait())
}

// fill reads body into buffers, writes them, and passes them on to be hashed.
func (in *intake) fill(ctx context.Context, body io.Reader, free <-chan []byte, full chan<- []byte) error {
	for {
		piece := <-free
		n, err := readFull(body, piece)
		if n > 0 {
			written, werr := in.upload.Write(piece[:n])
			full <- piece[:written]
			in.grow(int64(written))
			if werr != nil {
				return werr
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("the upload broke off after %d bytes: %w: send it again", in.length(), err)
		case in.length() > in.limit():
			return archive.TooLarge(in.length(), in.limit())
		case errors.Is(err, io.EOF):
			return nil
		}
		if err := in.refused(); err != nil {
			return err
		}
	}
}

// readFull reads until p is full or the reader ends, and returns the reader's own error.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func (in *intake) grow(n int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.size += n
	in.grown.Broadcast()
}

func (in *intake) length() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.size
}

// progress is how many bytes were inspected.
func (in *intake) progress() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.read
}

// refused is what ended the inspection before the end of the archive, so that
// nobody sends on for nothing.
func (in *intake) refused() error {
	select {
	case <-in.inspected:
		return in.verdict
	default:
		return nil
	}
}

// finish tells the inspection that all bytes are there.
func (in *intake) finish() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.complete = true
	in.grown.Broadcast()
}

// conclusion is the report of an inspection that has ended, with the digests.
func (in *intake) conclusion() (*archive.Report, error) {
	if in.verdict != nil {
		return nil, in.verdict
	}
	report := *in.report
	report.SHA256, report.CRC32C = in.digest.hex(), in.digest.crc
	if report.Size != in.digest.n || report.Size != in.length() {
		return nil, fmt.Errorf("%d bytes were inspected, %d hashed and %d stored", report.Size, in.digest.n, in.length())
	}
	return &report, nil
}

// stop ends the inspection and waits for it. The upload may be closed then.
func (in *intake) stop() {
	in.mu.Lock()
	if in.failed == nil {
		in.failed = context.Canceled
	}
	in.grown.Broadcast()
	in.mu.Unlock()
	in.inspection()
	<-in.inspected
}

// follower reads the file of an intake behind its writer.
type follower struct {
	in *intake
	at int64
}

// Read waits for bytes, or for the end.
func (f *follower) Read(p []byte) (int, error) {
	in := f.in
	in.mu.Lock()
	in.read = f.at
	for f.at == in.size && !in.complete && in.failed == nil {
		in.grown.Wait()
	}
	there, failed := in.size-f.at, in.failed
	in.mu.Unlock()
	switch {
	case failed != nil:
		return 0, failed
	case there == 0:
		return 0, io.EOF
	}
	n, err := in.upload.ReadAt(p[:min(int64(len(p)), there)], f.at)
	f.at += int64(n)
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the upload became shorter on the farm's disk", module.ErrUnavailable)
	}
	return 0, err
}

// flusher has the disk take what is written, and notes the digests' state, while
// more comes in: one flush at a time, and none is waited for.
type flusher struct {
	ctx  context.Context //nolint:containedctx // it lives as long as one call of take
	in   *intake
	left int64
	busy chan struct{} // holds one when no flush is under way
	err  error
}

func newFlusher(ctx context.Context, in *intake) *flusher {
	f := &flusher{ctx: ctx, in: in, left: flushEvery, busy: make(chan struct{}, 1)}
	f.busy <- struct{}{}
	return f
}

// passed is told how many bytes were hashed; they were written before.
func (f *flusher) passed(n int64) {
	if f.left -= n; f.left > 0 {
		return
	}
	select {
	case <-f.busy:
	default:
		return // the disk is slower than the connection: with the next piece
	}
	f.left = flushEvery
	state, err := f.in.digest.state()
	go func() {
		defer func() { f.busy <- struct{}{} }()
		if err == nil {
			err = f.in.upload.Flush()
		}
		if err == nil && f.in.keep != nil {
			err = f.in.keep(f.ctx, state)
		}
		f.err = err
	}()
}

// wait waits for the flush that is under way, and returns what the last one met.
func (f *flusher) wait() error {
	<-f.busy
	return f.err
}
