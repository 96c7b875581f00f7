package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"time"

	"github.com/klauspost/pgzip"

	"github.com/modfarm/modfarm/module"
)

// PackOptions say what is not in the folder.
type PackOptions struct {
	// ModTime becomes the time of every entry, in whole seconds: the time of the
	// commit. The zero time becomes 1970.
	ModTime time.Time
	// Prefix is a folder that everything is put into, as "bin"; empty for none.
	Prefix string
	// Only is the one file to pack; empty for the whole folder.
	Only string
	// Skip says what is left out, a folder with all that is in it; nil leaves out
	// nothing. It is asked about a folder before it is asked about what is in it.
	Skip func(name string, folder bool) (bool, error)
}

const (
	// blockSize is what one core compresses at a time. The compressed bytes depend on
	// it, so it never changes with the machine.
	blockSize = 1 << 20
	// maxBlocks bounds the memory on machines with many cores.
	maxBlocks = 16
)

// Pack writes a folder as a gzip tar to w: sorted by name, owner 0 without a name, one
// time for all, modes 0755 and 0644, links as they are. The same folder gives the
// same bytes on every machine. A device, pipe or socket in it is a module.Fault.
func Pack(ctx context.Context, w io.Writer, root *os.Root, opts PackOptions) error {
	zip, err := pgzip.NewWriterLevel(w, pgzip.DefaultCompression)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if err := zip.SetConcurrency(blockSize, min(runtime.GOMAXPROCS(0)+1, maxBlocks)); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	zip.ModTime = time.Unix(0, 0) // "no time" in the format; the zero Time is written as some day in 2042
	p := &packer{root: root, tar: tar.NewWriter(zip), when: opts.ModTime.UTC().Truncate(time.Second), prefix: opts.Prefix}
	if opts.ModTime.IsZero() {
		p.when = time.Unix(0, 0).UTC()
	}
	top := "."
	if opts.Only != "" {
		top = opts.Only
	}
	err = fs.WalkDir(root.FS(), top, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case name == ".":
			return nil
		case opts.Skip != nil:
			if skip, err := opts.Skip(name, entry.IsDir()); err != nil || skip {
				if err == nil && entry.IsDir() {
					err = fs.SkipDir
				}
				return err
			}
		}
		return p.add(ctx, name, entry.Type())
	})
	if err == nil {
		err = p.tar.Close()
	}
	// Close ends the compressing goroutines, so it runs after a failure as well.
	if closeErr := zip.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}

type packer struct {
	root *os.Root
	tar  *tar.Writer
	when time.Time
	// prefix is the folder that everything is put into.
	prefix string
}

// add writes one entry.
func (p *packer) add(ctx context.Context, name string, mode fs.FileMode) error {
	h := &tar.Header{Name: path.Join(p.prefix, name), ModTime: p.when}
	switch mode {
	case 0:
		return p.file(ctx, name, h)
	case fs.ModeDir:
		h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o755, h.Name+"/"
	case fs.ModeSymlink:
		target, err := p.root.Readlink(name)
		if err != nil {
			return err
		}
		h.Typeflag, h.Mode, h.Linkname = tar.TypeSymlink, 0o777, target
	default:
		return module.Fault{
			Path: name, Problem: "is neither a file, a folder nor a link", Value: mode.String(),
			Advice: "let the build leave it out",
		}
	}
	return p.tar.WriteHeader(h)
}

func (p *packer) file(ctx context.Context, name string, h *tar.Header) (err error) {
	f, err := p.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Mode, h.Size = tar.TypeReg, 0o644, info.Size()
	if info.Mode()&0o111 != 0 {
		h.Mode = 0o755
	}
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(p.tar, io.LimitReader(contextReader{ctx, f}, h.Size))
	if err == nil && n < h.Size {
		err = module.Fault{Path: name, Problem: "became shorter while it was packed", Advice: "end what writes to it before the build ends"}
	}
	return err
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
