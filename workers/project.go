package workers

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// maxScanned bounds how many files are looked at to tell what a module is made of, and maxScript how much of one.
const (
	maxScanned = 5000
	maxScript  = 256 << 10
)

// project is what a work tree looks to be.
type project struct {
	goModule bool // go.mod
	cSources bool // a make file and C or C++ sources
	// foreign names what does not cross: a marker of Python, Node or Rust; empty when there is none.
	foreign string
	// hostLibraries names where libraries are asked of the build machine, which only has its own platform's.
	hostLibraries string
}

// lookAt reads a work tree; fsys must not leave it.
func lookAt(fsys fs.FS, m *module.Manifest) project {
	p := project{
		goModule: exists(fsys, "go.mod"),
		foreign:  foreignMarker(fsys, m),
	}
	if name := firstOf(fsys, "Makefile", "makefile", "GNUmakefile", "CMakeLists.txt", "configure", "configure.ac", "meson.build"); name != "" {
		p.cSources = hasSuffix(fsys, ".c", ".cc", ".cpp", ".cxx")
	}
	p.hostLibraries = asksForLibraries(fsys, m)
	return p
}

// foreignMarker finds what shows that more than Go or C is at work: files at the top and in src.
func foreignMarker(fsys fs.FS, m *module.Manifest) string {
	if name := firstOf(fsys,
		"requirements.txt", "pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "environment.yml", "conanfile.txt",
		"package.json", "Cargo.toml"); name != "" {
		return name
	}
	if strings.HasSuffix(m.Entrypoint, ".py") {
		return "entrypoint " + m.Entrypoint
	}
	for _, dir := range []string{".", "src"} {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if path.Ext(e.Name()) == ".py" {
				return path.Join(dir, e.Name())
			}
		}
	}
	return ""
}

// librariesPattern matches how build files and set-up scripts ask for libraries of the machine they run on.
var librariesPattern = regexp.MustCompile(
	`(?m)^[^#\n]*(\bapt(-get)?\b[^#\n]*\binstall\b[^#\n]*\blib[a-z0-9.+-]+-dev\b|\bpkg-config\b|\bpkg_check_modules\b|\bPKG_CHECK_MODULES\b)`)

// packagePattern matches the packages that CMake and meson look for; threads come with every compiler.
var packagePattern = regexp.MustCompile(`(?m)^[^#\n]*\b(?:find_package|dependency)\s*\(\s*['"]?(\w+)`)

func wantsLibraries(text []byte) bool {
	for _, m := range packagePattern.FindAllSubmatch(text, -1) {
		if !strings.EqualFold(string(m[1]), "threads") {
			return true
		}
	}
	return librariesPattern.Match(text)
}

// asksForLibraries looks into the scripts that the module runs and its build files.
func asksForLibraries(fsys fs.FS, m *module.Manifest) string {
	if wantsLibraries([]byte(m.Build.Setup)) {
		return "build.setup"
	}
	names := []string{"Makefile", "makefile", "GNUmakefile", "CMakeLists.txt", "configure.ac", "meson.build"}
	for word := range strings.FieldsSeq(m.Build.Setup + " " + m.Build.Build) {
		if name := path.Clean(strings.Trim(word, `"';&|()`)); fs.ValidPath(name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if text, err := readSmall(fsys, name); err == nil && wantsLibraries(text) {
			return name
		}
	}
	return ""
}

func readSmall(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxScript {
		return nil, fs.ErrInvalid
	}
	return fs.ReadFile(fsys, name)
}

func exists(fsys fs.FS, name string) bool { return firstOf(fsys, name) != "" }

func firstOf(fsys fs.FS, names ...string) string {
	for _, name := range names {
		if info, err := fs.Stat(fsys, name); err == nil && info.Mode().IsRegular() {
			return name
		}
	}
	return ""
}

// hasSuffix looks for a file with one of the endings anywhere in the tree.
func hasSuffix(fsys fs.FS, endings ...string) bool {
	found, scanned := false, 0
	errFound := errors.New("found")
	_ = fs.WalkDir(fsys, ".", func(_ string, d fs.DirEntry, err error) error { // what cannot be read holds nothing
		if err != nil {
			return fs.SkipDir
		}
		if scanned++; scanned > maxScanned {
			return fs.SkipAll
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		for _, e := range endings {
			if path.Ext(d.Name()) == e {
				found = true
				return errFound
			}
		}
		return nil
	})
	return found
}
