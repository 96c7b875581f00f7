// Command go-sensor is a module: a machine starts it with a Unix socket path, or
// host:port, as first argument and talks gRPC with it. With --once it reads its
// source a single time and prints the reading, for trying it by hand.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"example.com/acme/go-sensor/climate"
	"example.com/acme/go-sensor/sensormodule"
)

// stopGrace is how long calls under way may take once the machine says stop; it kills a module that takes long.
const stopGrace = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "go-sensor:", err)
		}
		os.Exit(1)
	}
}

type options struct {
	address string
	tcp     bool
	level   slog.Level
	once    bool
	url     string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, err := parseArgs(args, stderr)
	if err != nil {
		return err
	}
	if opts.once {
		return readOnce(ctx, opts.url, stdout)
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: opts.level}))
	return serve(ctx, opts, log)
}

// parseArgs accepts the address before the flags, as machines write it, or after them.
func parseArgs(args []string, stderr io.Writer) (options, error) {
	var opts options
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		opts.address, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("go-sensor", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: go-sensor <socket path | host:port> [--log-level=info] [--tcp-mode]\n       go-sensor --once --url=http://host/climate.json")
	}
	level := flags.String("log-level", "info", "debug, info, warn or error")
	flags.BoolVar(&opts.tcp, "tcp-mode", false, "the address is host:port")
	flags.BoolVar(&opts.once, "once", false, "print one reading and end")
	flags.StringVar(&opts.url, "url", "", "the source, with --once")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if opts.address == "" {
		opts.address = flags.Arg(0)
	}
	if opts.address == "" && !opts.once {
		flags.Usage()
		return options{}, errors.New("the first argument is missing: the socket path or host:port to serve on")
	}
	if err := opts.level.UnmarshalText([]byte(*level)); err != nil {
		opts.level = slog.LevelInfo // a level this program does not know is no reason not to run
	}
	return opts, nil
}

func readOnce(ctx context.Context, url string, stdout io.Writer) error {
	config, err := climate.ParseConfig(map[string]any{"url": url})
	if err != nil {
		return err
	}
	reading, err := climate.NewSensor(config).Read(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(sensormodule.Readings(reading))
}

func serve(ctx context.Context, opts options, log *slog.Logger) error {
	listener, err := listen(opts)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	module := sensormodule.Register(server)
	defer module.Close()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("serving", "address", opts.address, "model", sensormodule.Model)
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", opts.address, err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	timer := time.AfterFunc(stopGrace, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
	return nil
}

func listen(opts options) (net.Listener, error) {
	network := "unix"
	if opts.tcp || (strings.Contains(opts.address, ":") && !strings.Contains(opts.address, "/")) {
		network = "tcp"
	} else if err := removeSocket(opts.address); err != nil {
		return nil, err
	}
	listener, err := net.Listen(network, opts.address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", opts.address, err)
	}
	return listener, nil
}

// removeSocket clears away the socket of a run that was killed, and only a socket.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket; give another path", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket a former run left behind: %w", err)
	}
	return nil
}
