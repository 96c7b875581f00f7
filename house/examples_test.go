package house_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// TestDocumentedFiles: a meta.json or modfarm.yaml in a document is one that a farm accepts.
func TestDocumentedFiles(t *testing.T) {
	t.Parallel()

	manifests, settings := 0, 0
	for _, file := range documents(t) {
		fenced, _ := blocks(t, file)
		for _, b := range fenced {
			text := []byte(strings.Join(b.lines, "\n"))
			switch {
			case b.lang == "json" && strings.Contains(string(text), `"module_id"`):
				manifests++
				manifest, err := module.ParseManifest(text)
				if err == nil {
					err = manifest.CheckBuild()
				}
				if err != nil {
					t.Errorf("%s:%d: %v", b.file, b.line, err)
				}
			case b.lang == "yaml" && strings.Contains("\n"+string(text), "\npublish:"):
				settings++
				if _, err := module.ParseSettings(text); err != nil {
					t.Errorf("%s:%d: %v", b.file, b.line, err)
				}
			}
		}
	}
	if manifests == 0 || settings == 0 {
		t.Errorf("the documents show %d meta.json and %d modfarm.yaml", manifests, settings)
	}
}

// TestDocumentedStates: the page on the architecture knows every state of a job.
func TestDocumentedStates(t *testing.T) {
	t.Parallel()

	data, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, states, _ := strings.Cut(string(data), "## States of a job")
	states, _, _ = strings.Cut(states, "\n## ")
	for _, state := range farm.States() {
		if !strings.Contains(states, string(state)) {
			t.Errorf("docs/architecture.md leaves out the state %s", state)
		}
	}
}

var (
	flagInProse     = regexp.MustCompile("`(--[a-z][a-z-]*)[ =`]")
	flagInHelp      = regexp.MustCompile(`(?m)^\s+(?:-\w, )?(--[a-z][a-z-]*)`)
	commandInHelp   = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) `)
	environmentName = regexp.MustCompile(`MODFARM_[A-Z_]+`)
)

// TestDocumentedNames: flags and variables that the text mentions exist somewhere in the program.
func TestDocumentedNames(t *testing.T) {
	t.Parallel()

	flags := allFlags(t, buildModfarm(t), nil)
	if len(flags) < 5 {
		t.Fatalf("only these flags found in the help: %q", flags)
	}
	names := namesInSource(t)
	for _, flag := range flags {
		names = append(names, "MODFARM_"+strings.ToUpper(strings.ReplaceAll(flag[2:], "-", "_")))
	}
	foreign := []string{"--user", "--network", "--base-url"} // of docker run, and of the stock command line

	for _, file := range documents(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range flagInProse.FindAllStringSubmatch(string(data), -1) {
			if !slices.Contains(flags, match[1]) && !slices.Contains(foreign, match[1]) {
				t.Errorf("%s: no command of modfarm has the flag %s", file, match[1])
			}
		}
		for _, name := range environmentName.FindAllString(string(data), -1) {
			if !slices.Contains(names, name) {
				t.Errorf("%s: nothing reads %s", file, name)
			}
		}
	}
}

// allFlags collects the flags of a command and of all below it from their help.
func allFlags(t *testing.T, program string, words []string) []string {
	t.Helper()

	help, err := exec.CommandContext(t.Context(), program, append(slices.Clone(words), "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("modfarm %s --help: %v\n%s", strings.Join(words, " "), err, help)
	}
	var flags []string
	for _, match := range flagInHelp.FindAllStringSubmatch(string(help), -1) {
		flags = append(flags, match[1])
	}
	_, commands, _ := strings.Cut(string(help), "Available Commands:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	for _, match := range commandInHelp.FindAllStringSubmatch(commands, -1) {
		if match[1] != "help" && match[1] != "completion" {
			flags = append(flags, allFlags(t, program, append(slices.Clone(words), match[1]))...)
		}
	}
	return flags
}

// namesInSource collects the variables that code spells out.
func namesInSource(t *testing.T) []string {
	t.Helper()

	var names []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		data, err := os.ReadFile(path)
		names = append(names, environmentName.FindAllString(string(data), -1)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
