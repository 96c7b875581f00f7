package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

// limitFlags bound each build of a worker.
type limitFlags struct {
	memory, fileSize, disk string
	logLine, logTotal      string
	cpus                   float64
	pids, openFiles        int
	timeouts               module.Timeouts
	grace                  time.Duration
}

// mostGrace keeps a build that was cancelled from holding its place for long.
const mostGrace = time.Minute

func (f *limitFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.memory, "memory", "", "memory of one build with its /dev/shm, as 4g (default three quarters of the machine's, shared by --slots)")
	flags.Float64Var(&f.cpus, "cpus", 0, "processors of one build, as 1.5 (default all)")
	flags.IntVar(&f.pids, "pids", 4096, "processes and threads of one build at a time")
	flags.IntVar(&f.openFiles, "open-files", 0, "open files of one process (default 65536, or the engine's limit where that is lower)")
	flags.StringVar(&f.fileSize, "file-size", "50g", "largest file that a build may write")
	flags.StringVar(&f.disk, "disk", "", "disk of one build, as 20g: its workspace, the rest of its container and what its cache grows (default 40g, or less when the disk has less for each of --slots)")
	flags.StringVar(&f.logLine, "log-line", "64k", "bytes of one line of output that a log keeps")
	flags.StringVar(&f.logTotal, "log-total", "64m", "bytes of output of one build; one that writes more is stopped")
	d := workers.DefaultTimeouts()
	flags.DurationVar(&f.timeouts.Setup, "timeout-setup", d.Setup, "longest time of the setup step; timeouts in modfarm.yaml can only shorten it")
	flags.DurationVar(&f.timeouts.Build, "timeout-build", d.Build, "longest time of the build step; timeouts in modfarm.yaml can only shorten it")
	flags.DurationVar(&f.timeouts.Total, "timeout-total", d.Total, "longest time of all steps and the inspection; timeouts in modfarm.yaml can only shorten it")
	flags.DurationVar(&f.grace, "stop-grace", docker.DefaultGrace, "how long scripts that are to end, such as those of a cancelled build, have from SIGTERM to SIGKILL")
}

// logLimits are what a log may hold, in bytes.
type logLimits struct{ line, total int64 }

// parse checks the flags; all mistakes at once.
func (f *limitFlags) parse() (limits docker.Limits, logs logLimits, err error) {
	var faults []error
	size := func(flag, value string, least int64, into *int64) {
		if value == "" {
			return // the default
		}
		n, err := units.RAMInBytes(value)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("--%s %q: a size such as 512m or 4g is wanted", flag, value))
		case n < least:
			faults = append(faults, fmt.Errorf("--%s %q: at least %s", flag, value, units.BytesSize(float64(least))))
		}
		*into = n
	}
	size("memory", f.memory, 16<<20, &limits.Memory)
	size("file-size", f.fileSize, 1<<20, &limits.FileSize)
	size("disk", f.disk, 1<<20, &limits.Disk)
	size("log-line", f.logLine, 80, &logs.line)
	size("log-total", f.logTotal, 1<<10, &logs.total)
	count := func(flag string, n, least int) int64 {
		if n < least {
			faults = append(faults, fmt.Errorf("--%s %d: at least %d", flag, n, least))
		}
		return int64(n)
	}
	limits.Processes = count("pids", f.pids, 16)
	if f.openFiles != 0 {
		limits.OpenFiles = count("open-files", f.openFiles, 16)
	}
	if f.cpus < 0 {
		faults = append(faults, fmt.Errorf("--cpus %g: at least 0, which is all of them", f.cpus))
	}
	limits.CPUs = f.cpus
	long := func(flag string, d time.Duration) {
		if d < time.Second {
			faults = append(faults, fmt.Errorf("--%s %s: at least 1s", flag, d))
		}
	}
	long("timeout-setup", f.timeouts.Setup)
	long("timeout-build", f.timeouts.Build)
	long("timeout-total", f.timeouts.Total)
	if f.grace < 0 || f.grace > mostGrace {
		faults = append(faults, fmt.Errorf("--stop-grace %s: 0s to %s", f.grace, mostGrace))
	}
	limits.Grace = f.grace
	return limits, logs, errors.Join(faults...)
}
