package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/project"
)

// validation is what the flags of validate say.
type validation struct {
	farm              farmFlags
	manifest, archive string
	platform, version string
	online, json      bool
}

// errFindings is the end of a validation that found something, which has said all.
var errFindings = fmt.Errorf("%w: what is listed above would be refused", module.ErrInvalid)

func newModuleValidate(lookup lookupFunc) *cobra.Command {
	var v validation
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Say all that a farm would refuse later",
		Long: `Check a module's folder: meta.json, modfarm.yaml, the scripts that setup and build
call, and the archive, if it is built. Everything that a farm or registry would refuse
later is listed at once, each with what to do. Nothing is run, changed or sent.

The archive is the one that --upload names, or that the build path of meta.json names if
there is one. With --online the farm is asked, too, whether the module exists and, with
--version, whether that version is still free.

The exit status is 1 when something would be refused; warnings alone do not count.`,
		Example: `  modfarm module validate
  modfarm module validate --upload dist/archive.tar.gz --platform linux/arm64
  modfarm module validate --online --version 1.2.0`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return v.run(cmd, lookup) },
	}
	v.farm.add(cmd.Flags())
	cmd.Flags().StringVar(&v.manifest, "module", "meta.json", "the module's meta.json")
	cmd.Flags().StringVar(&v.archive, "upload", "", "the archive to check (default the build path of meta.json, if it is there)")
	cmd.Flags().StringVar(&v.platform, "platform", "", "the platform that the archive is for (default not checked)")
	cmd.Flags().BoolVar(&v.online, "online", false, "ask the farm, too")
	cmd.Flags().StringVar(&v.version, "version", "", "with --online: the version that is to be published")
	cmd.Flags().BoolVar(&v.json, "json", false, "print JSON")
	return cmd
}

func (v *validation) run(cmd *cobra.Command, lookup lookupFunc) error {
	p := project.Project{Manifest: filepath.Base(v.manifest)}
	if v.platform != "" {
		platform, err := module.ParsePlatform(v.platform)
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "platform"), err)}
		}
		p.Platform = platform
	}
	if v.version != "" && !v.online {
		return usageError{errors.New("--version asks the farm: give --online with it")}
	}
	folder := filepath.Dir(v.manifest)
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return hinted(fmt.Errorf("--module: %w", err), "go to the module's folder, or name its meta.json with --module")
	}
	defer dir.Close()
	p.Dir, p.Up = dir, foldersBelowGit(folder)
	report, err := p.Check(cmd.Context(), v.archiveOf(folder))
	if err != nil {
		return err
	}
	if v.online && !report.Module.IsZero() {
		if err := v.ask(cmd.Context(), lookup, &report); err != nil {
			return err
		}
	}
	return v.print(cmd, report)
}

// archiveOf is the archive to check, or nothing.
func (v *validation) archiveOf(folder string) string {
	if v.archive != "" {
		return v.archive
	}
	manifest, err := readManifest(v.manifest)
	if err != nil {
		return "" // which is a finding
	}
	file := filepath.Join(folder, filepath.FromSlash(manifest.Build.Path))
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return file
}

// foldersBelowGit is how many folders lie between one and the top of its repository; 0 without one.
func foldersBelowGit(folder string) int {
	at, err := filepath.Abs(folder)
	if err != nil {
		return 0
	}
	for up := 0; ; up++ {
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			return up
		}
		parent := filepath.Dir(at)
		if parent == at {
			return 0
		}
		at = parent
	}
}

// ask asks the farm what only it knows.
func (v *validation) ask(ctx context.Context, lookup lookupFunc, report *project.Report) error {
	var version module.Version
	if v.version != "" {
		var err error
		if version, err = module.ParseTag(v.version); err != nil {
			return usageError{fmt.Errorf("--version: %w", err)}
		}
	}
	c, err := v.farm.client(lookup)
	if err != nil {
		return err
	}
	add := func(f module.Fault) {
		report.Errors = append(report.Errors, project.Finding{File: filepath.Base(v.manifest), Fault: f})
	}
	info, err := c.Module(ctx, report.Module)
	switch {
	case errors.Is(err, module.ErrNotFound):
		add(module.Fault{Path: "module_id", Value: report.Module.String(), Problem: "does not exist on " + c.URL(), Advice: "run: modfarm module create " + report.Module.String()})
		return nil
	case err != nil:
		return err
	}
	for _, published := range info.Versions {
		if !version.IsZero() && published.Version == version {
			add(module.Fault{Path: "version", Value: version.String(), Problem: fmt.Sprintf("is published already, for %v; a version never changes", published.Platforms), Advice: "choose a new version, or go on with platforms that it does not have"})
		}
	}
	return nil
}

func (v *validation) print(cmd *cobra.Command, report project.Report) error {
	out := safeOutput(cmd.OutOrStdout())
	var err error
	if v.json {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
	} else {
		for _, f := range report.Errors {
			fmt.Fprintln(out, "refused:", f.String())
		}
		for _, f := range report.Warnings {
			fmt.Fprintln(out, "warning:", f.String())
		}
		if len(report.Errors) == 0 {
			_, err = fmt.Fprintf(out, "%s: nothing would be refused\n", report.Module)
		}
	}
	if len(report.Errors) > 0 {
		return errors.Join(err, errFindings)
	}
	return err
}
