package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
)

// digest is both digests of an archive as far as its bytes came. Its state can be
// kept and taken up again, so that no byte is hashed twice for a connection that
// broke.
type digest struct {
	sha hash.Hash
	crc uint32
	n   int64
}

func newDigest() *digest { return &digest{sha: sha256.New()} }

// Write hashes more bytes.
func (d *digest) Write(p []byte) (int, error) {
	d.sha.Write(p)
	d.crc = crc32.Update(d.crc, crc32.MakeTable(crc32.Castagnoli), p)
	d.n += int64(len(p))
	return len(p), nil
}

// hex is the SHA-256 so far.
func (d *digest) hex() string { return hex.EncodeToString(d.sha.Sum(nil)) }

// state is everything that restore needs: length, CRC-32C, and the state of the SHA-256.
func (d *digest) state() ([]byte, error) {
	sha, err := d.sha.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("keep the state of a digest: %w", err)
	}
	state := binary.BigEndian.AppendUint64(nil, uint64(d.n)) //nolint:gosec // not negative
	state = binary.BigEndian.AppendUint32(state, d.crc)
	return append(state, sha...), nil
}

// restore is the digest that state was taken of; an empty state is the beginning.
func restore(state []byte) (*digest, error) {
	d := newDigest()
	if len(state) == 0 {
		return d, nil
	}
	var head struct {
		N   int64
		CRC uint32
	}
	r := bytes.NewReader(state)
	if err := binary.Read(r, binary.BigEndian, &head); err != nil {
		return nil, fmt.Errorf("kept state of a digest: %w", err)
	}
	if err := d.sha.(encoding.BinaryUnmarshaler).UnmarshalBinary(state[len(state)-r.Len():]); err != nil {
		return nil, fmt.Errorf("kept state of a digest: %w", err)
	}
	d.n, d.crc = head.N, head.CRC
	return d, nil
}
