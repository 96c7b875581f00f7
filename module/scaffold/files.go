package scaffold

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/modfarm/modfarm/module"
)

// Every file ends in .tmpl, so that no tool takes it for code of this tree.
//
//go:embed all:templates
var templates embed.FS

// File is one file of a project.
type File struct {
	// Path is relative and slash-separated.
	Path string
	// Data is what is in it.
	Data []byte
	// Mode is 0o755 for programs and 0o644 for everything else.
	Mode fs.FileMode
}

// Files makes a project's files, sorted by path. Errors are those of Check.
func Files(p Project) ([]File, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	d := p.data()
	var files []File
	for _, top := range []string{"templates/every-language", "templates/" + string(p.Language)} {
		err := fs.WalkDir(templates, top, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			file, err := render(name, strings.TrimPrefix(name, top+"/"), d)
			files = append(files, file)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

func render(name, target string, d data) (File, error) {
	text, err := templates.ReadFile(name)
	if err != nil {
		return File{}, err
	}
	target = strings.TrimSuffix(target, ".tmpl")
	if rest, ok := strings.CutPrefix(target, "pkg/"); ok {
		target = path.Join(d.Package(), rest)
	}
	file := File{Path: target, Data: text, Mode: 0o644}
	if path.Ext(target) == ".sh" {
		file.Mode = 0o755
	}
	if verbatim(target) {
		return file, nil
	}
	// Other marks than the usual braces: workflows, shell and Python are full of those.
	t, err := template.New(target).Delims("<%", "%>").Option("missingkey=error").
		Funcs(template.FuncMap{"json": inJSON}).Parse(string(text))
	if err != nil {
		return File{}, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, d); err != nil {
		return File{}, err
	}
	file.Data = out.Bytes()
	return file, nil
}

// verbatim says that a file is generated code of the module protocol, the same in every project.
func verbatim(target string) bool {
	return strings.HasPrefix(target, "viampb/") || strings.HasPrefix(target, "generated/")
}

func inJSON(v any) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return strings.TrimSpace(out.String()), err
}

// Write puts files into dir, which must be missing or empty. When it fails, what it made is removed again. Errors name
// the folder, and wrap module.ErrConflict when something is in it.
func Write(dir string, files []File) (err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case len(entries) > 0:
		return fmt.Errorf("%w: the folder %s is not empty; give the module another name, or empty the folder", module.ErrConflict, dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look into %s: %w", dir, err)
	}
	existed := err == nil
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a project is for its owner's tools to read
		return fmt.Errorf("make the project's folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the project's folder: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for _, f := range files {
		if err := writeFile(root, f); err != nil {
			return errors.Join(fmt.Errorf("write %s in %s: %w", f.Path, dir, err), undo(root, dir, files, existed))
		}
	}
	return nil
}

func writeFile(root *os.Root, f File) error {
	if err := root.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
		return err
	}
	if err := root.WriteFile(f.Path, f.Data, f.Mode); err != nil {
		return err
	}
	return root.Chmod(f.Path, f.Mode) // whatever the umask
}

func undo(root *os.Root, dir string, files []File, existed bool) error {
	if !existed {
		return os.RemoveAll(dir)
	}
	var faults []error
	for _, f := range files {
		first, _, _ := strings.Cut(f.Path, "/")
		faults = append(faults, root.RemoveAll(first))
	}
	return errors.Join(faults...)
}
