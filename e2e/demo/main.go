// Command demo shows the main job on this machine: a version tag of two example
// modules becomes checked, published archives for two platforms that are
// downloaded and run. It leaves nothing running.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

func main() {
	dir := flag.String("dir", ".demo", "folder to work in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := demo(ctx, *dir, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func demo(ctx context.Context, dir string, out io.Writer) (err error) {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "action.yml")); err != nil {
		return errors.New("run it as `make demo` from the top of the checkout")
	}
	began := time.Now()
	platforms := []module.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}}
	modfarm, act, err := road.Prepare(ctx, root, out, platforms)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	r, err := road.Open(ctx, road.Config{
		Root: root, Dir: dir, Modfarm: modfarm, Act: act, Tag: "v0.1.0", Out: out, UpArgs: road.UpArgs(os.LookupEnv),
		ActionImage: road.ActionImage(root),
	})
	if err != nil {
		return err
	}
	artifacts, err := r.TravelAll(ctx, road.GoSensor(), road.PythonSensor())
	if err := errors.Join(err, r.Close()); err != nil { //nolint:contextcheck // what was begun ends also after an interrupt
		return err
	}
	fmt.Fprintf(out, "\ndone in %.0f s; each archive was downloaded, compared and started on its platform\n", time.Since(began).Seconds())
	fmt.Fprintf(out, "the farm's API key is in %s; while it runs, for example:\n", r.KeyFile())
	fmt.Fprintf(out, "  set -a; . %s; set +a; %s module build list acme:go-sensor\n\n", r.KeyFile(), r.Program())
	for _, a := range artifacts {
		fmt.Fprintln(out, a)
	}
	fmt.Fprintf(out, "\ngo on with this farm:\n%s\n", r.GoOn())
	return nil
}
