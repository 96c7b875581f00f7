package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
)

// writeNoise writes an archive whose bytes do not compress: it is as large as what
// it holds, and moving it costs more than looking into it. The same size gives the
// same bytes.
func writeNoise(w io.Writer, size int64) error {
	zip, err := gzip.NewWriterLevel(w, gzip.NoCompression)
	if err != nil {
		return err
	}
	out := tar.NewWriter(zip)
	script := []byte("#!/bin/sh\n")
	err = out.WriteHeader(&tar.Header{Name: entrypoint, Mode: 0o755, Size: int64(len(script)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = out.Write(script)
	}
	if err == nil {
		err = out.WriteHeader(&tar.Header{Name: "noise", Mode: 0o644, Size: size, Typeflag: tar.TypeReg})
	}
	block := make([]byte, 1<<20)
	fill := rand.NewChaCha8([32]byte{})
	_, _ = fill.Read(block) // never fails
	for left := size; err == nil && left > 0; left -= int64(len(block)) {
		block[0]++
		_, err = out.Write(block[:min(int64(len(block)), left)])
	}
	return errors.Join(err, out.Close(), zip.Close())
}

// noise is a writeNoise to read from.
func noise(size int64) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeNoise(w, size)) }()
	return r
}

// noiseFile is a file of noise with its digest.
type noiseFile struct {
	name, sha256 string
	size         int64
}

func makeNoise(name string, size int64) (n noiseFile, err error) {
	f, err := os.Create(name)
	if err != nil {
		return n, err
	}
	h := sha256.New()
	err = errors.Join(writeNoise(io.MultiWriter(f, h), size), f.Sync())
	info, serr := f.Stat()
	if err = errors.Join(err, serr, f.Close()); err != nil {
		return n, err
	}
	return noiseFile{name: name, sha256: hex.EncodeToString(h.Sum(nil)), size: info.Size()}, nil
}

// digestOfNoise is the size and SHA-256 of an archive that is never a file.
func digestOfNoise(size int64) (sum string, n int64, err error) {
	r := noise(size)
	defer r.Close()
	h := sha256.New()
	if n, err = io.Copy(h, r); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}

// sha256Of reads a file for its digest and rewinds it.
func sha256Of(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	_, err := f.Seek(0, io.SeekStart)
	return hex.EncodeToString(h.Sum(nil)), err
}
