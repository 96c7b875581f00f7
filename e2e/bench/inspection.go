package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/pgzip"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// inspection is the reading of an archive that holds 1 GiB, as the farm reads
// every upload: unpacked, checked entry by entry, with the digests of the
// archive and of the tar within. Above 1, it is faster than only unpacking and
// counting bytes.
type inspection struct{}

// Name implements measure.
func (inspection) Name() string { return "inspect-1gib" }

const inspected = 1 << 30

// Run implements measure.
func (inspection) Run(ctx context.Context, l *lab) (result, error) {
	file := filepath.Join(l.dir, "inspect.tar.gz")
	if err := makeArchive(ctx, file); err != nil {
		return result{}, err
	}
	defer os.Remove(file)
	var gzip, ours []time.Duration
	for range l.rounds {
		g, unpacked, err := countBytes(ctx, file)
		if err != nil {
			return result{}, err
		}
		i, err := inspectOnce(ctx, file, unpacked)
		if err != nil {
			return result{}, err
		}
		l.say("inspection: gzip -dc | wc -c %.2f s, inspection %.2f s", g.Seconds(), i.Seconds())
		gzip, ours = append(gzip, g), append(ours, i)
	}
	return result{
		value: paired(gzip, ours, over), bound: 1, atLeast: true, unit: ratios(),
		samples: map[string][]float64{"gzip -dc | wc -c": seconds(gzip), "inspection": seconds(ours)},
	}, nil
}

func countBytes(ctx context.Context, file string) (took time.Duration, unpacked int64, err error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", `gzip -dc "$1" | wc -c`, "sh", file)
	cmd.Stderr = os.Stderr
	began := time.Now()
	out, err := cmd.Output()
	took = time.Since(began)
	if err != nil {
		return 0, 0, fmt.Errorf("gzip -dc | wc -c: %w", err)
	}
	unpacked, err = strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return took, unpacked, err
}

func inspectOnce(ctx context.Context, file string, unpacked int64) (time.Duration, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	began := time.Now()
	report, err := archive.Inspect(ctx, f, archive.Expect{Entrypoint: entrypoint, Platform: module.HostPlatform()})
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	if report.TarSize != unpacked || report.SHA256 == "" || report.TarSHA256 == "" {
		return 0, fmt.Errorf("the inspection counted %d bytes, gzip %d", report.TarSize, unpacked)
	}
	return took, nil
}

const entrypoint = "bin/module"

// makeArchive packs real programs and sources, those of the Go toolchain, again
// and again until it is large enough, as tar -czf would.
func makeArchive(ctx context.Context, file string) (err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find the Go toolchain: %w", err)
	}
	root, err := os.OpenRoot(string(bytes.TrimSpace(out)))
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zip := pgzip.NewWriter(f)
	p := &packer{ctx: ctx, fsys: root.FS(), tar: tar.NewWriter(zip)}
	err = p.add(entrypoint, "bin/go", 0o755)
	for round := 0; err == nil && p.size < inspected; round++ {
		before := p.size
		err = fs.WalkDir(p.fsys, ".", func(name string, d fs.DirEntry, err error) error {
			return p.visit(fmt.Sprintf("copy%d", round), name, d, err)
		})
		if p.size == before {
			err = errors.New("the Go toolchain's folder is empty")
		}
	}
	return errors.Join(err, p.tar.Close(), zip.Close())
}

// packer writes files into a tar until it holds enough.
type packer struct {
	ctx  context.Context //nolint:containedctx // a walk takes no context
	fsys fs.FS
	tar  *tar.Writer
	size int64
}

func (p *packer) visit(prefix, name string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case p.size >= inspected:
		return fs.SkipAll
	case d.IsDir() && (d.Name() == "testdata" || name == "test"): // files made to be strange
		return fs.SkipDir
	case !d.Type().IsRegular():
		return nil
	}
	return p.add(path.Join(prefix, name), name, 0o644)
}

func (p *packer) add(as, name string, mode int64) error {
	f, err := p.fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := p.tar.WriteHeader(&tar.Header{Name: as, Mode: mode, Size: info.Size(), ModTime: info.ModTime(), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	n, err := io.Copy(p.tar, f)
	p.size += n
	return err
}
