package workers

import (
	"bytes"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
)

// calledRule finds the files of the repository that a command line calls: ./name where a command may begin.
var calledRule = regexp.MustCompile(`(^|&&|\|\||[;\n(])(\s*)(\./[\w./+-]+)`)

// runnable is a step's command line with bash in front of the shell scripts that have no exec bit, which git easily
// loses: files made on Windows, or by a web page, have none.
func (j *job) runnable(script string, c checkout) string {
	root, err := c.open()
	if err != nil {
		return script
	}
	defer root.Close()
	return calledRule.ReplaceAllStringFunc(script, func(call string) string {
		parts := calledRule.FindStringSubmatch(call)
		file := path.Clean(parts[3])
		if !lacksExecBit(root, file) || !isShellScript(root, file) {
			return call
		}
		j.log.say("%s has no exec bit, so it is run by bash; to mend that: %s", file, giveExecBit(file))
		return parts[1] + parts[2] + "bash " + parts[3]
	})
}

// giveExecBit is the command that mends it.
func giveExecBit(file string) string { return "git update-index --chmod=+x " + file }

func lacksExecBit(root *os.Root, file string) bool {
	info, err := root.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 == 0
}

// isShellScript says whether bash can run a file: its first line asks for a shell, or for nothing.
func isShellScript(root *os.Root, file string) bool {
	interpreter, ok := interpreterOf(root, file)
	if !ok {
		return false
	}
	shell := path.Base(interpreter)
	return interpreter == "" || shell == "bash" || shell == "sh"
}

// interpreterOf is the program that a script's first line asks for; that of env is what env looks for. It is empty
// for a text without such a line. ok is false for what is no script at all.
func interpreterOf(root *os.Root, file string) (interpreter string, ok bool) {
	f, err := openRegular(root, file)
	if err != nil {
		return "", false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if n == 0 && err != nil {
		return "", false
	}
	head, _, _ = bytes.Cut(head[:n], []byte("\n"))
	line, asks := bytes.CutPrefix(head, []byte("#!"))
	if !asks {
		return "", bytes.IndexByte(head, 0) < 0
	}
	words := strings.Fields(string(line))
	switch {
	case len(words) == 0:
		return "", true
	case path.Base(words[0]) == "env" && len(words) > 1:
		return words[len(words)-1], true
	}
	return words[0], true
}

var (
	deniedRule = regexp.MustCompile(`(?m)(?:^|[:\s])((?:\./|/workspace/)?[\w./+-]+): Permission denied\s*$`)
	absentRule = regexp.MustCompile(`(?m)(?:^|[:\s])((?:\./|/workspace/)?[\w./+-]+): (?:cannot execute: required file not found|` +
		`.*bad interpreter: No such file or directory)\s*$`)
)

// withoutExecBit finds the script of the repository that could not be run for want of its exec bit.
func withoutExecBit(output string, c checkout) string {
	root, err := c.open()
	if err != nil {
		return ""
	}
	defer root.Close()
	for _, m := range deniedRule.FindAllStringSubmatch(output, -1) {
		if name := inWorkspace(m[1]); lacksExecBit(root, name) {
			return name
		}
	}
	return ""
}

// withoutInterpreter says which script asks for a program that the builder image does not have.
func withoutInterpreter(output string, c checkout) string {
	root, err := c.open()
	if err != nil {
		return ""
	}
	defer root.Close()
	for _, m := range absentRule.FindAllStringSubmatch(output, -1) {
		name := inWorkspace(m[1])
		interpreter, ok := interpreterOf(root, name)
		switch {
		case !ok || interpreter == "":
		case windowsLines(root, name):
			return name + " has line ends of Windows, so its interpreter is not found: commit it with those of Unix (git config core.autocrlf input)"
		default:
			return name + " asks for the interpreter " + interpreter + ", which the builder image does not have; install it in build.setup, or use another"
		}
	}
	return ""
}

func windowsLines(root *os.Root, file string) bool {
	f, err := openRegular(root, file)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head) // a short file is fine
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	return bytes.HasSuffix(line, []byte("\r"))
}

func inWorkspace(name string) string { return path.Clean(strings.TrimPrefix(name, WorkspacePath+"/")) }
