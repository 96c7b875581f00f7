package archive

import (
	"fmt"
	"path"
	"strings"
)

// Bounds for what is remembered about links. Beyond them links are still checked one
// by one, but no longer followed.
const (
	maxLinks     = 20_000
	maxLinkBytes = 2 << 20
	maxHops      = 40 // as Linux follows
	maxSteps     = 4096
)

// linkSet remembers symbolic links for following them once everything is known.
type linkSet struct {
	target  map[string]string // cleaned name → target as written
	bytes   int
	full    bool
	winding []string // names of links whose target has .. behind a name
}

func (s *linkSet) add(name, target string, winding bool) (kept bool) {
	if len(s.target) >= maxLinks || s.bytes+len(name)+len(target) > maxLinkBytes {
		s.full = true
		return false
	}
	if s.target == nil {
		s.target = map[string]string{}
	}
	s.bytes += len(name) + len(target)
	s.target[name] = target
	if winding {
		s.winding = append(s.winding, name)
	}
	return true
}

// symlink checks a symbolic link. Its target is resolved against the link's own
// folder, which is a real folder: names behind links have been refused.
func (in *inspector) symlink(name, target string) {
	if in.occupied(name) {
		return
	}
	in.record(name, kindLink)
	shown := printable(target)
	winding, problem := checkTarget(name, target)
	switch {
	case problem == targetAbsolute:
		advice := "make the link relative, or pack the file itself"
		if strings.HasPrefix(path.Base(name), "python") {
			advice = "make the environment with python3 -m venv --copies"
		}
		in.fault(name, shown, problem, advice)
		return
	case problem != "":
		in.fault(name, shown, problem, "point it at something inside, or pack the file itself")
		return
	}
	if !in.links.add(name, target, winding) && winding {
		in.fault(name, shown, "is one of too many links with .. in the middle", "shorten their targets, or pack the files themselves")
	}
}

const (
	targetAbsolute = "is a link to an absolute path"
	targetOutside  = "is a link that leads out of the archive"
)

// checkTarget judges a symbolic link's target by its text; problem is empty when it
// stays inside. That is exact unless the target has .. behind a name (winding), where
// the name may be a link itself.
func checkTarget(name, target string) (winding bool, problem string) {
	switch {
	case target == "":
		return false, "is a link to nothing"
	case len(target) > longestName:
		return false, fmt.Sprintf("is a link with a target of %d bytes", len(target))
	case strings.HasPrefix(target, "/"), strings.HasPrefix(target, `\`), len(target) > 1 && target[1] == ':':
		return false, targetAbsolute
	case strings.ContainsRune(target, 0):
		return false, "is a link with a zero byte in its target"
	}
	depth := strings.Count(name, "/")
	named := false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			winding = winding || named
			if depth--; depth < 0 {
				return winding, targetOutside
			}
		default:
			named = true
			depth++
		}
	}
	return winding, ""
}

// checkWinding refuses links that go through a link and then up: where they end is
// not where their text says.
func (in *inspector) checkWinding() {
	for _, name := range in.links.winding {
		target := in.links.target[name]
		if through, ok := windsThrough(name, target, func(at string) bool { return in.names.get(at) == kindLink }); ok {
			in.fault(name, printable(target), "goes up again behind the link "+printable(through), "point it at its goal directly")
		}
	}
}

// windsThrough finds a link among the names that a target passes before it goes up.
func windsThrough(name, target string, isLink func(string) bool) (through string, ok bool) {
	parts := strings.Split(target, "/")
	last := len(parts) - 1
	for last >= 0 && parts[last] != ".." {
		last--
	}
	at := path.Dir(name)
	for _, part := range parts[:last+1] {
		at = path.Join(at, part)
		if part != ".." && part != "." && part != "" && isLink(at) {
			return at, true
		}
	}
	return "", false
}

// hardLink checks a hard link. Its target is a name from the top of the archive and
// has to be a file that came before.
func (in *inspector) hardLink(name, target string) {
	if in.occupied(name) {
		return
	}
	const advice = "pack the file itself"
	clean, problem, _ := cleanName(target)
	if problem != "" {
		in.fault(name, printable(target), "is a hard link to a file outside: the target "+problem, advice)
		return
	}
	k := in.names.get(clean)
	switch k {
	case kindFile, kindProgram, kindScript, kindNative:
		in.record(name, k)
		in.aliasNative(name, clean)
	case kindLink:
		in.fault(name, printable(target), "is a hard link to a symbolic link", advice)
	case kindFolder, kindImplied:
		in.fault(name, printable(target), "is a hard link to a folder", advice)
	default:
		in.fault(name, printable(target), "is a hard link to a file that does not come before it", advice)
	}
}

// follow resolves the links in a name; ok is false when it leads nowhere in the
// archive, in circles, or through links that were not kept.
func (in *inspector) follow(name string) (resolved string, ok bool) {
	parts := strings.Split(path.Clean(name), "/")
	at := "."
	for hops, steps := 0, 0; len(parts) > 0; steps++ {
		if steps > maxSteps {
			return "", false
		}
		part := parts[0]
		parts = parts[1:]
		if part == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		if target, isLink := in.links.target[next]; isLink {
			if hops++; hops > maxHops {
				return "", false
			}
			parts = append(strings.Split(path.Clean(target), "/"), parts...)
			continue
		}
		at = next
	}
	return at, at == "." || in.names.get(at) != kindNone
}
