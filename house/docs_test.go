package house_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is a fenced block of a document.
type block struct {
	file  string
	line  int // of the opening fence
	lang  string
	lines []string
}

// documents are the texts for people: those at the top of the tree and all of docs.
func documents(t *testing.T) []string {
	t.Helper()

	top, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	below := top
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".md" {
			below = append(below, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(below) < 10 {
		t.Fatalf("only %d documents found: %q", len(below), below)
	}
	return below
}

// blocks returns the fenced blocks of a document, and its text without them.
func blocks(t *testing.T, file string) (fenced []block, prose string) {
	t.Helper()

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	var outside []string
	for number, line := range strings.Split(string(data), "\n") {
		lang, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{file: file, line: number + 1, lang: lang}
		case fence:
			fenced = append(fenced, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		default:
			outside = append(outside, line)
		}
	}
	if open != nil {
		t.Errorf("%s:%d: the fence is not closed", file, open.line)
	}
	return fenced, strings.Join(outside, "\n")
}

// TestDocumentedCommands checks every command in a ```sh block: a target of make exists, a command and
// flags of modfarm exist as the built program itself says, and any other program is one that a reader
// can be expected to have.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()

	program := buildModfarm(t)
	targets := makeTargets(t)
	checked := 0
	for _, file := range documents(t) {
		fenced, _ := blocks(t, file)
		for _, b := range fenced {
			if b.lang != "sh" {
				continue
			}
			for _, c := range shellCommands(b.lines) {
				checked++
				if fault := checkCommand(t, program, targets, c); fault != "" {
					t.Errorf("%s:%d: %s: %s", b.file, b.line, strings.Join(c, " "), fault)
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d commands found in the documents", checked)
	}
}

// TestShellBlocksAreMarked keeps commands from hiding from the test above under another name.
func TestShellBlocksAreMarked(t *testing.T) {
	t.Parallel()

	for _, file := range documents(t) {
		fenced, _ := blocks(t, file)
		for _, b := range fenced {
			if slices.Contains([]string{"bash", "shell", "console", "shell-session"}, b.lang) {
				t.Errorf("%s:%d: write ```sh, so that the commands are checked", b.file, b.line)
			}
		}
	}
}

// checkCommand says what is wrong with a command, or nothing.
func checkCommand(t *testing.T, program string, targets, command []string) string {
	t.Helper()

	name, args := filepath.Base(command[0]), command[1:]
	switch name {
	case "modfarm":
		return checkModfarm(t, program, args)
	case "make":
		for _, target := range args {
			if !strings.Contains(target, "=") && !slices.Contains(targets, target) {
				return "make has no target " + target
			}
		}
	case "docker":
		// What follows our image is for modfarm.
		for i, arg := range args {
			if strings.HasPrefix(arg, "modfarm/modfarm") {
				return checkModfarm(t, program, args[i+1:])
			}
		}
	case "install":
		for _, arg := range args {
			if strings.HasPrefix(arg, "packaging/") && !isFile(arg) {
				return "there is no " + arg
			}
		}
	case "go", "git", "curl", "export", "set", ".", "cd", "tar", "sqlite3", "viam", "sha256sum", "redis-cli", "openssl", "apt-get", "systemd-sysusers", "systemctl":
	default:
		return "not a program that these documents may use without a word; see checkCommand"
	}
	return ""
}

var (
	linkPattern   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	targetPattern = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	inputPattern  = regexp.MustCompile(`(?m)^  ([a-z][a-z0-9-]*):`)
)

func makeTargets(t *testing.T) []string {
	t.Helper()

	data, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, match := range targetPattern.FindAllStringSubmatch(string(data), -1) {
		targets = append(targets, match[1])
	}
	return targets
}

// TestDocumentedLinks: a link to a file of the tree leads to a file.
func TestDocumentedLinks(t *testing.T) {
	t.Parallel()

	for _, file := range documents(t) {
		_, prose := blocks(t, file)
		for _, match := range linkPattern.FindAllStringSubmatch(prose, -1) {
			target, _, _ := strings.Cut(match[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), target)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, match[1])
			}
		}
	}
}

// TestDocumentedInputs compares the tables of docs/action.md with action.yml and upload/action.yml, both ways, and the
// inputs that workflows in the documents pass.
func TestDocumentedInputs(t *testing.T) {
	t.Parallel()

	_, prose := blocks(t, filepath.Join(root, "docs", "action.md"))
	known := map[string][]string{} // by folder of the action
	for folder, titles := range map[string][2]string{
		".": {"## Inputs", "## Outputs"}, "upload": {"### What upload takes", "### What upload gives"},
	} {
		data, err := os.ReadFile(filepath.Join(root, folder, "action.yml"))
		if err != nil {
			t.Fatal(err)
		}
		known[folder] = keysOf(t, string(data), "inputs")
		compareNames(t, folder+" inputs", known[folder], namesInTable(chapter(t, prose, titles[0])))
		compareNames(t, folder+" outputs", keysOf(t, string(data), "outputs"), namesInTable(chapter(t, prose, titles[1])))
	}
	for _, file := range documents(t) {
		fenced, _ := blocks(t, file)
		for _, b := range fenced {
			for _, passed := range passedInputs(b.lines) {
				if !slices.Contains(known[passed.folder], passed.name) {
					t.Errorf("%s:%d: the action in %s has no input %q", b.file, b.line, passed.folder, passed.name)
				}
			}
		}
	}
}

// chapter is what is below a title, up to the next title of any level.
func chapter(t *testing.T, prose, title string) string {
	t.Helper()

	_, rest, found := strings.Cut(prose, "\n"+title+"\n")
	if !found {
		t.Fatalf("docs/action.md has no %q", title)
	}
	body, _, _ := strings.Cut(rest, "\n#")
	return body
}

// keysOf returns the keys one level below a top-level key of a YAML file that is indented by two.
func keysOf(t *testing.T, yaml, key string) []string {
	t.Helper()

	_, rest, found := strings.Cut("\n"+yaml, "\n"+key+":\n")
	if !found {
		t.Fatalf("action.yml has no %s", key)
	}
	if end := regexp.MustCompile(`(?m)^[a-z]`).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	var keys []string
	for _, match := range inputPattern.FindAllStringSubmatch(rest, -1) {
		keys = append(keys, match[1])
	}
	return keys
}

// namesInTable returns the `names` in the first column of a table.
func namesInTable(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			if name = strings.TrimSpace(name); strings.HasPrefix(name, "`") {
				names = append(names, strings.Trim(name, "`"))
			}
		}
	}
	return names
}

func compareNames(t *testing.T, what string, have, documented []string) {
	t.Helper()

	for _, name := range have {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/action.md leaves out %s: %s", what, name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(have, name) {
			t.Errorf("docs/action.md invents %s: %s", what, name)
		}
	}
}

// passedInput is an input that a workflow passes to one of our actions.
type passedInput struct{ folder, name string }

// passedInputs returns the keys below the `with:` of steps that use our actions.
func passedInputs(lines []string) []passedInput {
	var passed []passedInput
	folder, with := "", -1
	for _, line := range lines {
		trimmed := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		_, uses, isStep := strings.Cut(trimmed, "uses: modfarm/modfarm")
		switch {
		case strings.HasPrefix(trimmed, "- ") && isStep && strings.HasPrefix(uses, "/upload@"):
			folder, with = "upload", -1
		case strings.HasPrefix(trimmed, "- ") && isStep:
			folder, with = ".", -1
		case strings.HasPrefix(trimmed, "- "):
			folder, with = "", -1
		case folder != "" && trimmed == "with:":
			with = indent
		case with >= 0 && indent > with:
			key, _, _ := strings.Cut(trimmed, ":")
			passed = append(passed, passedInput{folder, key})
		default:
			with = -1
		}
	}
	return passed
}
