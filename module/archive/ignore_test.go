package archive_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module/archive"
)

// TestIgnoredAsGit compares with what git itself would commit.
func TestIgnoredAsGit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		".gitignore": "# build\n*.o\n!keep.o\n/dist/\nvenv\nlogs/**/debug.log\n**/cache\ndoc/*.txt\n\\#hash\n\\!bang\n" +
			"tail \\ \ntrailing   \nq?z\nx[0-9]y\nx[!0-9]z\nopen[\na/**/b\nout/**\n!out/kept\n\r\n",
		"main.c": "", "main.o": "", "keep.o": "", "sub/deep.o": "", "dist/a": "", "sub/dist/a": "", "venv/bin/python": "",
		"sub/venv": "", "logs/debug.log": "", "logs/1/2/debug.log": "", "logs/other.log": "", "cache/x": "", "sub/cache/x": "",
		"doc/a.txt": "", "doc/sub/a.txt": "", "#hash": "", "!bang": "", "trailing": "", "qaz": "", "qz": "", "x5y": "", "xay": "",
		"x5z": "", "xaz": "", "open[": "", "a/b/f": "", "a/1/2/b/f": "", "a/1/c": "", "out/gone": "", "out/kept": "",
		"sub/.gitignore": "!deep.o\n/local\nkeep.o\n*.tmp\n", "sub/local": "", "sub/more/local": "", "sub/keep.o": "", "sub/a.tmp": "",
		"sub/more/.gitignore": "!a.tmp\n", "sub/more/a.tmp": "",
	} {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "core.excludesFile="}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+t.TempDir())
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %s: %v", args, err)
		}
		return string(out)
	}
	git("init", "--quiet")
	want := strings.Split(strings.TrimSuffix(git("ls-files", "-z", "--others", "--exclude-standard"), "\x00"), "\x00")
	if err := os.WriteFile(filepath.Join(dir, "sub", ".DS_Store"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var packed bytes.Buffer
	if err := archive.Pack(t.Context(), &packed, root, archive.PackOptions{Skip: archive.Ignored(root.FS())}); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := archive.Extract(t.Context(), &packed, out, archive.Limits{}); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	err = fs.WalkDir(os.DirFS(out), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	for _, name := range want {
		wanted[name] = true
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("files (-git +ours):\n%s", diff)
	}
}
