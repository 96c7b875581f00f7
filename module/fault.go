package module

import (
	"strconv"
	"strings"
)

// Fault is one thing wrong with an input: where it is, what stands there, why that
// is wrong, and what to do about it.
type Fault struct {
	// Path is where the value is, as "build.arch[1]"; empty for the input as a whole.
	Path string `json:"path,omitempty"`
	// Value is what stands there, shortened when long; empty when nothing does.
	Value string `json:"value,omitempty"`
	// Problem says what is wrong, without a final full stop.
	Problem string `json:"problem"`
	// Advice says what to do, as an imperative; may be empty.
	Advice string `json:"advice,omitempty"`
	// Line is the line of the value in its file, from 1; 0 when unknown.
	Line int `json:"line,omitempty"`
}

// maxFaultValue bounds how much of a wrong value is repeated to its author, in bytes.
const maxFaultValue = 120

// String prints the fault on one line, as
// `line 7: build.arch[1]: "linux/risc": not a platform; use one of …`.
func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		b.WriteString("line ")
		b.WriteString(strconv.Itoa(f.Line))
		b.WriteString(": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path)
		b.WriteString(": ")
	}
	if f.Value != "" {
		b.WriteString(strconv.Quote(shorten(f.Value)))
		b.WriteString(": ")
	}
	b.WriteString(f.Problem)
	if f.Advice != "" {
		b.WriteString("; ")
		b.WriteString(f.Advice)
	}
	return b.String()
}

// Error makes a single Fault usable as an error.
func (f Fault) Error() string { return f.String() }

// Is reports that a Fault is an ErrInvalid.
func (f Fault) Is(target error) bool { return target == ErrInvalid }

// Faults lists everything wrong with an input. It is an error that is ErrInvalid;
// find it with errors.As to show the faults one by one.
type Faults []Fault

// Error prints one line per fault.
func (fs Faults) Error() string {
	if len(fs) == 0 {
		return "no faults"
	}
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Is reports that Faults are an ErrInvalid.
func (fs Faults) Is(target error) bool { return target == ErrInvalid }

// Err returns the faults as an error, or nil when there are none. It spares callers
// the non-nil interface that holds an empty list.
func (fs Faults) Err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// add appends a fault.
func (fs *Faults) add(f Fault) { *fs = append(*fs, f) }

// shorten cuts a value for display at a rune boundary.
func shorten(s string) string {
	if len(s) <= maxFaultValue {
		return s
	}
	cut := 0
	for i := range s {
		if i > maxFaultValue {
			break
		}
		cut = i
	}
	return s[:cut] + "…"
}
