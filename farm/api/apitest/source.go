package apitest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/modfarm/modfarm/module"
)

// Source is every repository there is: what its refs mean and what its commits hold.
type Source struct {
	mu    sync.Mutex
	refs  map[string]string            // "repo ref" to commit
	files map[string]map[string][]byte // by commit
	// Tokens are the checkout tokens that were used, in order.
	tokens []string
}

// Push makes ref of the repository mean commit, which holds a meta.json.
func (s *Source) Push(repo, ref, commit, metaJSON string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs == nil {
		s.refs, s.files = map[string]string{}, map[string]map[string][]byte{}
	}
	s.refs[repo+" "+ref] = commit
	s.files[commit] = map[string][]byte{"meta.json": []byte(metaJSON)}
}

// Tokens are the checkout tokens that the farm used so far.
func (s *Source) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.tokens...)
}

// Resolve implements farm.Source.
func (s *Source) Resolve(_ context.Context, repo, ref, token string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, token)
	commit, ok := s.refs[repo+" "+ref]
	if !ok {
		return "", fmt.Errorf("%w: %s has no %s; push it", module.ErrNotFound, repo, ref)
	}
	return commit, nil
}

// ReadFiles implements farm.Source.
func (s *Source) ReadFiles(_ context.Context, _, commit, _ string, paths []string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := map[string][]byte{}
	for _, p := range paths {
		if data, ok := s.files[commit][p]; ok {
			got[p] = data
		}
	}
	return got, nil
}

// Member is a file of an archive.
type Member struct {
	Name string
	Mode int64
	Data []byte
}

// Archive packs members into a tar.gz.
func Archive(tb testing.TB, members ...Member) []byte {
	tb.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	for _, m := range members {
		must(tb, w.WriteHeader(&tar.Header{Name: m.Name, Mode: m.Mode, Size: int64(len(m.Data)), Typeflag: tar.TypeReg}))
		_, err := w.Write(m.Data)
		must(tb, err)
	}
	must(tb, w.Close())
	must(tb, zip.Close())
	return buf.Bytes()
}

// Machine is the number of an architecture in an ELF header.
type Machine uint16

// Machines.
const (
	AMD64 Machine = 62
	ARM64 Machine = 183
)

// ELF is the smallest executable header for a machine of 64 bits.
func ELF(m Machine) []byte {
	const headerSize, programSize = 64, 56
	h := make([]byte, headerSize+programSize)
	copy(h, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(h[16:], 2) // an executable
	le.PutUint16(h[18:], uint16(m))
	le.PutUint32(h[20:], 1)
	le.PutUint64(h[24:], 0x400000) // entry
	le.PutUint64(h[32:], headerSize)
	le.PutUint16(h[52:], headerSize)
	le.PutUint16(h[54:], programSize)
	le.PutUint16(h[56:], 1) // one segment
	le.PutUint16(h[58:], 64)
	le.PutUint32(h[headerSize:], 1)   // loaded
	le.PutUint32(h[headerSize+4:], 5) // readable, executable
	le.PutUint64(h[headerSize+16:], 0x400000)
	le.PutUint64(h[headerSize+32:], uint64(len(h)))
	le.PutUint64(h[headerSize+40:], uint64(len(h)))
	le.PutUint64(h[headerSize+48:], 0x1000)
	return h
}
