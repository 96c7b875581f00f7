package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// downloadFlags say what to download, and where to. Those of the stock command line mean the same here.
type downloadFlags struct {
	farm                   farmFlags
	id, version            string
	platform, output, dest string
	json                   bool
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
		Use:   "download [MODULE[@VERSION]]",
		Short: "Download an archive and check its digest",
		Long: `Download the archive of a version for a platform, this machine's by default, and
check its digest. The module is MODULE, --id, or that of meta.json; the version is
the newest released one unless VERSION or --version names another; VERSION may also
be a second argument. Without --platform an archive for any machine does, too.

With MODULE the file is NAME-VERSION-PLATFORM.tar.gz in this folder. Called as the
stock command line is, or with --destination, it is
VERSION-PLATFORM/NAMESPACE-NAME.tar.gz in that folder. With --output - the archive
goes to standard output, and what is said to standard error; there the exit status
alone tells whether it is whole.

A file that is there is whole. What came before an interruption is kept beside it,
and the same command goes on with it.`,
		Example: `  modfarm module download acme:widget@1.0.0 --platform linux/arm64
  modfarm module download --id acme:widget --version 1.0.0 --destination ./modules`,
		Args: maximumArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if args, err = f.split(args); err != nil {
				return err
			}
			stock := len(args) == 0 || cmd.Flags().Changed("destination")
			id, err := f.module(args)
			if err != nil {
				return err
			}
			p, err := module.ParsePlatform(f.platform)
			if err != nil {
				return usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "platform"), err)}
			}
			if len(args) == 2 {
				f.version = args[1]
			}
			version, latest, err := parseVersionOrLatest(f.version)
			if err != nil {
				return err
			}
			c, err := f.farm.client(lookup)
			if err != nil {
				return err
			}
			wanted := []module.Platform{p}
			if !cmd.Flags().Changed("platform") {
				wanted = covering(p)
			}
			if latest {
				if version, p, err = newestFor(cmd.Context(), c, id, wanted); err != nil {
					return err
				}
				wanted = []module.Platform{p}
			}
			pkg, p, err := firstPackage(cmd.Context(), c, id, version, wanted)
			if err != nil {
				return err
			}
			got := downloaded{Module: id, Version: version, Platform: p, Size: pkg.Size, SHA256: pkg.SHA256}
			return f.fetch(cmd, c, pkg, got, stock)
		},
		ValidArgsFunction: completeVersions(&f.farm, lookup),
	}
	f.farm.add(cmd.Flags())
	cmd.Flags().StringVar(&f.id, "id", "", "the module, as MODULE (default that of meta.json)")
	cmd.Flags().StringVar(&f.version, "version", "latest", "the version, as VERSION")
	cmd.Flags().StringVar(&f.platform, "platform", module.HostPlatform().String(), "whose archive")
	cmd.Flags().StringVar(&f.dest, "destination", ".", "folder for VERSION-PLATFORM/NAMESPACE-NAME.tar.gz")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "file or folder to write, or - for standard output, instead")
	cmd.Flags().BoolVar(&f.json, "json", false, "print file, size and digest as JSON")
	return cmd
}

// split makes two arguments of MODULE@VERSION.
func (f *downloadFlags) split(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	name, version, versioned := strings.Cut(args[0], "@")
	switch {
	case versioned && len(args) == 2:
		return nil, usageError{fmt.Errorf("two versions are named, %s and %s", version, args[1])}
	case versioned:
		return []string{name, version}, nil
	}
	return args, nil
}

// module is what is downloaded: the argument, --id, or the module of this folder.
func (f *downloadFlags) module(args []string) (module.ID, error) {
	if len(args) > 0 {
		f.id = args[0]
	}
	if f.id == "" {
		manifest, err := readManifest("meta.json")
		if err != nil {
			return module.ID{}, usageError{fmt.Errorf("no module is named, and this folder is none's (%w): name it, as acme:widget", err)}
		}
		return manifest.ID, nil
	}
	id, err := module.ParseID(f.id)
	if err != nil {
		return id, usageError{err}
	}
	return id, nil
}

func parseVersionOrLatest(s string) (v module.Version, latest bool, err error) {
	if s == "latest" {
		return v, true, nil
	}
	if v, err = module.ParseTag(s); err != nil {
		return v, false, usageError{err}
	}
	return v, false, nil
}

// covering are the platforms whose archives a machine can use, in the order in which resolving takes them.
func covering(p module.Platform) []module.Platform {
	return []module.Platform{p, {OS: p.OS, Arch: module.Any}, {OS: module.Any, Arch: p.Arch}, {OS: module.Any, Arch: module.Any}}
}

// newestFor finds the first of the wanted platforms that there is an archive for, and the newest version of those: a
// release, unless there are only pre-releases.
func newestFor(ctx context.Context, c *client.Client, id module.ID, wanted []module.Platform) (newest module.Version, p module.Platform, err error) {
	info, err := c.Module(ctx, id)
	if err != nil {
		return newest, p, err
	}
	for _, p := range wanted {
		for _, v := range info.Versions { // they ascend
			if slices.Contains(v.Platforms, p) && (newest.IsZero() || !v.Version.IsPrerelease() || newest.IsPrerelease()) {
				newest = v.Version
			}
		}
		if !newest.IsZero() {
			return newest, p, nil
		}
	}
	return newest, p, hinted(fmt.Errorf("%w: %s has no version for %s", module.ErrNotFound, id, wanted[0]),
		"see what it has with 'modfarm module versions %s'", id)
}

// firstPackage is the archive of a version for the first of the wanted platforms that has one.
func firstPackage(ctx context.Context, c *client.Client, id module.ID, v module.Version, wanted []module.Platform) (client.Package, module.Platform, error) {
	var first error
	for _, p := range wanted {
		pkg, err := c.Package(ctx, id, v, p)
		switch {
		case err == nil:
			return pkg, p, nil
		case !errors.Is(err, module.ErrNotFound):
			return pkg, p, err
		case first == nil:
			first = err // about the machine's own platform, it says most
		}
	}
	return client.Package{}, wanted[0], first
}

// fetch writes the archive where it was asked for and says so.
func (f *downloadFlags) fetch(cmd *cobra.Command, c *client.Client, pkg client.Package, got downloaded, stock bool) error {
	said := cmd.OutOrStdout()
	var err error
	switch {
	case f.output == "-":
		got.File, said = "-", cmd.ErrOrStderr()
		err = c.Download(cmd.Context(), cmd.OutOrStdout(), pkg, nil)
	case f.output == "" && stock:
		got.File = filepath.Join(f.dest, got.Version.String()+"-"+got.Platform.Dashed(),
			strings.ReplaceAll(got.Module.String(), ":", "-")+".tar.gz")
		if err = os.MkdirAll(filepath.Dir(got.File), 0o755); err != nil {
			return hinted(err, "choose another folder with --destination")
		}
		err = save(cmd, c, pkg, got.File)
	default:
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

// save writes beside the file and renames: a file that is there is whole. The name of what is beside it
// has the digest, so that only the same archive goes on with it.
func save(cmd *cobra.Command, c *client.Client, pkg client.Package, file string) error {
	name := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+"."+pkg.SHA256[:12]+".part")
	part, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return unwritable(file, err)
	}
	defer part.Close()
	bar := newProgress(cmd.ErrOrStderr(), pkg.Size, "downloading")
	err = c.ResumeDownload(cmd.Context(), part, pkg, bar.Set)
	bar.Finish()
	if err != nil {
		return leavePart(cmd.Context(), part, err)
	}
	if err := part.Close(); err != nil {
		return unwritable(file, err)
	}
	if err := os.Rename(name, file); err != nil {
		return unwritable(file, err)
	}
	return nil
}

// leavePart keeps what came when there is hope that the rest will, and says so.
func leavePart(ctx context.Context, part *os.File, err error) error {
	info, serr := part.Stat()
	hope := ctx.Err() != nil || errors.Is(err, module.ErrUnavailable)
	if serr != nil || info.Size() == 0 || !hope {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return hinted(err, "run the same command again to go on behind the first %d bytes", info.Size())
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
