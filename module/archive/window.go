package archive

import (
	"errors"
	"io"
)

// maxWindow is how much of the beginning of a file is kept, so that a table can be
// read whose place is only known later. Linkers put the names of needed libraries
// near the beginning and the section that points at them near the end.
const maxWindow = 8 << 20

// errPassed means that the wanted bytes streamed past before anybody knew that they
// were wanted.
var errPassed = errors.New("beyond the window")

// window gives access to the ranges of a file that streams past: anything in its
// first maxWindow bytes at any time, anything after that only forward.
type window struct {
	r   io.Reader
	buf []byte
	pos int64 // bytes taken from r; len(buf) until something was skipped
}

// bytes returns n bytes at an offset. The slice is valid until the next call.
// io.ErrUnexpectedEOF or io.EOF mean that the file is shorter.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off < 0 || n < 0 || off+int64(n) < off {
		return nil, io.ErrUnexpectedEOF
	}
	end := off + int64(n)
	if err := w.fill(min(end, maxWindow)); err != nil {
		return nil, err
	}
	if end <= int64(len(w.buf)) {
		return w.buf[off:end], nil
	}
	out := make([]byte, 0, n)
	if w.pos == int64(len(w.buf)) && off < w.pos {
		out = append(out, w.buf[off:]...)
		off = w.pos
	}
	if off < w.pos {
		return nil, errPassed
	}
	if _, err := io.CopyN(io.Discard, w.r, off-w.pos); err != nil {
		return nil, err
	}
	w.pos = off
	rest := out[len(out):n]
	got, err := io.ReadFull(w.r, rest)
	w.pos += int64(got)
	return out[:n], err
}

// fill reads the beginning of the file up to an offset, unless it has been passed.
func (w *window) fill(to int64) error {
	have := int64(len(w.buf))
	if to <= have || w.pos > have {
		return nil
	}
	if int64(cap(w.buf)) < to {
		grown := make([]byte, have, min(max(2*to, 64<<10), maxWindow))
		copy(grown, w.buf)
		w.buf = grown
	}
	n, err := io.ReadFull(w.r, w.buf[have:to])
	w.buf = w.buf[:have+int64(n)]
	w.pos += int64(n)
	return err
}

// head returns up to n bytes from the beginning.
func (w *window) head(n int64) ([]byte, error) {
	err := w.fill(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return w.buf[:min(n, int64(len(w.buf)))], err
}
