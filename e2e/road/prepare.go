package road

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/images"
)

// actionImage is the image that action.yml and upload/action.yml name.
const actionImage = "ghcr.io/modfarm/modfarm:0.1.0"

// ActionImage is what a road's workflows run instead. Prepare makes it from the
// checkout, so that they run the code that is looked at; its name is one for each
// checkout, and never that of a release.
func ActionImage(root string) string {
	sum := sha256.Sum256([]byte(root))
	return "modfarm/action:" + hex.EncodeToString(sum[:6])
}

// step is one thing to make beforehand.
type step struct {
	waits string
	argv  []string
}

// Prepare makes what the road needs and this machine lacks: the two programs,
// the images of the platforms, and the image of the Action. Everything is made
// once; a second call takes seconds. root is the checkout.
func Prepare(ctx context.Context, root string, out io.Writer, platforms []module.Platform) (modfarm, act string, err error) {
	modfarm, err = PrepareFarm(ctx, root, out, platforms)
	if err != nil {
		return "", "", err
	}
	err = prepareSteps(ctx, root, out, []step{
		{"act, which runs workflows (built once)", []string{"make", "--no-print-directory", ".cache/bin/act"}},
		{"run images of " + named(platforms) + " (once)", imagesMake(modfarm, "run", platforms)},
		{"the image of the Action", []string{"make", "--no-print-directory", "image", "IMAGE=" + ActionImage(root)}},
	})
	return modfarm, filepath.Join(root, ".cache", "bin", "act"), err
}

// PrepareFarm makes what a farm by itself needs: the program and the builder
// images of the platforms.
func PrepareFarm(ctx context.Context, root string, out io.Writer, platforms []module.Platform) (modfarm string, err error) {
	modfarm = filepath.Join(root, ".cache", "bin", "modfarm")
	err = prepareSteps(ctx, root, out, []step{
		{"the modfarm binary", []string{"make", "--no-print-directory", "build"}},
		{"builder images of " + named(platforms) + " (minutes, once)", imagesMake(modfarm, "builder", platforms)},
	})
	return modfarm, err
}

// PrepareRun makes the small images in which archives of the platforms are
// started, with a program that PrepareFarm made.
func PrepareRun(ctx context.Context, root string, out io.Writer, modfarm string, platforms []module.Platform) error {
	return prepareSteps(ctx, root, out, []step{
		{"run images of " + named(platforms) + " (once)", imagesMake(modfarm, "run", platforms)},
	})
}

func imagesMake(modfarm, kind string, platforms []module.Platform) []string {
	argv := []string{modfarm, "images", "make", "--kind", kind}
	for _, p := range platforms {
		argv = append(argv, p.String())
	}
	return argv
}

func named(platforms []module.Platform) string {
	names := make([]string, len(platforms))
	for i, p := range platforms {
		names[i] = p.String()
	}
	return strings.Join(names, " and ")
}

func prepareSteps(ctx context.Context, root string, out io.Writer, steps []step) error {
	for _, step := range steps {
		if err := prepareStep(ctx, root, out, step.waits, step.argv); err != nil {
			return err
		}
	}
	return nil
}

func prepareStep(ctx context.Context, root string, out io.Writer, waits string, argv []string) error {
	began := time.Now()
	fmt.Fprintf(out, "waiting for   %s\n", waits)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = root
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own: a terminal's Ctrl-C would be the first signal, ours the
	// second, and at a second one programs do not clean up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Env = os.Environ()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %s: %w", waits, strings.Join(argv, " "), err)
	}
	if took := time.Since(began); took > 3*time.Second {
		fmt.Fprintf(out, "              took %.0f s\n", took.Seconds())
	}
	return nil
}

// runImage names the small image in which archives of a platform are started.
func (r *Road) runImage(p module.Platform) (string, error) {
	recipe, err := images.Run(p, "bookworm")
	if err != nil {
		return "", err
	}
	return recipe.Ref(), nil
}
