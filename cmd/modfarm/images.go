package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	docker "github.com/moby/moby/client"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/images"
)

// imageFlags say where images come from and where what belongs to them is kept.
type imageFlags struct {
	cache, mirror string
}

func (f *imageFlags) add(flags *pflag.FlagSet) {
	cache, err := images.DefaultCacheDir()
	if err != nil { // a service has no home
		cache = "/var/cache/modfarm/images"
	}
	flags.StringVar(&f.cache, "image-cache", cache, "folder of downloads and records of the images")
	flags.StringVar(&f.mirror, "image-mirror", "", "registry to pull base images from, as mirror.example.com:5000 (default the engine's)")
}

// maker makes images in the engine that DOCKER_HOST names.
func (f *imageFlags) maker(env images.BuildEnv, progress func(string)) (*images.Maker, error) {
	cache, err := prepareFolder("image-cache", f.cache)
	if err != nil {
		return nil, err
	}
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("DOCKER_HOST: %w", err)
	}
	return &images.Maker{Docker: engine, CacheDir: cache, Mirror: f.mirror, Env: env, Progress: progress}, nil
}

func newImages(lookup lookupFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "images",
		Short: "Make and list the images that builds and archives run in",
		Long: `Builder images hold compilers and interpreters; run images are small and hold
what an archive may expect of a machine. They are pulled where a registry is
reachable and bootstrapped from Debian's packages where none is; a worker makes
those it needs by itself.`,
	}
	cmd.AddCommand(newImagesMake(lookup), newImagesList(), newImagesRef())
	return cmd
}

func newImagesMake(lookup lookupFunc) *cobra.Command {
	var f imageFlags
	var b buildEnvFlags
	var kind, distro string
	var renew bool
	cmd := &cobra.Command{
		Use:   "make [PLATFORM...]",
		Short: "Make the images of some platforms that the engine lacks (linux/amd64 and linux/arm64 without arguments)",
		Example: `  modfarm images make
  modfarm images make --kind builder linux/arm/v7`,
		ValidArgs: platformNames(images.Platforms()),
		RunE: func(cmd *cobra.Command, args []string) error {
			recipes, err := recipes(kind, distro, args)
			if err != nil {
				return err
			}
			env, ca, err := b.values(lookup)
			if err != nil {
				return err
			}
			began := time.Now()
			maker, err := f.maker(imageEnv(env, ca), func(what string) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%6.1f s  %s\n", time.Since(began).Seconds(), what)
			})
			if err != nil {
				return err
			}
			made, err := provide(cmd.Context(), maker, recipes, renew)
			if err != nil {
				return err
			}
			for _, image := range made {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", image.Ref, image.ID)
			}
			return nil
		},
	}
	f.add(cmd.Flags())
	b.add(cmd.Flags())
	cmd.Flags().StringVar(&kind, "kind", "all", "which images: builder, run, all")
	cmd.Flags().StringVar(&distro, "distro", images.DefaultDistro, "Debian release")
	cmd.Flags().BoolVar(&renew, "renew", false, "make them again with today's packages, although the engine has them")
	return cmd
}

// provide makes the images that are missing, two at a time, or with renew all of
// them, one after the other.
func provide(ctx context.Context, maker *images.Maker, recipes []images.Recipe, renew bool) ([]images.Image, error) {
	if !renew {
		return maker.EnsureAll(ctx, recipes...)
	}
	made := make([]images.Image, 0, len(recipes))
	for _, recipe := range recipes {
		image, err := maker.Renew(ctx, recipe)
		if err != nil {
			return nil, err
		}
		made = append(made, image)
	}
	return made, nil
}

// kinds are the kinds of images, as arguments spell them.
func kinds() []string { return []string{string(images.KindBuilder), string(images.KindRun)} }

// recipes are the images that kind and platforms name; all mistakes at once,
// and each once.
func recipes(kind, distro string, platforms []string) ([]images.Recipe, error) {
	var faults []error
	chosen := []images.Kind{images.Kind(kind)}
	if kind == "all" {
		chosen = []images.Kind{images.KindBuilder, images.KindRun}
	} else if !slices.Contains(kinds(), kind) {
		faults = append(faults, fmt.Errorf("kind %q: use %s or all", kind, strings.Join(kinds(), ", ")))
	}
	if err := module.CheckDistro(distro); err != nil {
		faults = append(faults, fmt.Errorf("distro %w", err))
	}
	if len(platforms) == 0 {
		platforms = []string{"linux/amd64", "linux/arm64"}
	}
	wanted := make([]module.Platform, 0, len(platforms))
	for _, name := range platforms {
		p, err := imagePlatform(name)
		faults = append(faults, err)
		wanted = append(wanted, p)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, usageError{err}
	}
	var made []images.Recipe
	for _, k := range chosen {
		for _, p := range wanted {
			recipe, err := recipeOf(k, distro, p)
			if err != nil {
				return nil, err
			}
			made = append(made, recipe)
		}
	}
	return made, nil
}

// imagePlatform reads a platform that images exist for.
func imagePlatform(name string) (module.Platform, error) {
	p, err := module.ParsePlatform(name)
	if err != nil || !slices.Contains(images.Platforms(), p) {
		return p, fmt.Errorf("platform %q: images exist for %s", name, strings.Join(platformNames(images.Platforms()), ", "))
	}
	return p, nil
}

func recipeOf(kind images.Kind, distro string, p module.Platform) (images.Recipe, error) {
	if kind == images.KindRun {
		return images.Run(p, distro)
	}
	return images.Builder(p, distro)
}

func newImagesRef() *cobra.Command {
	return &cobra.Command{
		Use:     "ref KIND PLATFORM",
		Short:   "Print the name of an image, whether it is made or not",
		Example: "  modfarm images ref run linux/arm64",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(kinds(), args[0]) {
				return usageError{fmt.Errorf("kind %q: use %s", args[0], strings.Join(kinds(), " or "))}
			}
			recipes, err := recipes(args[0], images.DefaultDistro, args[1:])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), recipes[0].Ref())
			return err
		},
		ValidArgsFunction: completeImage,
	}
}
