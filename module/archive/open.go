package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Open opens the archive called name, or packs the folder or file of that name into a temporary archive; done closes
// what was opened and removes what was made. Names in a packed archive begin with name as it is written, seen from the
// folder base (empty is the working directory); where it leads out of base, they begin with what is in it. The same
// folder gives the same bytes again. What is not there is a module.Fault.
func Open(ctx context.Context, base, name string) (file *os.File, done func(), err error) {
	full := name
	if !filepath.IsAbs(name) {
		full = filepath.Join(base, name)
	}
	info, err := os.Stat(full)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, module.Fault{Value: name, Problem: "there is no such file or folder", Advice: "name an archive or a folder that is there"}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", name, err)
	}
	lower := strings.ToLower(name)
	if !info.IsDir() && (strings.HasSuffix(lower, ".tar.gz") || strings.HasSuffix(lower, ".tgz")) {
		file, err = os.Open(full)
		return file, func() { _ = file.Close() }, err
	}
	file, err = os.CreateTemp("", "modfarm-upload-*.tar.gz")
	if err != nil {
		return nil, nil, fmt.Errorf("make a temporary archive: %w: name another folder with TMPDIR", err)
	}
	done = func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }
	if err = packNamed(ctx, file, full, name, info.IsDir()); err == nil {
		_, err = file.Seek(0, 0)
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("pack %s: %w", name, err)
	}
	return file, done, nil
}

// packNamed packs a folder, or the one file, under the name that it was given by.
func packNamed(ctx context.Context, file *os.File, full, name string, folder bool) error {
	opts := PackOptions{}
	if !folder {
		opts.Only = filepath.Base(full)
		full, name = filepath.Dir(full), filepath.Dir(name)
	}
	root, err := os.OpenRoot(full)
	if err != nil {
		return err
	}
	defer root.Close()
	if name = filepath.Clean(name); filepath.IsLocal(name) && name != "." {
		opts.Prefix = filepath.ToSlash(name)
	}
	return Pack(ctx, file, root, opts)
}
