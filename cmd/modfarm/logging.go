package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/modfarm/modfarm/farm/redis"
)

// lookupFunc reads the environment, as os.LookupEnv does.
type lookupFunc = func(string) (string, bool)

// logFlags say what the program tells of its own doing, on standard error.
type logFlags struct {
	level  string
	format string
}

func (f *logFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.level, "log-level", "info", "least level of log lines: debug, info, warn, error")
	flags.StringVar(&f.format, "log-format", "text", "form of log lines: text, json")
}

// logger makes the process's logger, and leads into it what the Redis library
// would write to standard error by itself. That setting is the library's, one for
// the whole process, so it is made here, once, where the form of log lines is known.
func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: use debug, info, warn or error", f.level)}
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler
	switch f.format {
	case "text":
		handler = slog.NewTextHandler(w, options)
	case "json":
		handler = slog.NewJSONHandler(w, options)
	default:
		return nil, usageError{fmt.Errorf("--log-format %q: use text or json", f.format)}
	}
	log := slog.New(handler)
	redis.LogTo(log)
	return log, nil
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
