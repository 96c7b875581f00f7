// Package problems finds what compilers complain about in the log of a build, and where. It serves the checks of the
// GitHub App and the annotations of the Action, which have the farm and the client between them and nothing else in
// common.
package problems

import (
	"bytes"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Problem is a remark of a compiler on a line of a file.
type Problem struct {
	// Path is relative to the root of the repository.
	Path    string
	Line    int
	Message string
	Warning bool
}

const (
	// workspace is where builds see the repository.
	workspace = "/workspace/"
	// longestLine and longestMessage bound what is read of a line and said of it, in bytes.
	longestLine    = 64 << 10
	longestMessage = 2000
)

var (
	colours = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)`)
	// gcc, clang: src/main.c:12:5: error: unknown type name 'foo'
	gccLine = regexp.MustCompile(`^([^\s:][^:]*\.\w+):(\d+):(?:\d+:)? (fatal error|error|warning): (.+)$`)
	// go build, go vet: ./main.go:12:5: undefined: foo
	goLine = regexp.MustCompile(`^(?:vet: )?([^\s:]+\.go):(\d+):(?:\d+:)? (.+)$`)
	// CMake Error at CMakeLists.txt:7 (find_package):, and the message on the lines behind it
	cmakeLine = regexp.MustCompile(`^CMake (Error|Warning)(?: \(dev\))? at ([^:]+):(\d+)`)
	// rustc: error[E0425]: cannot find value, and behind it " --> src/main.rs:2:5"
	rustHead = regexp.MustCompile(`^(error|warning)(?:\[\w+\])?: (.+)$`)
	rustAt   = regexp.MustCompile(`^\s*--> ([^:]+):(\d+):\d+$`)
	// Python: File "main.py", line 3, in <module>, and at the end NameError: name 'x' is not defined
	pythonAt  = regexp.MustCompile(`^\s+File "([^"]+)", line (\d+)`)
	pythonEnd = regexp.MustCompile(`^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)): ?(.*)$`)
)

// Finder finds errors and warnings of compilers in a log that is written to it, in pieces of any size: those of gcc,
// clang, go, CMake, rustc and Python, each once, in order.
type Finder struct {
	p    problems
	rest []byte // of a line without its end
}

// New makes a Finder. workdir is the folder of the module in the repository: relative paths begin there.
func New(workdir string) *Finder {
	return &Finder{p: problems{workdir: workdir, seen: map[Problem]bool{}}}
}

// Write takes a piece of the log; it never fails.
func (f *Finder) Write(piece []byte) (int, error) {
	n := len(piece)
	for len(piece) > 0 {
		line, after, ended := bytes.Cut(piece, []byte("\n"))
		if room := longestLine - len(f.rest); len(line) > room {
			line = line[:room] // the rest of such a line is left out
		}
		f.rest = append(f.rest, line...)
		if ended {
			f.endLine()
		}
		piece = after
	}
	return n, nil
}

// Problems are those found so far, a last line without an end included. Nothing may be written after it.
func (f *Finder) Problems() []Problem {
	f.endLine()
	return f.p.list
}

func (f *Finder) endLine() {
	f.p.line(strings.TrimRight(colours.ReplaceAllString(string(f.rest), ""), "\r "))
	f.rest = f.rest[:0]
}

// problems remembers what the lines before said, for formats that need several.
type problems struct {
	workdir string
	list    []Problem
	seen    map[Problem]bool

	cmake  *Problem // waits for its message
	rust   *Problem // waits for its place
	python *Problem // waits for its end
}

func (p *problems) line(s string) {
	if p.cmake != nil && strings.TrimSpace(s) != "" && !strings.HasPrefix(s, "CMake ") {
		p.cmake.Message = strings.TrimSpace(s)
		p.add(*p.cmake)
		p.cmake = nil
		return
	}
	switch {
	case p.inRust(s), p.inPython(s):
	case cmakeLine.MatchString(s):
		m := cmakeLine.FindStringSubmatch(s)
		p.cmake = &Problem{Path: m[2], Line: number(m[3]), Warning: m[1] == "Warning"}
	case gccLine.MatchString(s):
		m := gccLine.FindStringSubmatch(s)
		p.add(Problem{Path: m[1], Line: number(m[2]), Message: m[4], Warning: m[3] == "warning"})
	case goLine.MatchString(s):
		m := goLine.FindStringSubmatch(s)
		p.add(Problem{Path: m[1], Line: number(m[2]), Message: m[3]})
	}
}

func (p *problems) inRust(s string) bool {
	if m := rustHead.FindStringSubmatch(s); m != nil {
		p.rust = &Problem{Message: m[2], Warning: m[1] == "warning"}
		return true
	}
	if m := rustAt.FindStringSubmatch(s); m != nil && p.rust != nil {
		p.rust.Path, p.rust.Line = m[1], number(m[2])
		p.add(*p.rust)
		p.rust = nil
		return true
	}
	return false
}

// inPython keeps the innermost line of a traceback that is in the repository.
func (p *problems) inPython(s string) bool {
	if m := pythonAt.FindStringSubmatch(s); m != nil {
		if _, ok := p.inRepository(m[1]); ok {
			p.python = &Problem{Path: m[1], Line: number(m[2])}
		}
		return true
	}
	if m := pythonEnd.FindStringSubmatch(s); m != nil && p.python != nil {
		p.python.Message = strings.TrimSuffix(m[1]+": "+m[2], ": ")
		p.add(*p.python)
		p.python = nil
		return true
	}
	return false
}

func (p *problems) add(found Problem) {
	file, ok := p.inRepository(found.Path)
	found.Path, found.Message = file, shortened(strings.TrimSpace(found.Message))
	if !ok || found.Line < 1 || found.Message == "" || p.seen[found] {
		return
	}
	p.seen[found] = true
	p.list = append(p.list, found)
}

// inRepository makes a path relative to the root of the repository; files elsewhere belong to the image.
func (p *problems) inRepository(file string) (string, bool) {
	inside, absolute := strings.CutPrefix(file, workspace)
	if strings.HasPrefix(file, "/") && !absolute || strings.HasPrefix(file, "<") || strings.Contains(file, `\`) {
		return "", false
	}
	if !absolute {
		inside = path.Join(p.workdir, file)
	}
	inside = path.Clean(inside)
	return inside, inside != "." && !strings.HasPrefix(inside, "..")
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// shortened bounds a message, without half a character at its end.
func shortened(message string) string {
	if len(message) <= longestMessage {
		return message
	}
	return strings.ToValidUTF8(message[:longestMessage], "") + " …"
}
