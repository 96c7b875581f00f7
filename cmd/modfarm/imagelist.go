package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/images"
)

func newImagesList() *cobra.Command {
	var f imageFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the images that the engine has, with their digests",
		Long: `List the builder and run images that the engine has, whoever made them. Packages
and seconds are known of those that were made with this image cache. An image
that is not current belongs to another version of this program: no build uses it.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			engine, err := docker.Connect(cmd.Context())
			if err != nil {
				return err
			}
			_ = engine.Close() // only to know in plain words that it answers
			maker, err := f.maker(images.BuildEnv{}, nil)
			if err != nil {
				return err
			}
			list, err := maker.List(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			return printImages(cmd.OutOrStdout(), list)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printImages(w io.Writer, list []images.Listed) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "IMAGE\tDIGEST\tCURRENT\tSOURCE\tSIZE\tPACKAGES\tSECONDS\tMADE")
	for _, i := range list {
		current, packages, seconds, made := "no", "-", "-", i.CreatedAt
		if i.Current {
			current = "yes"
		}
		if r := i.Record; r != nil {
			packages, seconds, made = fmt.Sprint(len(r.Packages)), fmt.Sprint(r.Seconds), r.MadeAt
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Ref, i.ImageID, current, cmp.Or(i.Source, "-"),
			units.HumanSize(float64(i.Size)), packages, seconds, made.UTC().Format(time.DateTime))
	}
	return table.Flush()
}
