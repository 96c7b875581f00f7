package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// endToEnd are the commands that need workers, or images, or a farm of their own, with the files below
// e2e that run them.
func endToEnd() map[string][]string {
	return map[string][]string{
		"modfarm action":                 {"badmanifest_test.go", "action_test.go"},
		"modfarm action upload":          {"action_test.go"},
		"modfarm images make":            {"road/prepare.go"},
		"modfarm module build local":     {"reproduce_test.go"},
		"modfarm module build start":     {"generate_test.go"},
		"modfarm module build reproduce": {"reproduce_test.go"},
		"modfarm serve":                  {"road/farm.go", "nginx_test.go"},
		"modfarm up":                     {"road/farm.go", "road/road.go", "up_test.go"},
		"modfarm worker":                 {"proxy_test.go", "kinds_worker_test.go"},
	}
}

// call is a command line as a script, a test or an example has it.
type call struct {
	path  string
	flags []string // those that are given, sorted
	args  int
}

// TestEveryExampleIsRun: each command, and each example of its help, is run by a script of testdata, by a
// test of this package, or end to end: the same command with at least the same flags and as many arguments.
func TestEveryExampleIsRun(t *testing.T) {
	t.Parallel()
	ran := slices.Concat(scripted(t), tested(t))
	if len(ran) < 150 {
		t.Errorf("only %d calls were found in scripts and tests", len(ran))
	}
	root := newRoot(noEnvironment)
	root.InitDefaultCompletionCmd()
	examples := 0
	walk(root, func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Runnable() && !slices.ContainsFunc(ran, func(c call) bool { return c.path == path }) {
			runEndToEnd(t, call{path: path}, path)
		}
		for line := range strings.Lines(cmd.Example) {
			example := strings.TrimSpace(line)
			_, words, found := strings.Cut(example, "modfarm ")
			c, err := parse(words)
			switch {
			case !found || err != nil:
				t.Errorf("%s: the example %q: %v", path, example, err)
				continue
			case c.path != path && cmd.HasParent():
				t.Errorf("%s: the example %q is of %s", path, example, c.path)
			}
			examples++
			if !slices.ContainsFunc(ran, c.coveredBy) {
				runEndToEnd(t, c, example)
			}
		}
	})
	if examples < 50 {
		t.Errorf("only %d examples were found", examples)
	}
}

func noEnvironment(string) (string, bool) { return "", false }

// coveredBy reports whether the other call is this one, or this one with further flags.
func (c call) coveredBy(other call) bool {
	return c.path == other.path && c.args == other.args &&
		!slices.ContainsFunc(c.flags, func(name string) bool { return !slices.Contains(other.flags, name) })
}

// runEndToEnd holds that the files of a command's end-to-end tests have its words and its flags.
func runEndToEnd(t *testing.T, c call, what string) {
	t.Helper()
	files := endToEnd()[c.path]
	if len(files) == 0 {
		t.Errorf("%s: no script or test runs it", what)
		return
	}
	var text strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join("..", "..", "e2e", file))
		if err != nil {
			t.Fatal(err)
		}
		text.Write(data)
	}
	words := strconv.Quote(strings.Join(strings.Fields(c.path)[1:], `", "`))
	if words = strings.ReplaceAll(words, `\"`, `"`); !strings.Contains(text.String(), words) {
		t.Errorf("%s: %q do not have %s", what, files, words)
	}
	for _, name := range c.flags {
		variable := "MODFARM_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "="
		if !strings.Contains(text.String(), `"--`+name+`"`) && !strings.Contains(text.String(), variable) {
			t.Errorf("%s: %q do not have --%s", what, files, name)
		}
	}
}

var (
	substitution = regexp.MustCompile(`\$\([^)]*\)`)
	invocation   = regexp.MustCompile(`^(?:exec|exitcode \d+) (?:(modfarm.*)|bash -c '.*?(modfarm.*)')(?: &\w+&)?$`)
	shellWord    = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"|;&<>#])(?:'[^']*'|"[^"]*"|[^\s'"|;&<>])*|[|;&<>#]`)
)

// scripted are the calls in the scripts of testdata.
func scripted(t *testing.T) (calls []call) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata: %q, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(data), "\n-- ")
		for line := range strings.Lines(script) {
			match := invocation.FindStringSubmatch(strings.TrimSpace(substitution.ReplaceAllString(line, "X")))
			if match == nil {
				continue
			}
			_, words, _ := strings.Cut(match[1]+match[2], "modfarm ")
			if c, err := parse(words); err == nil {
				calls = append(calls, c)
			}
		}
	}
	return calls
}

// tested are the calls in the tests of this package: p.run("module", "list") and p.begin.
func tested(t *testing.T) (calls []call) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			e, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := e.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != "run" && s.Sel.Name != "begin" {
				return true
			}
			if c, err := resolve(literals(e.Args)); err == nil {
				calls = append(calls, c)
			}
			return true
		})
	}
	return calls
}

// literals are the values of arguments; what is no literal has some value.
func literals(args []ast.Expr) (words []string) {
	for _, arg := range args {
		word := "X"
		if l, ok := arg.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if text, err := strconv.Unquote(l.Value); err == nil {
				word = text
			}
		}
		words = append(words, word)
	}
	return words
}

// parse reads what follows the name of the program, up to a pipe, a redirection or a comment.
func parse(line string) (call, error) {
	var words []string
	for _, word := range shellWord.FindAllString(line, -1) {
		if strings.Contains("|;&<>#", word) {
			break
		}
		words = append(words, strings.Trim(word, `'"`))
	}
	return resolve(words)
}

// resolve finds the command of some words, and its flags.
func resolve(words []string) (call, error) {
	root := newRoot(noEnvironment)
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return call{}, err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return call{}, err
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return call{}, fmt.Errorf("%s: %w", cmd.CommandPath(), err)
	}
	given := map[string]bool{}
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	return call{path: cmd.CommandPath(), flags: slices.Sorted(maps.Keys(given)), args: cmd.Flags().NArg()}, nil
}
