package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	godiff "github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

// TestCommandLineIsDocumented: docs/cli.md is what the commands say of themselves.
func TestCommandLineIsDocumented(t *testing.T) {
	t.Parallel()
	page := commandPage(newRoot(func(string) (string, bool) { return "", false }))
	file := filepath.Join("..", "..", "docs", "cli.md")
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := godiff.Diff(string(have), page); diff != "" {
		t.Errorf("docs/cli.md is not what the commands say (run go test ./cmd/modfarm -run Documented -update):\n%s", diff)
	}
}

// TestHelpIsWholeTruth: each command says what it is for, and each flag what it
// means and what stands for it in the environment, which works.
func TestHelpIsWholeTruth(t *testing.T) {
	t.Parallel()
	root := newRoot(func(string) (string, bool) { return "", false })
	commands, flags := 0, 0
	walk(root, func(cmd *cobra.Command) {
		commands++
		if cmd.Short == "" || (cmd.Runnable() && cmd.Args == nil && !strings.Contains(cmd.Use, " ")) {
			t.Errorf("%s: no short text, or any arguments are taken without a word", cmd.CommandPath())
		}
		help := cmd.UsageString()
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			flags++
			name, ok := twin(f)
			if !ok {
				return
			}
			if !strings.Contains(help, "--"+f.Name) || !strings.Contains(help, "[$"+name+"]") || len(f.Usage) < len(name)+10 {
				t.Errorf("%s --%s: the help does not say what it means, or leaves out %s", cmd.CommandPath(), f.Name, name)
			}
			if err := readTwin(cmd.LocalFlags(), f, name); err != nil {
				t.Errorf("%s: %v", cmd.CommandPath(), err)
			}
		})
	})
	if commands < 10 || flags < 30 {
		t.Errorf("only %d commands and %d flags were found", commands, flags)
	}
}

// readTwin sets one flag by its variable.
func readTwin(flags *pflag.FlagSet, f *pflag.Flag, name string) error {
	values := map[string]string{"bool": "true", "int": "7", "float64": "1.5", "duration": "7s", "": "DEBUG"}
	want := cmp.Or(values[f.Value.Type()], "given")
	err := fromEnvironment(flags, func(asked string) (string, bool) { return want, asked == name })
	if got := f.Value.String(); err != nil || strings.Trim(got, "[]") != want {
		return fmt.Errorf("%s=%s makes --%s %q (%w)", name, want, f.Name, got, err)
	}
	return nil
}

// commandPage is docs/cli.md.
func commandPage(root *cobra.Command) string {
	var page strings.Builder
	page.WriteString("# The command line\n\n" +
		"<!-- Written by go test ./cmd/modfarm -run Documented -update; edit the commands instead. -->\n")
	walk(root, func(cmd *cobra.Command) {
		fmt.Fprintf(&page, "\n## %s\n\n%s\n", cmd.CommandPath(), cmp.Or(cmd.Long, cmd.Short+"."))
		if cmd.Runnable() {
			fmt.Fprintf(&page, "\n```text\n%s\n```\n", cmd.UseLine())
		}
		if cmd.Example != "" {
			fmt.Fprintf(&page, "\n```sh\n%s\n```\n", unindent(cmd.Example))
		}
		writeFlags(&page, cmd)
	})
	return page.String()
}

func writeFlags(page *strings.Builder, cmd *cobra.Command) {
	if !cmd.HasAvailableLocalFlags() {
		return
	}
	page.WriteString("\n| flag | in the environment | default | meaning |\n|---|---|---|---|\n")
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		name, ok := twin(f)
		meaning, given := defaultOf(f)
		if name = code(name); !ok {
			name = ""
		}
		flag := code("--" + f.Name)
		if f.Shorthand != "" {
			flag += ", " + code("-"+f.Shorthand)
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s |\n", flag, name, given, strings.ReplaceAll(meaning, "|", `\|`))
	})
}

func code(text string) string { return "`" + text + "`" }
