package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// downloadFlags say what to download, and where to.
type downloadFlags struct {
	farm             farmFlags
	platform, output string
	json             bool
}

// downloaded is a download as --json prints it.
type downloaded struct {
	// File is what was written; "-" for standard output.
	File     string          `json:"file"`
	Module   module.ID       `json:"module"`
	Version  module.Version  `json:"version"`
	Platform module.Platform `json:"platform"`
	Size     int64           `json:"size"`
	SHA256   string          `json:"sha256"`
}

func newModuleDownload(lookup lookupFunc) *cobra.Command {
	var f downloadFlags
	cmd := &cobra.Command{
		Use:   "download MODULE VERSION",
		Short: "Download an archive and check its digest",
		Long: `Download the archive of a version for a platform, this machine's by default, and
check its digest. A file that is there is whole: nothing stays of a download that
failed. With --output - the archive goes to standard output, and what is said to
standard error; there the exit status alone tells whether it is whole.`,
		Example: "  modfarm module download acme:widget 1.0.0 --platform linux/arm64",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := module.ParseID(args[0])
			if err != nil {
				return usageError{err}
			}
			version, err := module.ParseTag(args[1])
			if err != nil {
				return usageError{err}
			}
			p, err := module.ParsePlatform(f.platform)
			if err != nil {
				return usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "platform"), err)}
			}
			c, err := f.farm.client(lookup)
			if err != nil {
				return err
			}
			pkg, err := c.Package(cmd.Context(), id, version, p)
			if err != nil {
				return err
			}
			got := downloaded{Module: id, Version: version, Platform: p, Size: pkg.Size, SHA256: pkg.SHA256}
			return f.fetch(cmd, c, pkg, got)
		},
		ValidArgsFunction: completeVersions(&f.farm, lookup),
	}
	f.farm.add(cmd.Flags())
	cmd.Flags().StringVar(&f.platform, "platform", module.HostPlatform().String(), "whose archive")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "file or folder to write, or - for standard output (default NAME-VERSION-PLATFORM.tar.gz)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print file, size and digest as JSON")
	return cmd
}

// fetch writes the archive where it was asked for and says so.
func (f *downloadFlags) fetch(cmd *cobra.Command, c *client.Client, pkg client.Package, got downloaded) error {
	said := cmd.OutOrStdout()
	var err error
	if f.output == "-" {
		got.File, said = "-", cmd.ErrOrStderr()
		err = c.Download(cmd.Context(), cmd.OutOrStdout(), pkg, nil)
	} else {
		name := fmt.Sprintf("%s-%s-%s.tar.gz", got.Module.Name, got.Version, got.Platform.Dashed())
		got.File = outputFile(f.output, name)
		err = save(cmd, c, pkg, got.File)
	}
	if err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(said).Encode(got)
	}
	_, err = fmt.Fprintf(said, "%s sha256:%s\n", got.File, got.SHA256)
	return err
}

// outputFile puts the default name into a folder.
func outputFile(output, name string) string {
	if output == "" {
		return name
	}
	if info, err := os.Stat(output); (err == nil && info.IsDir()) || os.IsPathSeparator(output[len(output)-1]) {
		return filepath.Join(output, name)
	}
	return output
}

// save writes beside the file and renames: a file that is there is whole.
func save(cmd *cobra.Command, c *client.Client, pkg client.Package, file string) error {
	part, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".")
	if err != nil {
		return unwritable(file, err)
	}
	defer os.Remove(part.Name())
	defer part.Close()
	bar := newProgress(cmd.ErrOrStderr(), pkg.Size, "downloading")
	if err := c.Download(cmd.Context(), part, pkg, bar.Set); err != nil {
		return err
	}
	bar.Finish()
	if err := errors.Join(part.Chmod(0o644), part.Close()); err != nil {
		return unwritable(file, err)
	}
	if err := os.Rename(part.Name(), file); err != nil {
		return unwritable(file, err)
	}
	return nil
}

// unwritable says in the user's own words what cannot be written, and the cure.
func unwritable(file string, err error) error {
	folder := filepath.Dir(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--output %s: there is no folder %s: make it with mkdir -p, or choose another with --output", file, folder)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("--output %s: the folder %s cannot be written by this user: choose another with --output", file, folder)
	}
	var path *fs.PathError
	var link *os.LinkError
	switch { // their paths are those of the unfinished file, which nobody knows
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("--output %s: %w: choose another file with --output", file, err)
}
