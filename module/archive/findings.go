package archive

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/modfarm/modfarm/module"
)

const (
	// maxFaults is how many faults are listed; an archive can have a million.
	maxFaults = 50
	// maxUnlisted is how many more are counted before the inspection gives up.
	maxUnlisted = 10_000
	// maxListed is how many names a warning lists.
	maxListed = 10
)

// findings collects what is wrong and what is odd, in bounded memory.
type findings struct {
	faults        module.Faults
	unlisted      int // faults beyond maxFaults
	wrongPlatform bool
	warnings      []string
	groups        []*group
}

// group is one warning about many names.
type group struct {
	text  string
	names []string
	count int
}

// fault records a fault at a name in the archive.
func (f *findings) fault(name, value, problem, advice string) {
	if len(f.faults) >= maxFaults {
		f.unlisted++
		return
	}
	f.faults = append(f.faults, module.Fault{Path: printable(name), Value: value, Problem: problem, Advice: advice})
}

// foreign records a fault that makes the archive one for another platform.
func (f *findings) foreign(name, value, problem, advice string) {
	f.wrongPlatform = true
	if len(f.faults) >= maxFaults { // never hide the reason behind other faults
		f.faults = f.faults[:maxFaults-1]
		f.unlisted++
	}
	f.fault(name, value, problem, advice)
}

// warn records a sentence.
func (f *findings) warn(format string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(format, args...))
}

// list adds a name to the warning that begins with text.
func (f *findings) list(text, name string) {
	for _, g := range f.groups {
		if g.text == text {
			g.add(name)
			return
		}
	}
	g := &group{text: text}
	g.add(name)
	f.groups = append(f.groups, g)
}

func (g *group) add(name string) {
	g.count++
	if len(g.names) < maxListed {
		g.names = append(g.names, printable(name))
	}
}

// refused returns the error for the faults, or nil when there are none.
func (f *findings) refused() error {
	if len(f.faults) == 0 {
		return nil
	}
	faults := f.faults
	if f.unlisted > 0 {
		faults = append(faults, module.Fault{Problem: fmt.Sprintf("and %d more faults", f.unlisted), Advice: "mend these first"})
	}
	return &Refused{Faults: faults, WrongPlatform: f.wrongPlatform}
}

// sentences prints all warnings.
func (f *findings) sentences() []string {
	out := f.warnings
	for _, g := range f.groups {
		s := g.text + ": " + strings.Join(g.names, ", ")
		if more := g.count - len(g.names); more > 0 {
			s += fmt.Sprintf(", and %d more", more)
		}
		out = append(out, s)
	}
	return out
}

// printable makes a name from an archive safe to show on a terminal, and short.
func printable(name string) string {
	const longest = 200
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + "…"
	}
	for _, c := range name {
		if !strconv.IsPrint(c) {
			return strconv.Quote(name)
		}
	}
	return name
}

// gigabytes prints a size the way the limits are given.
func gigabytes(n int64) string {
	switch {
	case n >= 1_000_000_000:
		return strconv.FormatFloat(float64(n)/1e9, 'f', -1, 64) + " GB"
	case n >= 1_000_000:
		return strconv.FormatFloat(float64(n)/1e6, 'f', -1, 64) + " MB"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}
