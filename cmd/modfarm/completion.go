package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/images"
)

// completionTimeout is how long a shell waits for a farm; nobody likes a prompt
// that hangs.
const completionTimeout = 2 * time.Second

// completeFlags completes the values of flags that several commands have.
func completeFlags(cmd *cobra.Command) {
	values := map[string][]string{
		"platform": platformNames(module.Platforms()), "kind": {"builder", "run", "all"}, "distro": module.Distros(),
		"visibility": {"private", "public", "public_unlisted"},
	}
	for name, known := range values {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp)) // it exists
		}
	}
	if cmd.Flags().Lookup("platforms") != nil {
		_ = cmd.RegisterFlagCompletionFunc("platforms", completeList(buildable())) // it exists
	}
	for _, sub := range cmd.Commands() {
		completeFlags(sub)
	}
}

func buildable() []string {
	var names []string
	for _, p := range module.Platforms() {
		if p.Buildable() {
			names = append(names, p.String())
		}
	}
	return names
}

func platformNames(platforms []module.Platform) []string {
	names := make([]string, 0, len(platforms))
	for _, p := range platforms {
		names = append(names, p.String())
	}
	return names
}

// completeList completes the last element of a list with commas by those that
// are not in it.
func completeList(known []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		done := typed[:strings.LastIndex(typed, ",")+1]
		var values []string
		for _, name := range known {
			if !strings.Contains(","+done, ","+name+",") {
				values = append(values, done+name)
			}
		}
		return values, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// completeImage completes the kind, then the platform of an image.
func completeImage(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return kinds(), cobra.ShellCompDirectiveNoFileComp
	case 1:
		return platformNames(images.Platforms()), cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// ask completes one argument with what a farm answers; with nothing when no key
// is set or the farm is away.
func ask(f *farmFlags, lookup lookupFunc, question func(context.Context, *client.Client, []string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if fromEnvironment(cmd.Flags(), lookup) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := f.client(lookup)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		return question(ctx, c, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeBuilds offers the newest builds.
func completeBuilds(f *farmFlags, lookup lookupFunc) cobra.CompletionFunc {
	const newest = 10
	return ask(f, lookup, func(ctx context.Context, c *client.Client, args []string) (ids []string) {
		if len(args) > 0 {
			return nil
		}
		builds, _ := c.Builds(ctx, module.ID{}, newest) // no answer, no offer
		for _, b := range builds {
			ids = append(ids, b.ID+"\t"+strings.TrimSpace(b.Module.String()+" "+b.Version.String()))
		}
		return ids
	})
}

// completeModules offers the organization's modules.
func completeModules(f *farmFlags, lookup lookupFunc) cobra.CompletionFunc {
	return ask(f, lookup, func(ctx context.Context, c *client.Client, args []string) (ids []string) {
		if len(args) > 0 {
			return nil
		}
		modules, _ := c.Modules(ctx) // no answer, no offer
		for _, m := range modules {
			ids = append(ids, m.ID.String()+"\t"+oneLine(m.Description))
		}
		return ids
	})
}

// completeModuleAnd offers modules, then what one of them has.
func completeModuleAnd(f *farmFlags, lookup lookupFunc, has func(context.Context, *client.Client, module.ID) []string) cobra.CompletionFunc {
	first := completeModules(f, lookup)
	second := ask(f, lookup, func(ctx context.Context, c *client.Client, args []string) []string {
		id, err := module.ParseID(args[0])
		if err != nil {
			return nil
		}
		return has(ctx, c, id)
	})
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return first(cmd, args, typed)
		case 1:
			return second(cmd, args, typed)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeVersions offers modules, then the versions of one.
func completeVersions(f *farmFlags, lookup lookupFunc) cobra.CompletionFunc {
	return completeModuleAnd(f, lookup, func(ctx context.Context, c *client.Client, id module.ID) (versions []string) {
		info, _ := c.Module(ctx, id) // no answer, no offer
		for _, v := range info.Versions {
			versions = append(versions, v.Version.String())
		}
		return versions
	})
}

// completeSpecs offers modules, and behind an @ the versions of one.
func completeSpecs(f *farmFlags, lookup lookupFunc) cobra.CompletionFunc {
	modules := completeModules(f, lookup)
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		name, _, versioned := strings.Cut(typed, "@")
		if !versioned || len(args) > 0 {
			return modules(cmd, args, typed)
		}
		return ask(f, lookup, func(ctx context.Context, c *client.Client, _ []string) (specs []string) {
			id, err := module.ParseID(name)
			if err != nil {
				return nil
			}
			info, _ := c.Module(ctx, id) // no answer, no offer
			for _, v := range info.Versions {
				specs = append(specs, spec(id, v.Version))
			}
			return specs
		})(cmd, args, typed)
	}
}
