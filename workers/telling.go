package workers

import (
	"regexp"
	"slices"
	"strings"
)

// tellingLines is how far from its end an output is searched for an error: what scripts said long before they
// failed, they got over.
const tellingLines = 120

var (
	escapeRule = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	// echoRule matches what only says that something before it failed, or explains an error: it says "error" too often.
	echoRule = regexp.MustCompile(`(?i)\bnote: |^\S*make(\[\d+\])?: \*\*\* (.* Error \d+|Waiting for unfinished jobs)|` +
		`^go: (downloading|finding|extracting|found|added|upgraded|downgraded|creating|to add) |^collect2: error: ld returned|linker command failed with exit code|^error: could not compile |^error: aborting due to`)
	// errorRule matches the lines in which tools say what is wrong.
	errorRule = regexp.MustCompile(strings.Join([]string{
		`(?i:(^|[\s:(\])])(fatal |internal compiler |syntax )?error( \w+\d+|\[\w+\])?: .)`, // gcc, clang, ld, cargo, tsc, pip
		`^fatal: .`,                             // git
		`: undefined reference to `,             // ld
		`\bld: cannot find `,                    // ld
		`^(vet: |# )?\S+\.go:\d+(:\d+)?: .`,     // go build, go vet
		`^go: .`,                                // go
		`^panic: .`,                             // a Go program
		`^(\w+\.)*\w*(Error|Exception)(: .*)?$`, // a Python traceback
		`^CMake Error\b.*`,                      // cmake
		`\*\*\* .*Stop\.$`,                      // make
		`^E: .`,                                 // apt
		`^\S+: line \d+: .`,                     // bash
		`^\S+: \d+: \S+: (not found|Permission denied)$`,                                                 // dash
		`^\w[\w.+-]*: .*: (No such file or directory|Permission denied|Not a directory|Is a directory)$`, // cp and its kin
	}, "|"))
	cmakeRule = regexp.MustCompile(`^CMake Error at .*:$`)
)

// tellingLine is the line that says why a script failed: the last one in which a tool names an error, or the last one.
func tellingLine(output string) string {
	lines := shownLines(output)
	lines = lines[max(0, len(lines)-tellingLines):]
	for i, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		switch {
		case echoRule.MatchString(line) || !errorRule.MatchString(line):
		case cmakeRule.MatchString(line):
			return shorten(line + " " + paragraph(lines[i+1:]))
		default:
			return shorten(line)
		}
	}
	return lastLine(output)
}

// paragraph joins the indented lines that come first: the words of an error that only began with its place.
func paragraph(lines []string) string {
	var words []string
	for _, line := range lines {
		if !strings.HasPrefix(line, " ") {
			break
		}
		words = append(words, strings.TrimSpace(line))
	}
	return strings.Join(words, " ")
}

// shownLines are the lines of an output that are not empty, as a terminal would show them.
func shownLines(output string) []string {
	var shown []string
	for line := range strings.Lines(strings.ToValidUTF8(escapeRule.ReplaceAllString(output, ""), "?")) {
		line = strings.TrimRight(line, "\r\n")
		if i := strings.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:]
		}
		if strings.TrimSpace(line) != "" {
			shown = append(shown, line)
		}
	}
	return shown
}
