package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// logsFlags say which log to show, and how.
type logsFlags struct {
	farm         farmFlags
	id, platform string
	wait, group  bool
}

func newBuildLogs(lookup lookupFunc) *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:   "logs BUILD",
		Short: "Show a build's log; follow it to its end with --wait",
		Long: `Write a build's log to standard output, one platform after the other: what there
is of it now, or with --wait all of it as it is written. With --wait each change of
state and a verdict for each platform go to standard error, and a line for every two
minutes in which the log says nothing.

Exit status 3: the build itself failed (with --wait).`,
		Example: `  modfarm module build logs 5f6d2f0e-7c1d-4f6e-9a37-0d2c6a2b9f11 --wait
  modfarm module build logs --id 5f6d2f0e-7c1d-4f6e-9a37-0d2c6a2b9f11 --platform linux/arm64`,
		Args: maximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := oneBuild(args, f.id)
			if err != nil {
				return err
			}
			only, err := parsePlatformFlag(cmd, f.platform)
			if err != nil {
				return err
			}
			c, err := f.farm.client(lookup)
			if err != nil {
				return err
			}
			if f.wait && !f.group {
				return f.farm.follow(cmd, c, id, only, cmd.OutOrStdout(), false)
			}
			return f.show(cmd, c, id, only)
		},
		ValidArgsFunction: completeBuilds(&f.farm, lookup),
	}
	f.farm.add(cmd.Flags())
	cmd.Flags().StringVar(&f.id, "id", "", "the build, instead of the argument")
	cmd.Flags().StringVar(&f.platform, "platform", "", "only this platform")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "stay until the build has ended")
	cmd.Flags().BoolVar(&f.group, "group-logs", false, "wrap each platform into a group for GitHub Actions; with --wait the logs come at the build's end")
	return cmd
}

// oneBuild is the build that a command is for: its argument, or --id.
func oneBuild(args []string, id string) (string, error) {
	switch {
	case len(args) == 1 && id != "":
		return "", usageError{errors.New("the build is given twice: as argument and as --id")}
	case len(args) == 1:
		return args[0], nil
	case id != "":
		return id, nil
	}
	return "", usageError{errors.New("no build is given: name it as argument; 'modfarm module build list' shows them")}
}

// parsePlatformFlag reads --platform; zero when it is not given.
func parsePlatformFlag(cmd *cobra.Command, text string) (module.Platform, error) {
	if text == "" {
		return module.Platform{}, nil
	}
	p, err := module.ParsePlatform(text)
	if err != nil {
		return p, usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "platform"), err)}
	}
	return p, nil
}

// show writes the logs one after the other: of the build as it is, or as it ends.
func (f *logsFlags) show(cmd *cobra.Command, c *client.Client, id string, only module.Platform) error {
	ctx := cmd.Context()
	w := newWatch(c, id, only, io.Discard, cmd.ErrOrStderr())
	build, err := w.look(ctx)
	if f.wait {
		build, err = w.changes(ctx)
	}
	if err != nil {
		return f.farm.left(ctx, id, err)
	}
	out := safeOutput(cmd.OutOrStdout())
	for _, job := range build.Jobs {
		if f.group {
			fmt.Fprintf(out, "::group::{%s %s}\n", f.mark(job), job.Platform)
		} else if len(build.Jobs) > 1 {
			fmt.Fprintf(out, "==> %s\n", job.Platform)
		}
		if err := printLog(ctx, c, job, out); err != nil {
			return f.farm.left(ctx, id, err)
		}
		if f.group {
			fmt.Fprintln(out, "::endgroup::")
		}
	}
	if !f.wait {
		return nil
	}
	return verdict(cmd.ErrOrStderr(), build)
}

// mark is how a group says how its platform ended, or that nobody waited for that.
func (f *logsFlags) mark(job client.Job) string {
	switch {
	case !f.wait:
		return "❓"
	case job.OK():
		return "✅"
	}
	return "❌"
}

// errAll ends the reading of a log that goes on.
var errAll = errors.New("all there is was read")

// printLog writes what there is of a job's log.
func printLog(ctx context.Context, c *client.Client, job client.Job, w io.Writer) error {
	if job.LogSize == 0 {
		return nil
	}
	last := byte('\n')
	err := c.FollowLog(ctx, job.ID, 0, func(chunk client.LogChunk) error {
		data := chunk.Data[:min(int64(len(chunk.Data)), job.LogSize-chunk.Offset)]
		if _, err := w.Write(data); err != nil {
			return err
		}
		last = data[len(data)-1]
		if chunk.Offset+int64(len(data)) >= job.LogSize {
			return errAll
		}
		return nil
	})
	if last != '\n' {
		fmt.Fprintln(w)
	}
	if errors.Is(err, errAll) {
		return nil
	}
	return err
}
