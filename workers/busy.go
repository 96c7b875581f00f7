package workers

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// What a trial's program has to live, per thread that wants a processor. An entrypoint lives once exec and the loader
// succeeded: a broken one ends within a few milliseconds, an emulated one within some ten times as many, and both within
// many times that on a machine that is busy building.
const (
	aliveNative   = 300 * time.Millisecond
	aliveEmulated = time.Second
	// mostBusy bounds how much longer that gets on a busy machine, and is what a machine counts for that does not say.
	mostBusy, unknownBusy = 10, 3
)

// busyness is how many threads want each processor of this machine, now or in the last minute: at least 1, at most
// mostBusy.
func busyness() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return unknownBusy // not Linux
	}
	return busynessOf(string(text), runtime.NumCPU())
}

// busynessOf reads it off the text of /proc/loadavg, as in "0.20 0.18 0.12 1/80 11206": the mean of the last minute is
// first, the threads that want a processor now stand before the slash. See proc_loadavg(5).
func busynessOf(loadavg string, processors int) float64 {
	fields := strings.Fields(loadavg)
	if len(fields) < 4 {
		return unknownBusy
	}
	running, _, _ := strings.Cut(fields[3], "/")
	mean, err1 := strconv.ParseFloat(fields[0], 64)
	now, err2 := strconv.ParseFloat(running, 64)
	if err1 != nil || err2 != nil {
		return unknownBusy
	}
	return min(max(1, max(mean, now)/float64(processors)), mostBusy)
}

// aliveFor is how long a program has to live that is started natively or emulated.
func aliveFor(native bool, busy float64) time.Duration {
	least := aliveEmulated
	if native {
		least = aliveNative
	}
	return time.Duration(busy * float64(least)).Round(100 * time.Millisecond)
}
