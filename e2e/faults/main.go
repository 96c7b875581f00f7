// Command faults kills, starves and cuts off the parts of a farm while it builds, with real processes, a real
// Redis and a real container engine, and prints one line a case:
//
//	fault <name> ok|lost <seconds until it was noticed>
//
// and last how many were ok, as `faults 40/41`. After each case every accepted build has ended in exactly one
// release or one explained failure, no digest has changed, a reader has seen each byte of the log once, and no
// container, volume, network or workspace is left; otherwise the case is lost. What it does meanwhile is told on
// standard error.
//
// It ends with status 1 when a case is lost, and with 2 when cases could not be tried.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// Statuses that faults ends with.
const (
	statusLost   = 1
	statusFailed = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
	stop()
	os.Exit(status)
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) (status int, err error) {
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.SetOutput(stderr)
	run := flags.String("run", "", "try only the cases whose names match this `regexp`")
	asJSON := flags.Bool("json", false, "print one JSON object a case instead of a line")
	update := flags.Bool("update", false, "write the table of docs/reliability.md; with -run, only the rows of those cases")
	modfarm := flags.String("modfarm", "", "the `program` that is tried (default one that is built from this checkout)")
	if err := flags.Parse(args); err != nil {
		return statusFailed, nil //nolint:nilerr // the flags have told it
	}
	wanted, err := regexp.Compile(*run)
	if err != nil {
		return statusFailed, fmt.Errorf("-run: %w", err)
	}
	list, err := chosen(wanted) //nolint:contextcheck // a trial holds the context of its case
	if err != nil {
		return statusFailed, err
	}
	root, err := os.Getwd()
	if err != nil {
		return statusFailed, err
	}
	l, err := openLab(ctx, root, *modfarm, stderr)
	if err != nil {
		return statusFailed, err
	}
	outcomes, err := l.tryAll(ctx, list, printer(stdout, *asJSON))
	if err == nil && *update {
		err = updateTable(filepath.Join(root, "docs", "reliability.md"), outcomes) //nolint:contextcheck // a trial holds the context of its case
	}
	if err := errors.Join(err, l.close()); err != nil {
		return statusFailed, err
	}
	ok := 0
	for _, o := range outcomes {
		if o.err == nil {
			ok++
		}
	}
	if !*asJSON {
		fmt.Fprintf(stdout, "faults %d/%d\n", ok, len(outcomes))
	}
	if ok < len(outcomes) {
		return statusLost, nil
	}
	return 0, nil
}

// chosen are the cases to try.
func chosen(wanted *regexp.Regexp) ([]fault, error) {
	var list []fault
	root := true
	for _, f := range faults() {
		if wanted.MatchString(f.name) {
			list = append(list, f)
			root = root && !f.root
		}
	}
	if len(list) == 0 {
		return nil, errors.New("-run matches no case")
	}
	if !root && os.Geteuid() != 0 {
		return nil, errors.New("cases with namespaces, small disks and an engine of their own need root: run it by sudo, or choose others with -run")
	}
	return list, nil
}

// tryAll tries cases one after the other. One that is lost does not keep the others from it.
func (l *lab) tryAll(ctx context.Context, list []fault, show func(outcome) error) ([]outcome, error) {
	var all []outcome
	for _, f := range list {
		began := time.Now()
		noticed, err := l.try(ctx, f)
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		if err == nil && f.within > 0 && noticed > f.within {
			err = fmt.Errorf("it was noticed after %.1f s, and should have been within %.0f s", noticed.Seconds(), f.within.Seconds())
		}
		o := outcome{fault: f, noticed: noticed, err: err}
		all = append(all, o)
		if err != nil {
			l.say("%s: %v", f.name, err)
		}
		l.say("%s took %.0f s", f.name, time.Since(began).Seconds())
		if err := show(o); err != nil {
			return all, err
		}
	}
	return all, nil
}

func printer(out io.Writer, asJSON bool) func(outcome) error {
	if !asJSON {
		return func(o outcome) error {
			_, err := fmt.Fprintln(out, o)
			return err
		}
	}
	encoder := json.NewEncoder(out)
	return func(o outcome) error { return encoder.Encode(o.fields()) }
}
