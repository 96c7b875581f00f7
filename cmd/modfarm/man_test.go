package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	godiff "github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManualPages: each command has a page that tells all that its help tells,
// and two runs write the same bytes.
func TestManualPages(t *testing.T) {
	t.Parallel()
	root := newRoot(func(string) (string, bool) { return "", false })
	pages := manPages(root)
	again := manPages(newRoot(func(string) (string, bool) { return "", false }))
	if diff := godiff.Diff(pages, again); diff != "" {
		t.Errorf("pages differ from those of another run:\n%s", diff)
	}
	unseen := maps.Clone(pages)
	walk(root, func(cmd *cobra.Command) {
		page := pages[manName(cmd)+".1"]
		delete(unseen, manName(cmd)+".1")
		plain := strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\e`, `\`, `\&`, "").Replace(page)
		want := []string{".SH NAME\n" + manName(cmd) + " - ", ".SH SYNOPSIS\n", ".SH DESCRIPTION\n", unindent(cmd.Example)}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if name, ok := twin(f); ok {
				want = append(want, "--"+f.Name+`\fR`, name)
			}
		})
		for _, text := range want {
			if !strings.Contains(plain, text) {
				t.Errorf("the page of %s does not say %q", cmd.CommandPath(), text)
			}
		}
	})
	if len(pages) < 50 || len(unseen) > 0 {
		t.Errorf("%d pages, of which no commands have: %v", len(pages), unseen)
	}
}

// TestManualPagesAreWellFormed asks groff, where it is installed.
func TestManualPagesAreWellFormed(t *testing.T) {
	t.Parallel()
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not installed")
	}
	dir := t.TempDir()
	root := newRoot(func(string) (string, bool) { return "", false })
	root.SetArgs([]string{"man", dir})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d pages: %v", len(files), err)
	}
	out, err := exec.CommandContext(t.Context(), groff, append([]string{"-man", "-Tutf8", "-ww", "-z"}, files...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
	page, err := os.ReadFile(filepath.Join(dir, "modfarm-module-build-start.1"))
	if err != nil || !strings.HasPrefix(string(page), ".TH \"MODFARM-MODULE-BUILD-START\" 1 \"\"") {
		t.Errorf("%v\n%.200s", err, page)
	}
}
