package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/modfarm/modfarm/module"
)

// meter reads through to src and keeps digest, length and limit of what passed.
type meter struct {
	ctx     context.Context
	src     io.Reader
	sha     hash.Hash // nil: no digest
	crc     uint32
	table   *crc32.Table // nil: no CRC
	n       int64
	limit   int64
	zeros   int64 // zero bytes at the end of what passed
	over    bool  // limit passed
	failure error // what src answered, other than io.EOF
}

var errOverLimit = errors.New("size limit passed")

func newMeter(ctx context.Context, src io.Reader, limit int64) *meter {
	return &meter{ctx: ctx, src: src, limit: limit}
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if m.over {
		return 0, errOverLimit
	}
	if err := m.ctx.Err(); err != nil {
		m.failure = err
		return 0, err
	}
	n, err := m.src.Read(p)
	got := p[:n]
	if m.sha != nil {
		m.sha.Write(got)
	}
	if m.table != nil {
		m.crc = crc32.Update(m.crc, m.table, got)
	}
	m.n += int64(n)
	if tail := len(bytes.TrimRight(got, "\x00")); tail > 0 {
		m.zeros = int64(n - tail)
	} else {
		m.zeros += int64(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.failure = err
	}
	if m.n > m.limit {
		m.over = true
		return n, errOverLimit
	}
	return n, err
}

// hex is the digest of what passed; empty when none was kept.
func (m *meter) hex() string {
	if m.sha == nil {
		return ""
	}
	return hex.EncodeToString(m.sha.Sum(nil))
}

// stream is an archive on its way: the bytes as they come, and the tar within.
type stream struct {
	file, tar *meter
	limits    Limits
}

// openStream reads the gzip header, and keeps digests of the archive when hashed
// says so; that of the tar within is always kept. A Fault tells that there is none.
func openStream(ctx context.Context, r io.Reader, limits Limits, hashed bool) (*stream, error) {
	s := &stream{limits: limits.withDefaults()}
	s.file = newMeter(ctx, r, s.limits.Compressed)
	if hashed {
		s.file.sha, s.file.table = sha256.New(), crc32.MakeTable(crc32.Castagnoli)
	}
	buffered := bufio.NewReaderSize(s.file, 64<<10)
	head, _ := buffered.Peek(262) // a short file is judged by what there is
	if f, ok := otherFormat(head); ok && s.file.failure == nil {
		return nil, f
	}
	zip, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, s.explain(err)
	}
	s.tar = newMeter(ctx, zip, s.limits.Decompressed)
	s.tar.sha = sha256.New()
	return s, nil
}

// otherFormat recognizes what people upload instead of a gzip tar.
func otherFormat(head []byte) (module.Fault, bool) {
	f := module.Fault{Advice: "pack it with tar -czf module.tar.gz"}
	switch {
	case len(head) == 0:
		f.Problem = "is empty"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		f.Problem = "is a zip file, not a gzip tar"
	case bytes.HasPrefix(head, []byte("\xfd7zXZ")):
		f.Problem = "is compressed with xz, not gzip"
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		f.Problem = "is compressed with zstd, not gzip"
	case bytes.HasPrefix(head, []byte("BZh")):
		f.Problem = "is compressed with bzip2, not gzip"
	case len(head) >= 262 && bytes.Equal(head[257:262], []byte("ustar")):
		f.Problem = "is a tar file that is not compressed"
	case !bytes.HasPrefix(head, []byte("\x1f\x8b")):
		f.Problem = "is not a gzip tar"
	default:
		return module.Fault{}, false
	}
	return f, true
}

// explain turns a reading error into what is wrong with the archive; errors of the
// source itself, and of the context, stay what they are.
func (s *stream) explain(err error) error {
	const again = "pack it again; if it was sent over a network, send it again"
	switch {
	case s.file.failure != nil:
		return fmt.Errorf("read archive: %w", s.file.failure)
	case s.file.over:
		return module.Fault{
			Problem: fmt.Sprintf("has more than %s compressed, the limit is %s", gigabytes(s.limits.Compressed), gigabytes(s.limits.Compressed)),
			Advice:  "leave out what the machine can fetch itself",
		}
	case s.tar != nil && s.tar.over:
		return module.Fault{
			Problem: fmt.Sprintf("unpacks to more than %s, the limit is %s", gigabytes(s.limits.Decompressed), gigabytes(s.limits.Decompressed)),
			Advice:  "leave out what the machine can fetch itself",
		}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return module.Fault{Problem: fmt.Sprintf("ends too early, after %d bytes", s.file.n), Advice: again}
	case errors.Is(err, gzip.ErrChecksum):
		return module.Fault{Problem: "is damaged: the checksum of the gzip stream is wrong", Advice: again}
	case errors.Is(err, gzip.ErrHeader) && s.tar == nil:
		return module.Fault{Problem: "has a damaged gzip header", Advice: again}
	case errors.Is(err, gzip.ErrHeader):
		return module.Fault{
			Problem: fmt.Sprintf("has something else behind the end of the gzip stream, before byte %d", s.file.n),
			Advice:  "cut it off, or pack again",
		}
	}
	return module.Fault{Problem: fmt.Sprintf("is damaged, before byte %d: %v", s.file.n, err), Advice: again}
}

// drain reads what follows the end of the tar, which has to be zeros, to the end of
// the file, so that the digests cover everything.
func (s *stream) drain() error {
	before := s.tar.n
	if _, err := io.Copy(io.Discard, s.tar); err != nil {
		return s.explain(err)
	}
	if extra := s.tar.n - before; s.tar.zeros < extra {
		return module.Fault{
			Problem: fmt.Sprintf("has %d bytes that are not zero behind the end of the tar", extra-s.tar.zeros),
			Advice:  "archives cannot be joined with cat; pack all files at once",
		}
	}
	return nil
}
