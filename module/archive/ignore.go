package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ignoreFile lists, in any folder, what does not belong to a module's source.
const ignoreFile = ".gitignore"

// Ignored returns a PackOptions.Skip that leaves out what git would not commit: .git
// itself, and what the .gitignore files of fsys say. It also leaves out the litter
// of desktops, .DS_Store and Thumbs.db. The error of a .gitignore that cannot be
// read comes from the function.
func Ignored(fsys fs.FS) func(name string, folder bool) (bool, error) {
	rules := map[string][]rule{} // by folder
	return func(name string, folder bool) (bool, error) {
		switch path.Base(name) {
		case ".git", ".DS_Store", "Thumbs.db":
			return true, nil
		}
		// The nearest folder that says anything decides, and in it the last line.
		for dir := path.Dir(name); ; dir = path.Dir(dir) {
			of, known := rules[dir]
			if !known {
				var err error
				if of, err = readRules(fsys, dir); err != nil {
					return false, err
				}
				rules[dir] = of
			}
			below := name
			if dir != "." {
				below = strings.TrimPrefix(name, dir+"/")
			}
			for _, r := range slices.Backward(of) {
				if r.matches(below, folder) {
					return !r.keep, nil
				}
			}
			if dir == "." {
				return false, nil
			}
		}
	}
}

// rule is a line of a .gitignore.
type rule struct {
	pattern *regexp.Regexp
	keep    bool // it began with !
	folders bool // it matches folders only
	deep    bool // it matches the last name of a path, at any depth
}

func (r rule) matches(name string, folder bool) bool {
	if r.folders && !folder {
		return false
	}
	if r.deep {
		name = path.Base(name)
	}
	return r.pattern.MatchString(name)
}

func readRules(fsys fs.FS, dir string) ([]rule, error) {
	text, err := fs.ReadFile(fsys, path.Join(dir, ignoreFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is ignored: %w", err)
	}
	var rules []rule
	for line := range strings.Lines(string(text)) {
		if r, ok := parseRule(strings.TrimRight(line, "\r\n")); ok {
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// parseRule reads a line as gitignore(5) says. Lines that mean nothing, and patterns
// that match nothing, are not ok.
func parseRule(line string) (r rule, ok bool) {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = strings.TrimSuffix(line, " ")
	}
	if strings.HasPrefix(line, "#") {
		return r, false
	}
	line, r.keep = strings.CutPrefix(line, "!")
	line, r.folders = strings.CutSuffix(line, "/")
	r.deep = !strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return r, false
	}
	var err error
	r.pattern, err = regexp.Compile(`^` + globPattern(line) + `$`)
	return r, err == nil
}

// globPattern turns a pattern of git into a regular expression.
func globPattern(glob string) string {
	var out strings.Builder
	for i := 0; i < len(glob); i++ {
		rest := glob[i:]
		atStart := i == 0 || glob[i-1] == '/'
		switch {
		case atStart && strings.HasPrefix(rest, "**/"):
			out.WriteString(`(?:.*/)?`)
			i += 2
		case atStart && rest == "**":
			out.WriteString(`.*`)
			i++
		case rest[0] == '*':
			out.WriteString(`[^/]*`)
		case rest[0] == '?':
			out.WriteString(`[^/]`)
		case rest[0] == '\\' && len(rest) > 1:
			out.WriteString(regexp.QuoteMeta(rest[1:2]))
			i++
		case len(rest) > 2 && rest[0] == '[' && strings.Contains(rest[2:], "]"):
			end := 2 + strings.Index(rest[2:], "]")
			class := rest[1:end]
			if not, found := strings.CutPrefix(class, "!"); found {
				class = "^" + not
			}
			out.WriteString("[" + class + "]")
			i += end
		case rest[0] == '[':
			return "[" // matches nothing, to git as to regexp
		default:
			out.WriteString(regexp.QuoteMeta(rest[:1]))
		}
	}
	return out.String()
}
