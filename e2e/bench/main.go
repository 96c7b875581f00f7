// Command bench measures what the farm costs, each thing against a baseline that
// is taken in the same run on the same machine, and prints one line a measure:
//
//	bench <name> <value> goal <bound> ok|short
//
// Values and bounds are ratios (1.03x), added seconds (+0.41s), or, of an idle
// farm, memory (61MiB) and processor time (0.31%). A value is the median of five
// rounds, and of a ratio or a difference the median of what each round gave,
// whose parts run one after the other: a machine that slows down meanwhile slows
// down both. Two values are taken otherwise. The build under QEMU, which is the
// baseline of cross-vs-qemu and of incremental-qemu, takes minutes and is made
// once; where only the first needs it, it is ended when it took ten times as long
// as the cross build, and then counts as that. And the
// processor time of an idle farm is its sum over all rounds.
//
// It ends with status 1 when a measure is short, and with 2 when one could not be
// taken. What it does meanwhile is told on standard error.
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
	"regexp"
	"syscall"
	"time"
)

// measure is one comparison. Each is a value, so that others only have to be
// added to the list.
type measure interface {
	// Name is what the line begins with, and what -run chooses by.
	Name() string
	// Run takes the measure. A product that is slow is no error.
	Run(ctx context.Context, l *lab) (result, error)
}

// measures are all there are, in the order in which they run: what disturbs
// least comes first.
func measures() []measure {
	logs := &chatter{}
	sensor := &sensorBuilds{}
	resolves := &resolving{}
	starts := &starting{}
	hooks := &webhooks{}
	return []measure{
		startUp{},
		idleMemory{},
		idleCPU{},
		resolveRate{resolves},
		resolveTail{resolves},
		resolveScale{resolves},
		webhookTail{hooks},
		webhookActed{hooks},
		inspection{},
		uploadDurable{},
		uploadInspected{},
		uploadGRPC{},
		download{name: "download-1", streams: 1, each: transferred, bound: 0.95},
		download{name: "download-32", streams: 32, each: transferred / 8, bound: 0.85},
		transferMemory{},
		startLatency{starts},
		startTail{starts},
		startCall{starts},
		jobMemory{},
		logLatency{},
		logRate{logs},
		logMemory{logs},
		smallBuild{},
		longBuild{sensor},
		crossVsNative{sensor},
		crossVsQEMU{sensor},
		vsAct{sensor},
		incremental{sensor, nativeKind},
		incremental{sensor, crossKind},
		incremental{sensor, qemuKind},
		eightJobs{},
	}
}

// Statuses that bench ends with.
const (
	statusShort  = 1
	statusFailed = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if dir := os.Getenv(bareEnv); dir != "" {
		fmt.Fprintln(os.Stderr, "bench:", serveBare(ctx, dir))
		os.Exit(statusFailed)
	}
	status, err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	stop()
	os.Exit(status)
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) (status int, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	run := flags.String("run", "", "take only the measures whose names match this `regexp`")
	asJSON := flags.Bool("json", false, "print one JSON object a measure instead of a line")
	rounds := flags.Int("rounds", 5, "rounds of each measure; fewer than 5 are for trying things out")
	modfarm := flags.String("modfarm", "", "the `program` that is measured (default one that is built from this checkout)")
	if err := flags.Parse(args); err != nil {
		return statusFailed, nil //nolint:nilerr // the flags have told it
	}
	wanted, err := regexp.Compile(*run)
	if err != nil {
		return statusFailed, fmt.Errorf("-run: %w", err)
	}
	if *rounds < 1 {
		return statusFailed, fmt.Errorf("-rounds %d: at least 1", *rounds)
	}
	l, err := openLab(ctx, *modfarm, *rounds, stderr)
	if err != nil {
		return statusFailed, err
	}
	status, err = takeAll(ctx, l, chosen(wanted), printer(stdout, *asJSON))
	if cerr := l.close(ctx); cerr != nil {
		return statusFailed, errors.Join(err, cerr)
	}
	return status, err
}

// chosen are the measures to take. Those that share builds learn which of them
// will be asked for, so that each round makes no others.
func chosen(wanted *regexp.Regexp) []measure {
	var list []measure
	for _, m := range measures() {
		if !wanted.MatchString(m.Name()) {
			continue
		}
		if s, ok := m.(interface{ expect() }); ok {
			s.expect()
		}
		list = append(list, m)
	}
	return list
}

// takeAll takes measures and prints each as soon as it is there. One that cannot
// be taken does not keep the others from it.
func takeAll(ctx context.Context, l *lab, list []measure, show func(string, result) error) (status int, err error) {
	if len(list) == 0 {
		return statusFailed, errors.New("-run matches no measure")
	}
	for _, m := range list {
		began := time.Now()
		r, merr := m.Run(ctx, l)
		if merr == nil {
			l.say("%s took %.0f s", m.Name(), time.Since(began).Seconds())
			merr = show(m.Name(), r)
		}
		switch {
		case ctx.Err() != nil:
			return statusFailed, errors.Join(err, context.Cause(ctx))
		case merr != nil:
			status, err = statusFailed, errors.Join(err, fmt.Errorf("%s: %w", m.Name(), merr))
		case !r.ok():
			status = max(status, statusShort)
		}
	}
	return status, err
}

func printer(out io.Writer, asJSON bool) func(string, result) error {
	if !asJSON {
		return func(name string, r result) error {
			_, err := fmt.Fprintf(out, "bench %s %s\n", name, r)
			return err
		}
	}
	encoder := json.NewEncoder(out)
	return func(name string, r result) error { return encoder.Encode(r.fields(name)) }
}
