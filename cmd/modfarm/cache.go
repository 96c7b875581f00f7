package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/workers/docker"
)

// cacheFlags say whose caches are meant.
type cacheFlags struct {
	work, worker string
	json         bool
}

func (f *cacheFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.work, "work", filepath.Join(defaultData(), "work"), "work folder of the worker, which remembers when a cache was used last")
	flags.StringVar(&f.worker, "worker", "", "only the caches that this worker made")
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

// caches reaches the container engine; close it in the end.
func (f *cacheFlags) caches(cmd *cobra.Command, lookup lookupFunc) (*docker.Caches, error) {
	if data, _ := lookup("MODFARM_DATA"); data != "" && !cmd.Flags().Changed("work") {
		f.work = filepath.Join(data, "work") // where 'up' has it
	}
	engine, err := docker.Connect(cmd.Context())
	if err != nil {
		return nil, err
	}
	return &docker.Caches{Engine: engine, WorkDir: f.work, Worker: f.worker}, nil
}

func newCache(lookup lookupFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "List and remove what builds keep for the next build",
		Long: `Builds of one module for one platform share a cache: of Go, pip, ccache, apt, and
of the folders that modfarm.yaml names. Releases have a cache of their own. The
caches are volumes of this machine's container engine, and a worker keeps its own
within --cache-size by itself.`,
	}
	cmd.AddCommand(newCacheList(lookup), newCachePrune(lookup))
	return cmd
}

func newCacheList(lookup lookupFunc) *cobra.Command {
	var f cacheFlags
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the caches of this machine, the one used last first",
		Example: "  modfarm cache ls\n  modfarm cache ls --worker builder-1 --json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			caches, err := f.caches(cmd, lookup)
			if err != nil {
				return err
			}
			defer caches.Engine.Close()
			list, err := caches.List(cmd.Context())
			if err != nil {
				return err
			}
			return f.print(cmd, list)
		},
	}
	f.add(cmd.Flags())
	return cmd
}

func newCachePrune(lookup lookupFunc) *cobra.Command {
	var f cacheFlags
	var keep string
	var unused time.Duration
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove caches, those first that were used longest ago",
		Long: `Remove caches until what is left takes --keep at most, those first that were used
longest ago, and those that were not used for --unused-for. With neither flag all
go. The cache of a build that is running stays.`,
		Example: "  modfarm cache prune --keep 5g\n  modfarm cache prune --unused-for 720h --keep 100g",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			most, err := units.RAMInBytes(cmp.Or(keep, "0"))
			if err != nil {
				return usageError{fmt.Errorf("--keep %q: a size such as 500m or 5g is wanted", keep)}
			}
			if keep == "" && unused > 0 {
				most = 1 << 62 // only age counts
			}
			var since time.Time
			if unused > 0 {
				since = time.Now().Add(-unused)
			}
			caches, err := f.caches(cmd, lookup)
			if err != nil {
				return err
			}
			defer caches.Engine.Close()
			removed, err := caches.Prune(cmd.Context(), most, since)
			if perr := f.print(cmd, removed); err == nil {
				err = perr
			}
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&keep, "keep", "", "size that the caches may keep, as 5g (default none)")
	cmd.Flags().DurationVar(&unused, "unused-for", 0, "remove what was not used for so long, as 720h")
	return cmd
}

func (f *cacheFlags) print(cmd *cobra.Command, list []docker.Cache) error {
	if f.json {
		if list == nil {
			list = []docker.Cache{}
		}
		return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODULE\tPLATFORM\tSCOPE\tSIZE\tLAST USED\tWORKER\tVOLUME")
	for _, c := range list {
		size, used := "?", units.HumanDuration(time.Since(c.UsedAt))+" ago"
		if c.Size >= 0 {
			size = units.BytesSize(float64(c.Size))
		}
		switch {
		case c.InUse:
			used = "now"
		case c.UseUnknown:
			used = "unknown"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(c.Module, "?"), cmp.Or(c.Platform, "?"), cmp.Or(c.Scope, "?"), size, used, c.Worker, c.Name)
	}
	return w.Flush()
}
