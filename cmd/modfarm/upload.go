package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// uploadFlags say what to upload, and as what; they are those of the stock command line.
type uploadFlags struct {
	farm                         farmFlags
	meta, upload                 string
	orgID, namespace, name       string
	version, platform            string
	tags                         []string
	force, json, metaMustBeThere bool
}

// uploadedJSON is an upload as --json prints it.
type uploadedJSON struct {
	Module   module.ID       `json:"module"`
	Version  module.Version  `json:"version"`
	Platform module.Platform `json:"platform"`
	Tags     []string        `json:"tags,omitempty"`
	Size     int64           `json:"size"`
	SHA256   string          `json:"sha256"`
	URL      string          `json:"url"`
	Warnings []string        `json:"warnings,omitempty"`
}

func newModuleUpload(lookup lookupFunc) *cobra.Command {
	var f uploadFlags
	cmd := &cobra.Command{
		Use:   "upload [PATH]",
		Short: "Publish an archive, or a folder, that was built elsewhere",
		Long: `Publish a module that was built elsewhere. PATH is a .tar.gz, or a file or folder
that is packed; names in the archive begin with PATH as it is written, so that
'.' packs the content of this folder, and 'bin' a folder bin.

The archive is checked as the farm checks it before anything is sent. The module's
record on the farm is made what meta.json says. An upload that was interrupted goes
on when the same command is run again.`,
		Example: `  modfarm module upload --version 1.0.0 --platform linux/arm64 module.tar.gz
  modfarm module upload --version 1.0.0 --platform linux/any --tags distro:ubuntu .`,
		Args: maximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.metaMustBeThere = cmd.Flags().Changed("module")
			if len(args) == 1 {
				f.upload = args[0]
			}
			return f.run(cmd, lookup)
		},
	}
	f.farm.add(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&f.meta, "module", "meta.json", "the module's meta.json; without one --name and --org-id or --public-namespace say what is uploaded")
	flags.StringVar(&f.upload, "upload", "", "what to upload, as PATH")
	flags.StringVar(&f.orgID, "org-id", "", "id of the organization that the module belongs to")
	flags.StringVar(&f.namespace, "public-namespace", "", "public namespace of that organization")
	flags.StringVar(&f.name, "name", "", "name of the module, without its namespace")
	flags.StringVar(&f.version, "version", "", "version to publish, as 1.2.3 (required)")
	flags.StringVar(&f.platform, "platform", "", "whose archive it is: os/arch, os/any or any (required)")
	flags.StringSliceVar(&f.tags, "tags", nil, "what a machine must have for this archive, as distro:ubuntu")
	flags.BoolVar(&f.force, "force", false, "accept an entrypoint that is missing or not executable")
	flags.BoolVar(&f.json, "json", false, "print what was published as JSON")
	return cmd
}

// wanted is a checked command line.
type wanted struct {
	what     client.NewUpload
	manifest *module.Manifest // nil without a meta.json
}

func (f *uploadFlags) run(cmd *cobra.Command, lookup lookupFunc) error {
	want, err := f.parse()
	if err != nil {
		return err
	}
	c, err := f.farm.client(lookup)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if err := f.checkOwner(ctx, c); err != nil {
		return err
	}
	expect, err := f.expect(ctx, c, want)
	if err != nil {
		return err
	}
	file, done, err := archive.Open(ctx, "", f.upload)
	if err != nil {
		return err
	}
	defer done()
	report, err := archive.Inspect(ctx, file, expect)
	if err != nil {
		return fmt.Errorf("%s: %w", f.upload, err)
	}
	want.what.SHA256 = report.SHA256
	if want.manifest != nil {
		if err := c.UpdateModule(ctx, want.manifest, nil); err != nil {
			return err
		}
	}
	bar := newProgress(cmd.ErrOrStderr(), report.Size, "uploading")
	got, err := c.Upload(ctx, want.what, file, bar.Set)
	bar.Finish()
	if err != nil {
		if ctx.Err() != nil {
			err = hinted(err, "run the same command again to go on where it was")
		}
		return err
	}
	return f.tell(cmd, want.what, got)
}

func (f *uploadFlags) tell(cmd *cobra.Command, u client.NewUpload, got client.Uploaded) error {
	if f.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(uploadedJSON{
			Module: u.Module, Version: u.Version, Platform: u.Platform, Tags: u.Tags,
			Size: got.Size, SHA256: got.SHA256, URL: got.URL, Warnings: got.Warnings,
		})
	}
	for _, w := range got.Warnings {
		fmt.Fprintln(safeOutput(cmd.ErrOrStderr()), "warning:", w)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s sha256:%s\n%s\n", u.Module, u.Version, u.Platform, got.SHA256, got.URL)
	return err
}

// parse checks the command line and meta.json; nothing is asked of the farm.
func (f *uploadFlags) parse() (want wanted, err error) {
	usage := func(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
	switch {
	case f.upload == "":
		return want, usage("nothing to upload is named: give the path of an archive or a folder")
	case f.version == "":
		return want, usage("--version is missing: say which version this is, as --version 1.2.3")
	case f.platform == "":
		return want, usage("--platform is missing: say whose archive this is, as --platform linux/arm64")
	case f.orgID != "" && f.namespace != "":
		return want, usage("--org-id and --public-namespace say the same: give one of them")
	}
	if want.what.Version, err = module.ParseTag(f.version); err != nil {
		return want, usage("--version: %w", err)
	}
	if want.what.Platform, err = module.ParsePlatform(f.platform); err != nil {
		return want, usage("--platform: %w", err)
	}
	want.what.Tags, want.what.Force = f.tags, f.force
	want.manifest, err = readManifest(f.meta)
	if errors.Is(err, fs.ErrNotExist) && !f.metaMustBeThere && f.name != "" {
		want.manifest, err = nil, nil
	}
	if err != nil {
		return want, err
	}
	want.what.Module, err = f.id(want.manifest)
	return want, err
}

// id is the module that meta.json or the flags name; they must not contradict each other.
func (f *uploadFlags) id(m *module.Manifest) (module.ID, error) {
	owner := f.orgID + f.namespace
	if m == nil {
		if owner == "" {
			return module.ID{}, usageError{errors.New("--name needs --public-namespace or --org-id where there is no meta.json")}
		}
		return module.ParseID(owner + ":" + f.name)
	}
	if f.name != "" && f.name != m.ID.Name {
		return module.ID{}, usageError{fmt.Errorf("--name %s is not the module of %s, which is %s", f.name, f.meta, m.ID)}
	}
	return m.ID, nil
}

// checkOwner holds that the organization of the flags is one of the key's.
func (f *uploadFlags) checkOwner(ctx context.Context, c *client.Client) error {
	owner := f.orgID + f.namespace
	if owner == "" {
		return nil
	}
	_, err := ownerOf(ctx, c, module.ID{Namespace: owner, Name: f.name})
	return err
}

// expect says what the archive must be: by meta.json, or by what the farm knows of the module.
func (f *uploadFlags) expect(ctx context.Context, c *client.Client, want wanted) (archive.Expect, error) {
	e := archive.Expect{Platform: want.what.Platform, LenientEntrypoint: f.force}
	if want.manifest != nil {
		e.Entrypoint, e.FirstRun = want.manifest.Entrypoint, want.manifest.FirstRun
		return e, nil
	}
	info, err := c.Module(ctx, want.what.Module)
	e.Entrypoint = info.Entrypoint
	return e, err
}
