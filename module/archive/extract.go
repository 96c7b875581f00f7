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

	"github.com/modfarm/modfarm/module"
)

// Extract unpacks an archive into an existing folder, which should be empty. Call it
// with an archive that Inspect accepted; it refuses again whatever would leave the
// folder, and never follows a link while writing, but leaves a part of the archive
// behind when it fails. Files get mode 0600 plus the archive's permission bits. The
// error is a *Refused, one of the file system, of r, or of ctx.
func Extract(ctx context.Context, r io.Reader, dir string, limits Limits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("extract: %w", err)
	}
	x := &extractor{root: root}
	err = errors.Join(x.all(ctx, r, limits), root.Close())
	if fault, ok := errors.AsType[module.Fault](err); ok {
		return &Refused{Faults: module.Faults{fault}}
	}
	if err != nil {
		return fmt.Errorf("extract: %w", err)
	}
	return nil
}

type extractor struct {
	root  *os.Root
	count int
	total int64
	links []link          // symbolic links, made last so that nothing is written through one
	names map[string]bool // of the links
}

type link struct{ name, target string }

func (x *extractor) all(ctx context.Context, r io.Reader, limits Limits) error {
	s, err := openStream(ctx, r, limits, false)
	if err != nil {
		return err
	}
	t := tar.NewReader(s.tar)
	for {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return s.explain(err)
		}
		if x.count++; x.count > MaxEntries {
			return module.Fault{Problem: fmt.Sprintf("has more than %d files and folders", MaxEntries), Advice: "do not use it"}
		}
		if err := x.entry(s, header, t); err != nil {
			return err
		}
	}
	if err := s.drain(); err != nil {
		return err
	}
	return x.makeLinks()
}

func (x *extractor) entry(s *stream, h *tar.Header, body io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, problem, advice := cleanName(h.Name)
	if problem != "" {
		return module.Fault{Path: printable(h.Name), Problem: problem, Advice: advice}
	}
	if name == "." && h.Typeflag == tar.TypeDir {
		return nil
	}
	if h.Typeflag == tar.TypeDir {
		return x.folder(name, h)
	}
	if err := x.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return x.file(s, name, h, body)
	case tar.TypeLink:
		return x.hardLink(name, h.Linkname)
	case tar.TypeSymlink:
		if _, bad := checkTarget(name, h.Linkname); bad != "" {
			return module.Fault{Path: printable(name), Value: printable(h.Linkname), Problem: bad, Advice: "do not use it"}
		}
		if x.names == nil {
			x.names = map[string]bool{}
		}
		x.names[name] = true
		x.links = append(x.links, link{name, h.Linkname})
		return nil
	}
	return module.Fault{Path: printable(name), Problem: "is neither a file, a folder nor a link", Advice: "do not use it"}
}

func (x *extractor) folder(name string, h *tar.Header) error {
	if err := x.root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	return x.root.Chmod(name, 0o700|fs.FileMode(h.Mode)&0o777)
}

func (x *extractor) file(s *stream, name string, h *tar.Header, body io.Reader) (err error) {
	x.total += h.Size
	if h.Size > s.limits.File || x.total > s.limits.Decompressed || x.total < 0 {
		return module.Fault{
			Path: printable(name), Problem: fmt.Sprintf("has %s, which is over a limit", gigabytes(h.Size)), Advice: "do not use it",
		}
	}
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600|fs.FileMode(h.Mode)&0o777)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, body); err != nil {
		if s.file.failure != nil || s.file.over || s.tar.over || errors.Is(err, io.ErrUnexpectedEOF) {
			err = s.explain(err)
		}
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return x.root.Chtimes(name, h.ModTime, h.ModTime)
}

func (x *extractor) hardLink(name, target string) error {
	clean, problem, advice := cleanName(target)
	if problem != "" {
		return module.Fault{Path: printable(name), Value: printable(target), Problem: "is a hard link to a file outside", Advice: advice}
	}
	return x.root.Link(clean, name)
}

// makeLinks makes the symbolic links, now that all names are known.
func (x *extractor) makeLinks() error {
	for _, l := range x.links {
		through, ok := windsThrough(l.name, l.target, func(at string) bool { return x.names[at] })
		if ok {
			return module.Fault{
				Path: printable(l.name), Value: printable(l.target),
				Problem: "goes up again behind the link " + printable(through), Advice: "do not use it",
			}
		}
	}
	for _, l := range x.links {
		if err := x.root.Symlink(l.target, l.name); err != nil {
			return err
		}
	}
	return nil
}
