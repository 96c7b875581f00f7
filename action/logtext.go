package action

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// The end of a failed platform's log that becomes an annotation.
const (
	tailLines = 20
	tailBytes = 4 << 10
)

// logText prints what a build wrote. Builds run other people's scripts, and the runner takes lines that
// look like its commands for commands, so it is told to take none until it reads a token that no script
// can know.
type logText struct {
	out     io.Writer
	token   string
	step    string
	midLine bool
	end     []byte
}

func newLogText(out io.Writer) *logText {
	l := &logText{out: out, token: rand.Text()}
	fmt.Fprintf(l.out, "::stop-commands::%s\n", l.token)
	return l
}

// write prints a piece of a step's output; the first of each step has a heading.
func (l *logText) write(step string, data []byte) {
	if step != l.step {
		l.step = step
		l.endLine()
		l.print([]byte("── " + step + "\n"))
	}
	l.print(data)
}

// close lets the runner take commands again. Nothing may be written after it.
func (l *logText) close() {
	l.endLine()
	fmt.Fprintf(l.out, "::%s::\n", l.token)
}

func (l *logText) endLine() {
	if l.midLine {
		l.print([]byte("\n"))
	}
}

func (l *logText) print(data []byte) {
	if len(data) == 0 {
		return
	}
	l.out.Write(data) //nolint:errcheck // the library that writes the next command notices
	l.midLine = data[len(data)-1] != '\n'
	l.end = append(l.end, data...)
	if len(l.end) > 2*tailBytes {
		l.end = bytes.Clone(l.end[len(l.end)-tailBytes:])
	}
}

// tail is the last lines that were printed, without colours.
func (l *logText) tail() string {
	text := escapes.ReplaceAllString(strings.ToValidUTF8(string(l.end), "�"), "")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if len(text) > tailBytes {
		text = strings.ToValidUTF8(text[len(text)-tailBytes:], "")
		_, text, _ = strings.Cut(text, "\n") // the first line is cut
	}
	lines := strings.SplitAfter(text, "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	}
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return strings.Join(lines, "")
}

// escapes matches the colours and cursor movements of a terminal.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]")

// harmless rewrites text so that the runner finds no command in it: those begin a line with two colons,
// or hold the older ##[ anywhere.
func harmless(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "##[", "## [")
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "::") {
			lines[i] = "> " + line
		}
	}
	return strings.Join(lines, "\n")
}
