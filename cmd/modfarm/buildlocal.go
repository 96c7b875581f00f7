package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
)

func newBuildLocal(lookup lookupFunc) *cobra.Command {
	var f soloFlags
	var manifest, platform string
	var inContainer bool
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run the module's build scripts on this machine",
		Long: `Run build.setup and build.build of meta.json as they are: with bash, in this folder,
with this environment.

With --in-container they run exactly as a worker would run them, for any platform
that this machine can build: in the same image, with the same variables, network,
limits and checks. The files of this folder are copied first, those that git ignores
left out, and nothing is changed but --output.`,
		Example: `  modfarm module build local
  modfarm module build local --in-container --platform linux/arm64 --output module.tar.gz`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := readManifest(manifest)
			if err != nil {
				return err
			}
			if !inContainer {
				return runScripts(cmd, m)
			}
			p := module.HostPlatform()
			if platform != "" {
				if p, err = module.ParsePlatform(platform); err != nil {
					return usageError{err}
				}
			}
			return f.local(cmd, lookup, filepath.Dir(manifest), m, p)
		},
	}
	cmd.Flags().StringVar(&manifest, "module", "meta.json", "the module's meta.json")
	cmd.Flags().BoolVar(&inContainer, "in-container", false, "run the scripts as a worker would")
	cmd.Flags().StringVar(&platform, "platform", "", "platform to build for, with --in-container (default this machine's)")
	f.add(cmd.Flags())
	return cmd
}

// runScripts runs the scripts as they are.
func runScripts(cmd *cobra.Command, m *module.Manifest) error {
	for _, script := range []string{m.Build.Setup, m.Build.Build} {
		if strings.TrimSpace(script) == "" {
			continue
		}
		shell := []string{"bash", "-c"}
		if runtime.GOOS == "windows" {
			shell = []string{"cmd.exe", "/C"}
		}
		run := exec.CommandContext(cmd.Context(), shell[0], shell[1], script) //nolint:gosec // what the caller's module says
		run.Stdout, run.Stderr = cmd.OutOrStdout(), cmd.OutOrStdout()
		run.WaitDelay = 5 * time.Second
		if err := run.Run(); err != nil {
			if ctx := cmd.Context(); interruptedScript(ctx, run.ProcessState) {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%s: %w", script, err)
		}
	}
	return nil
}

// interruptedScript reports whether a script ended because the caller interrupted it. A terminal tells the script and
// this program at once, and the script may be faster.
func interruptedScript(ctx context.Context, end *os.ProcessState) bool {
	if code := end.ExitCode(); code == -1 || code == exitInterrupted { // by a signal, or as shells tell of one
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return ctx.Err() != nil
}

// local builds a folder as a worker would.
func (f *soloFlags) local(cmd *cobra.Command, lookup lookupFunc, dir string, m *module.Manifest, p module.Platform) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("--module: %w", err)
	}
	s, err := f.prepare(cmd.Context(), lookup, "", cmd.OutOrStdout(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	version, err := module.ParseVersion("0.0.0-local")
	if err != nil {
		return err
	}
	s.pool.Fetcher = folder{abs}
	return s.build(cmd.Context(), &client.Assignment{
		Job: client.Job{Platform: p, Attempt: 1},
		Build: client.Build{
			ID: "local", Module: m.ID, Version: version, Repo: abs, Ref: "local", Commit: "its present state", Workdir: ".",
			Distro: m.Build.Distro, NoCache: true,
		},
		Strategies: s.strategies(p), Manifest: m,
	})
}

// folder is the source of a build that has no repository yet.
type folder struct{ dir string }

// Fetch copies what git would not ignore, and .git itself, which scripts ask for the version.
func (f folder) Fetch(ctx context.Context, _ source.Repository, _, dir string) error {
	list := exec.CommandContext(ctx, "git", "-C", f.dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	out, err := list.Output()
	if err != nil { // no repository: everything counts
		return copied(os.CopyFS(dir, os.DirFS(f.dir)))
	}
	for name := range bytes.SplitSeq(out, []byte{0}) {
		if len(name) == 0 {
			continue
		}
		if err := copyFile(filepath.Join(f.dir, string(name)), filepath.Join(dir, string(name))); err != nil {
			return copied(err)
		}
	}
	git := filepath.Join(f.dir, ".git")
	if info, err := os.Stat(git); err != nil || !info.IsDir() {
		return nil // a work tree of another folder, or none
	}
	return copied(os.CopyFS(filepath.Join(dir, ".git"), os.DirFS(git)))
}

func copied(err error) error {
	if err != nil {
		return fmt.Errorf("%w: copy the module's folder: %w", module.ErrInvalid, err)
	}
	return nil
}

// copyFile copies one file or link; one that git lists and that was removed is left out.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	return errors.Join(err, out.Close())
}

// CommitTime is that of the last commit, or now.
func (f folder) CommitTime(ctx context.Context, dir string) (time.Time, error) {
	if when, err := new(source.Git).CommitTime(ctx, dir); err == nil {
		return when, nil
	}
	return time.Now().Truncate(time.Second), nil
}
