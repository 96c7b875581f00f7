package house_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// buildModfarm builds the program once for a test.
func buildModfarm(t *testing.T) string {
	t.Helper()

	program := filepath.Join(t.TempDir(), "modfarm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./cmd/modfarm")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return program
}

var usageLine = regexp.MustCompile(`(?m)^Usage:\n\s+(modfarm.*)$`)

// checkModfarm asks the program's own help whether the subcommand and the flags exist.
func checkModfarm(t *testing.T, program string, args []string) string {
	t.Helper()

	words, flags := splitFlags(args)
	help, err := exec.CommandContext(t.Context(), program, append(slices.Clone(words), "--help")...).CombinedOutput()
	if err != nil {
		return "modfarm --help fails: " + err.Error() + "\n" + string(help)
	}
	match := usageLine.FindStringSubmatch(string(help))
	if match == nil {
		return "its help has no usage line:\n" + string(help)
	}

	// The usage line starts with the deepest command that the program knew.
	known := 0
	usage := strings.Fields(match[1])[1:]
	for known < len(words) && known < len(usage) && words[known] == usage[known] {
		known++
	}
	takesArguments := slices.ContainsFunc(usage[known:], func(word string) bool {
		return word != "[flags]" && word != "[command]"
	})
	if known == 0 && len(words) > 0 || known < len(words) && !takesArguments {
		return "modfarm has no such command; its usage is: " + match[1]
	}
	for _, flag := range flags {
		if !regexp.MustCompile(`(?m)(^|[\s,])` + regexp.QuoteMeta(flag) + `([\s,=]|$)`).Match(help) {
			return "the command has no flag " + flag
		}
	}
	return ""
}

// splitFlags divides arguments into words and the names of flags. A flag's value is taken for a word
// only when nothing tells them apart, so documents write flags after the words.
func splitFlags(args []string) (words, flags []string) {
	for _, arg := range args {
		switch {
		case strings.HasPrefix(arg, "-"):
			name, _, _ := strings.Cut(arg, "=")
			flags = append(flags, name)
		case len(flags) == 0:
			words = append(words, arg)
		}
	}
	return words, flags
}

// shellCommands splits lines into commands of words: continued lines are joined; comments, assignments
// before a command and what follows a pipe or redirection are cut off.
func shellCommands(lines []string) [][]string {
	text := strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", " ")
	var commands [][]string
	for line := range strings.Lines(text) {
		for part := range strings.SplitSeq(line, "&&") {
			if words := commandWords(part); len(words) > 0 {
				commands = append(commands, words)
			}
		}
	}
	return commands
}

func commandWords(part string) []string {
	var words []string
	for word := range strings.FieldsSeq(part) {
		switch {
		case strings.HasPrefix(word, "#"), word == "|", word == ">", word == ">>", word == "<", word == "&":
			return words
		case len(words) == 0 && (word == "$" || word == "sudo" || isAssignment(word)):
			continue
		}
		words = append(words, word)
	}
	return words
}

func isAssignment(word string) bool {
	name, _, found := strings.Cut(word, "=")
	return found && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

func TestShellCommands(t *testing.T) {
	t.Parallel()

	lines := []string{
		"# a comment",
		"sudo FARM=x modfarm up --data dir \\",
		"  --listen :8080   # with a comment",
		"cd x && make test | tee log",
	}
	want := []string{"modfarm up --data dir --listen :8080", "cd x", "make test"}
	var got []string
	for _, command := range shellCommands(lines) {
		got = append(got, strings.Join(command, " "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
