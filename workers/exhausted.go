package workers

import (
	"fmt"
	"regexp"
	"syscall"

	"github.com/docker/go-units"
)

// Exceeded is the error of a command that was stopped because its container used more than a limit allows. It is
// the module's own doing, so another attempt would end alike.
type Exceeded struct {
	// What goes on after the name of the step: "used 21GiB of disk, …; raise …".
	What string
}

func (e *Exceeded) Error() string { return "the build " + e.What }

// stopped names the step in the sentence of a limit.
func stopped(s step, e *Exceeded) error { return failed("%s %s", s.key, e.What) }

// signalled is the exit status of a process that a signal ended, as shells and engines spell it.
func signalled(s syscall.Signal) int { return 128 + int(s) }

// sigXFSZ is the signal of a file that grows too large, in the Linux of the containers.
const sigXFSZ = syscall.Signal(25)

// Words by which programs tell that they met a limit. They only decide what is said about a failure.
var (
	saysFileTooLarge = regexp.MustCompile(`(?i)file size limit exceeded|file too large|EFBIG`)
	saysNoProcess    = regexp.MustCompile(
		`(?i)fork: (?:retry: )?resource temporarily unavailable|cannot fork|can't start new thread|failed to create new OS thread|pthread_create[^\n]*failed`)
	saysNoFiles = regexp.MustCompile(`(?i)too many open files|EMFILE`)
	saysNoSpace = regexp.MustCompile(`(?i)no space left on device|ENOSPC`)
)

// exhausted says which limit a failed script ran into; nil when it was none.
func exhausted(key string, exit Exit, output string) error {
	switch {
	case exit.EndedContainer:
		return failed("%s ended its own container, as kill -9 -1 does; let it end only processes that it started", key)
	case exit.OutOfMemory:
		return failed("%s ran out of memory: %swhen all %s were used; build with fewer processes at a time (make -j1), "+
			"or have the worker's owner raise --memory", key, victim(exit.Killed), bytesOr(exit.MemoryLimit, "its memory"))
	case exit.Code == signalled(sigXFSZ) || saysFileTooLarge.MatchString(output):
		return failed("%s wrote a file larger than the %s that one file may have here; write less into one file, "+
			"or have the worker's owner raise --file-size", key, bytesOr(exit.FileSizeLimit, "size"))
	case exit.ForksRefused > 0 || saysNoProcess.MatchString(output):
		return failed("%s was refused a new process or thread%s: %s may run at a time here, and that many did; run fewer at a time, "+
			"or have the worker's owner raise --pids%s", key, times(exit.ForksRefused), countOr(exit.ProcessLimit), said(output))
	case saysNoFiles.MatchString(output):
		return failed("%s had too many open files: one process may have %s here; close some, or have the worker's owner raise --open-files: %s",
			key, countOr(exit.OpenFilesLimit), lastLine(output))
	case saysNoSpace.MatchString(output):
		return failed("%s found a file system full: /dev/shm holds %s here, which count as memory, and the rest is the worker's disk; "+
			"write to /tmp instead, or have the worker's owner free space: %s", key, bytesOr(exit.SharedMemory, "little"), lastLine(output))
	}
	return nil
}

func victim(name string) string {
	if name == "" {
		return "the kernel ended a process "
	}
	return fmt.Sprintf("the kernel ended %q ", name)
}

// said is the last line of an output after a colon, where that is not empty.
func said(output string) string {
	if line := lastLine(output); line != "" {
		return ": " + line
	}
	return ""
}

func times(n int64) string {
	switch {
	case n <= 0:
		return ""
	case n == 1:
		return " once"
	}
	return fmt.Sprintf(" %d times", n)
}

func bytesOr(n int64, unknown string) string {
	if n <= 0 {
		return unknown
	}
	return size(n)
}

func countOr(n int64) string {
	if n <= 0 {
		return "only so many"
	}
	return fmt.Sprint(n)
}

// size spells bytes as the worker's flags do.
func size(bytes int64) string { return units.BytesSize(float64(bytes)) }
