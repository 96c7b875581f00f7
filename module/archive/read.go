package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/modfarm/modfarm/module"
)

// ReadFiles returns the files of an archive that have one of the names, each at most most bytes long; absent ones
// are absent from the map. It reads no further than it has to. The error is a *Refused, one of r, or of ctx.
func ReadFiles(ctx context.Context, r io.Reader, names []string, most int64, limits Limits) (map[string][]byte, error) {
	found, err := readFiles(ctx, r, names, most, limits)
	if fault, ok := errors.AsType[module.Fault](err); ok {
		return nil, &Refused{Faults: module.Faults{fault}}
	}
	if err != nil {
		return nil, fmt.Errorf("read from archive: %w", err)
	}
	return found, nil
}

func readFiles(ctx context.Context, r io.Reader, names []string, most int64, limits Limits) (map[string][]byte, error) {
	s, err := openStream(ctx, r, limits, false)
	if err != nil {
		return nil, err
	}
	t := tar.NewReader(s.tar)
	found := map[string][]byte{}
	for len(found) < len(names) {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, s.explain(err)
		}
		name, problem, _ := cleanName(header.Name)
		if problem != "" || header.Typeflag != tar.TypeReg || !slices.Contains(names, name) {
			continue
		}
		if header.Size > most {
			return nil, module.Fault{
				Path: name, Problem: fmt.Sprintf("has %d bytes, more than %d", header.Size, most), Advice: "make it smaller",
			}
		}
		if found[name], err = io.ReadAll(t); err != nil {
			return nil, s.explain(err)
		}
	}
	return found, nil
}
