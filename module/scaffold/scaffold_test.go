package scaffold_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/scaffold"
)

func project(l scaffold.Language) scaffold.Project {
	return scaffold.Project{
		ID: module.ID{Namespace: "acme", Name: "roof-station"}, Language: l, ModelName: "climate",
		URL: "https://github.com/acme/roof-station.git", Description: `Says "hello" & more`,
	}
}

func TestProjectsAreComplete(t *testing.T) {
	t.Parallel()
	for _, language := range scaffold.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			files, err := scaffold.Files(project(language))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{
				"meta.json", "setup.sh", "build.sh", "run.sh", "Makefile", "README.md", ".gitignore", ".github/workflows/deploy.yml",
			} {
				if !slices.ContainsFunc(files, func(f scaffold.File) bool { return f.Path == name }) {
					t.Errorf("%s is missing", name)
				}
			}
			for _, f := range files {
				if program := strings.HasPrefix(string(f.Data), "#!"); program != (f.Mode == 0o755) {
					t.Errorf("%s has mode %v; a program: %v", f.Path, f.Mode, program)
				}
				if strings.Contains(string(f.Data), "<%") || strings.Contains(f.Path, "tmpl") {
					t.Errorf("%s was not rendered", f.Path)
				}
			}
		})
	}
}

func TestManifestIsValid(t *testing.T) {
	t.Parallel()
	for _, language := range scaffold.Languages() {
		files, err := scaffold.Files(project(language))
		if err != nil {
			t.Fatal(err)
		}
		m, err := module.ParseManifest(find(t, files, "meta.json").Data)
		if err != nil {
			t.Fatal(err)
		}
		if m.ID.String() != "acme:roof-station" || m.Visibility != module.VisibilityPrivate || m.Description != `Says "hello" & more` {
			t.Errorf("%s: meta.json says %s, %s, %q", language, m.ID, m.Visibility, m.Description)
		}
		if len(m.Models) != 1 || m.Models[0].Model != "acme:roof-station:climate" {
			t.Errorf("%s: models = %v", language, m.Models)
		}
		readme := string(find(t, files, "README.md").Data)
		if _, heading, _ := strings.Cut(m.Models[0].MarkdownLink, "#"); heading != "model-acmeroof-stationclimate" {
			t.Errorf("%s: the model's documentation is at #%s", language, heading)
		}
		if !strings.Contains(readme, "\n## Model acme:roof-station:climate\n") {
			t.Errorf("%s: the README has no heading of the model", language)
		}
		var raw struct {
			Schema string `json:"$schema"`
		}
		if err := json.Unmarshal(find(t, files, "meta.json").Data, &raw); err != nil || raw.Schema != scaffold.DefaultSchema {
			t.Errorf("%s: $schema = %q, %v", language, raw.Schema, err)
		}
	}
}

// TestDefaultSchema: what is named is the schema that this repository has.
func TestDefaultSchema(t *testing.T) {
	t.Parallel()
	var schema struct {
		ID string `json:"$id"`
	}
	if err := json.Unmarshal(module.ManifestSchema(), &schema); err != nil || schema.ID != scaffold.DefaultSchema {
		t.Errorf("$id = %q, %v; want %q", schema.ID, err, scaffold.DefaultSchema)
	}
}

// TestGoProjectPasses runs the generated project's own tests, as its author would do first.
func TestGoProjectPasses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "roof-station")
	files, err := scaffold.Files(project(scaffold.Go))
	if err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mod", "verify"}, {"vet", "./..."}, {"test", "-mod=readonly", "./..."}} {
		c := exec.CommandContext(t.Context(), "go", args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "gofmt", "-l", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt -l: %v\n%s", err, out)
	}
}

// The module protocol's generated code is that of the examples, which their own scripts write.
func TestProtocolCodeIsTheExamples(t *testing.T) {
	t.Parallel()
	for language, dir := range map[scaffold.Language]string{scaffold.Go: "viampb", scaffold.Python: "generated"} {
		files, err := scaffold.Files(project(language))
		if err != nil {
			t.Fatal(err)
		}
		example := os.DirFS(filepath.Join("..", "..", "examples", string(language)+"-sensor"))
		seen := 0
		err = fs.WalkDir(example, dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.Contains(name, "__pycache__") {
				return err
			}
			want, err := fs.ReadFile(example, name)
			if err == nil && string(find(t, files, name).Data) != string(want) {
				t.Errorf("%s differs from the example's: copy it to templates/%s/%s.tmpl", name, language, name)
			}
			seen++
			return err
		})
		if err != nil || seen < 5 {
			t.Errorf("%s: compared %d files, %v", language, seen, err)
		}
	}
}

func TestWriteNeverOverwrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(kept, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := scaffold.Write(dir, []scaffold.File{{Path: "notes.txt", Data: []byte("yours"), Mode: 0o644}})
	if !errors.Is(err, module.ErrConflict) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Write into a folder with something in it: %v", err)
	}
	if got, _ := os.ReadFile(kept); string(got) != "mine" {
		t.Errorf("the file that was there holds %q", got)
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := []scaffold.File{{Path: "a/b", Data: []byte("x"), Mode: 0o644}, {Path: "a/b/c", Data: []byte("y"), Mode: 0o644}}
	if err := scaffold.Write(dir, files); err == nil {
		t.Fatal("a file was made below a file")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestCheckNamesEverything(t *testing.T) {
	t.Parallel()
	err := scaffold.Project{Language: "cobol", ModelName: "öl", Visibility: "secret"}.Check()
	for _, want := range []string{"name", "cobol", "öl", "secret"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one with %q", err, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ url, goModule, pkg string }{
		"roof-station": {"https://github.com/acme/roof-station", "github.com/acme/roof-station", "roof_station"},
		"Widget":       {"", "example.com/widget", "widget"},
		"3d":           {"http://127.0.0.1:3000/acme/3d.git", "example.com/3d", "m3d"},
		"json":         {"", "example.com/json", "json_module"},
	}
	for name, want := range tests {
		p := scaffold.Project{ID: module.ID{Namespace: "acme", Name: name}, URL: want.url}
		if p.GoModule() != want.goModule || p.Package() != want.pkg {
			t.Errorf("%s: Go module %s, want %s; package %s, want %s", name, p.GoModule(), want.goModule, p.Package(), want.pkg)
		}
	}
}

func find(t *testing.T, files []scaffold.File, name string) scaffold.File {
	t.Helper()
	i := slices.IndexFunc(files, func(f scaffold.File) bool { return f.Path == name })
	if i < 0 {
		t.Errorf("%s is missing", name)
		return scaffold.File{}
	}
	return files[i]
}
