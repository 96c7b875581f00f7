package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module/archive"
)

// sourceFlags say that a folder is built instead of a repository.
type sourceFlags struct {
	on   bool
	path string
}

func (f *sourceFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.on, "from-source", false, "build the folder --path as it is, instead of the repository")
	flags.StringVar(&f.path, "path", ".", "with --from-source: the folder to send, without what its .gitignore files name")
}

// claim makes a request one for the folder: what is for repositories must not be given.
func (f *sourceFlags) claim(r *client.BuildRequest) error {
	if r.Ref != "main" || r.Token != "" {
		return errors.New("--from-source: leave out --ref and the token, which are for repositories")
	}
	r.Repo, r.Ref = "", ""
	return nil
}

// start sends the folder and returns the id of its build.
func (f *sourceFlags) start(cmd *cobra.Command, c *client.Client, r client.BuildRequest) (id string, err error) {
	source, size, err := packSource(cmd.Context(), f.path, r.Workdir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, source.Close(), os.Remove(source.Name())) }()
	orgID, err := ownerOf(cmd.Context(), c, r.Module)
	if err != nil {
		return "", err
	}
	bar := newProgress(cmd.ErrOrStderr(), size, "sending "+f.path)
	defer bar.Finish()
	return c.StartSourceBuild(cmd.Context(), r, orgID, &counted{from: source, total: size, bar: bar})
}

// packSource packs a folder into a temporary file, which the caller closes and removes.
func packSource(ctx context.Context, folder, workdir string) (file *os.File, size int64, err error) {
	if _, err := os.Stat(filepath.Join(folder, filepath.FromSlash(workdir), "meta.json")); err != nil {
		return nil, 0, usageError{fmt.Errorf("--path %q, --workdir %q: there is no meta.json: name the folder to send, and the module's folder in it", folder, workdir)}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, 0, fmt.Errorf("--path: %w", err)
	}
	defer root.Close()
	if file, err = os.CreateTemp("", "modfarm-source-*.tar.gz"); err != nil {
		return nil, 0, fmt.Errorf("make a file for the source: %w", err)
	}
	if err = archive.Pack(ctx, file, root, archive.PackOptions{Skip: archive.Ignored(root.FS())}); err == nil {
		size, err = file.Seek(0, io.SeekEnd)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return file, size, nil
}

// counted moves a bar as it is read.
type counted struct {
	from        io.Reader
	done, total int64
	bar         progress
}

// Read reads on.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.done += int64(n)
	c.bar.Set(c.done, c.total)
	return n, err
}
