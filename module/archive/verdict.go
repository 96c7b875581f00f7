package archive

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// minTail is the end marker of a tar: two blocks of zeros.
const minTail = 1024

// conclude gives the verdicts that need the whole archive.
func (in *inspector) conclude(s *stream) {
	in.checkWinding()
	if in.count == 0 {
		in.fault("", "", "is empty", "pack the module's files")
		return
	}
	if s.tar.zeros < minTail {
		in.warn("the tar has no end marker; it may have been cut off when it was made")
	}
	in.checkFirstRun()
	name, ok := in.findEntrypoint()
	if ok {
		in.judgeEntrypoint(name)
	}
	in.judgeGlibc()
	in.listForeign()
}

// wanted is the cleaned name of the entrypoint.
func (in *inspector) wanted() string {
	if in.expect.Entrypoint == "" {
		return ""
	}
	return path.Clean(in.expect.Entrypoint)
}

// suggest remembers names that end like the entrypoint's.
func (in *inspector) suggest(name string) {
	const enough = 5
	want := in.wanted()
	if want == "" || name == want || len(in.similar) >= enough {
		return
	}
	base, wantBase := path.Base(name), path.Base(want)
	if strings.EqualFold(base, wantBase) || strings.EqualFold(base, wantBase+".exe") {
		in.similar = append(in.similar, printable(name))
	}
}

// keepShebang keeps the first line of what may turn out to be the entrypoint.
func (in *inspector) keepShebang(name string, head []byte) {
	const enough = 64
	if !bytes.HasPrefix(head, []byte("#!")) {
		return
	}
	base, want := path.Base(name), path.Base(in.wanted())
	if base != want && len(in.shebang) >= enough {
		return
	}
	if in.shebang == nil {
		in.shebang = map[string]string{}
	}
	if len(in.shebang) < 2*enough {
		line, _, _ := bytes.Cut(head, []byte("\n"))
		in.shebang[name] = string(line)
	}
}

// findEntrypoint finds the entrypoint, follows links and checks that it can be
// executed; ok is false when there is nothing to judge further.
func (in *inspector) findEntrypoint() (name string, ok bool) {
	want := in.wanted()
	if want == "" {
		in.warn("no entrypoint is named, so none was checked")
		return "", false
	}
	candidates := []string{want}
	if in.expect.Platform.OS == "windows" { // the system adds the suffix at start
		candidates = append(candidates, want+".exe")
	}
	for _, candidate := range candidates {
		if in.names.get(candidate) != kindNone || len(in.links.target) > 0 {
			if name, ok = in.follow(candidate); ok {
				break
			}
		}
	}
	switch {
	case !ok:
		in.missingEntrypoint(want)
		return "", false
	case !in.isFile(name):
		in.entrypointFault("is the entrypoint but a folder", "name a program as entrypoint in meta.json")
		return "", false
	}
	in.entrypoint = Entrypoint{Path: name, Executable: in.isExecutable(name)}
	if !in.entrypoint.Executable {
		in.entrypointFault("is the entrypoint but not executable", "run chmod +x on it before packing")
	}
	return name, true
}

func (in *inspector) missingEntrypoint(want string) {
	advice := "pack it under this name, or correct entrypoint in meta.json"
	if len(in.similar) > 0 {
		advice = "did you mean " + strings.Join(in.similar, " or ") + "?"
	}
	problem := "is the entrypoint but not in the archive"
	if in.names.get(want) == kindLink {
		problem, advice = "is the entrypoint but a link to nothing in the archive", "pack what it points at"
	}
	in.entrypointFault(problem, advice)
}

// entrypointFault is a warning for those who asked for leniency.
func (in *inspector) entrypointFault(problem, advice string) {
	if in.expect.LenientEntrypoint {
		in.warn("%s %s; %s", printable(in.wanted()), problem, advice)
		return
	}
	in.fault(in.wanted(), "", problem, advice)
}

func (in *inspector) isExecutable(name string) bool {
	switch in.names.get(name) {
	case kindProgram, kindScript:
		return true
	case kindNative:
		n := in.natives.byName[name]
		return n == nil || n.executable
	}
	return false
}

// judgeEntrypoint holds the entrypoint and what it loads to the platform.
func (in *inspector) judgeEntrypoint(name string) {
	p := in.expect.Platform
	if n := in.natives.byName[name]; n != nil {
		in.entrypoint.Kind, in.entrypoint.Built = n.format, n.String()
		switch {
		case p.IsZero():
		case !n.runsEverywhere(p):
			problem := "is the entrypoint and built for another platform than " + p.String()
			advice := "build it for " + p.String()
			if p.IsWildcard() {
				problem = "is the entrypoint and does not run on every platform of " + p.String()
				advice = "publish it for " + n.String()
			}
			in.foreign(name, n.String(), problem, advice)
		default:
			in.judgeLoadPath(name, n)
		}
		return
	}
	in.entrypoint.Kind = "other"
	if in.names.get(name) == kindNative {
		in.warn("there are more than %d native files, so the entrypoint %s was not checked", maxNatives, printable(name))
		return
	}
	if line, ok := in.shebang[name]; ok {
		in.entrypoint.Kind = "script"
		in.judgeShebang(name, line)
	} else if in.names.get(name) == kindScript {
		in.entrypoint.Kind = "script"
	} else if in.entrypoint.Executable {
		in.warn("the entrypoint %s is neither a native program nor a script that begins with #!, so Linux cannot start it", printable(name))
	}
	if !p.IsZero() && len(in.natives.foreign) > 0 && !in.natives.fitting {
		first := in.natives.foreign[0]
		built := ""
		if n := in.natives.byName[first]; n != nil {
			built = n.String()
		}
		in.foreign(first, built, "is not for "+p.String()+", and no other native program or library in the archive is",
			"build on, or for, "+p.String())
	}
}

// judgeShebang checks the interpreter that a script names.
func (in *inspector) judgeShebang(name, line string) {
	if strings.HasSuffix(line, "\r") {
		in.warn("the first line of %s ends with a carriage return, so Linux cannot start it; save it with Unix line ends", printable(name))
	}
	fields := strings.Fields(strings.TrimPrefix(line, "#!"))
	if len(fields) == 0 || path.IsAbs(fields[0]) {
		return
	}
	in.judgeInterpreter(name, fields[0])
}

// judgeInterpreter checks an interpreter that lies in the archive. Its name is
// relative to the folder in which the module is started, the top of the archive.
func (in *inspector) judgeInterpreter(name, interpreter string) {
	found, ok := in.follow(interpreter)
	if !ok {
		return
	}
	n := in.natives.byName[found]
	if n == nil || in.expect.Platform.IsZero() {
		return
	}
	if !n.runsSomewhere(in.expect.Platform) {
		in.foreign(found, n.String(), "interprets the entrypoint "+printable(name)+" and is not for "+in.expect.Platform.String(),
			"build for "+in.expect.Platform.String())
		return
	}
	in.judgeLoadPath(found, n)
}

// judgeLoadPath follows the libraries that a program needs as far as they are in the
// archive. The system's loader skips what does not fit, so one that fits is enough.
func (in *inspector) judgeLoadPath(name string, n *native) {
	p := in.expect.Platform
	byBase := in.nativesByBase()
	type step struct {
		name string
		n    *native
	}
	seen := map[string]bool{name: true}
	if n.interp != "" {
		in.judgeLoader(name, n)
	}
	for queue := []step{{name, n}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at.n.unread {
			in.list("programs whose needed libraries could not be read, so they were not checked", at.name)
		}
		for _, needed := range at.n.needed {
			offers := in.library(byBase, at.name, at.n, needed)
			fit := fitting(offers, in.natives.byName, p)
			switch {
			case len(offers) == 0:
			case fit == "":
				in.foreign(offers[0], in.natives.byName[offers[0]].String(), "is loaded by "+printable(at.name)+" and is not for "+p.String(),
					"pack the library that was built for "+p.String())
			case !seen[fit]:
				seen[fit] = true
				queue = append(queue, step{fit, in.natives.byName[fit]})
			}
		}
	}
	if in.natives.full {
		in.warn("there are more than %d native files, so not all libraries of the entrypoint were checked", maxNatives)
	}
}

// nativesByBase lists the files with machine code by the last part of their name, and
// by that of the links to them: libraries are asked for by it.
func (in *inspector) nativesByBase() map[string][]string {
	byBase := map[string][]string{}
	for _, at := range in.natives.order {
		byBase[path.Base(at)] = append(byBase[path.Base(at)], at)
	}
	for _, at := range slices.Sorted(maps.Keys(in.links.target)) {
		if found, ok := in.follow(at); ok && in.natives.byName[found] != nil && path.Base(found) != path.Base(at) {
			byBase[path.Base(at)] = append(byBase[path.Base(at)], found)
		}
	}
	return byBase
}

// judgeLoader checks a program's interpreter where it is part of the archive.
func (in *inspector) judgeLoader(name string, n *native) {
	if path.IsAbs(n.interp) {
		return
	}
	found, ok := in.follow(n.interp)
	if !ok {
		return
	}
	if loader := in.natives.byName[found]; loader != nil && !loader.runsSomewhere(in.expect.Platform) {
		in.foreign(found, loader.String(), "is the interpreter of "+printable(name)+" and is not for "+in.expect.Platform.String(),
			"pack the one that was built for "+in.expect.Platform.String())
	}
}

// fitting is the first name whose file runs on the platform.
func fitting(names []string, byName map[string]*native, p module.Platform) string {
	for _, name := range names {
		if byName[name].runsSomewhere(p) {
			return name
		}
	}
	return ""
}

// cutOrigin turns "$ORIGIN/../lib" into "../lib"; ok is false for other folders.
func cutOrigin(folder string) (rest string, ok bool) {
	for _, origin := range []string{"$ORIGIN", "${ORIGIN}"} {
		if rest, ok = strings.CutPrefix(folder, origin); ok {
			return path.Join(".", rest), true
		}
	}
	return "", false
}

// listForeign warns of machine code for elsewhere that nobody was refused for.
func (in *inspector) listForeign() {
	p := in.expect.Platform
	if p.IsZero() {
		return
	}
	for _, name := range in.natives.order {
		if n := in.natives.byName[name]; !n.runsSomewhere(p) {
			in.list("files that are not for "+p.String(), name+" ("+n.String()+")")
		}
	}
}

// checkFirstRun warns where the machine would skip first_run, or fail on it.
func (in *inspector) checkFirstRun() {
	if in.expect.FirstRun == "" {
		return
	}
	if !in.isFile("meta.json") {
		in.warn("first_run is set but the archive has no meta.json at its top, so machines will skip it; pack meta.json as well")
		return
	}
	found, ok := in.follow(in.expect.FirstRun)
	switch {
	case !ok:
		in.warn("first_run names %s, which is not in the archive", printable(in.expect.FirstRun))
	case !in.isExecutable(found):
		in.warn("first_run names %s, which is not executable", printable(in.expect.FirstRun))
	}
}
