package archive

import (
	"path"
	"slices"
)

// Bounds for what is remembered about files with machine code.
const (
	maxNatives     = 20_000
	maxNativeBytes = 4 << 20
)

// nativeSet remembers the files with machine code, for the verdicts at the end.
type nativeSet struct {
	byName  map[string]*native
	order   []string // names as they came
	bytes   int
	full    bool
	fitting bool     // some program or library fits the platform
	foreign []string // names that fit nowhere; the first few
}

// addNative judges a file with machine code and remembers it as far as there is room.
func (in *inspector) addNative(name string, n *native) {
	s := &in.natives
	if !in.expect.Platform.IsZero() {
		counts := (n.executable || n.library) && !isLauncher(name) && !isFirmware(name)
		switch fits := n.runsSomewhere(in.expect.Platform); {
		case fits && counts:
			s.fitting = true
		case !fits && counts && len(s.foreign) < maxListed:
			s.foreign = append(s.foreign, name)
		}
	}
	cost := len(name) + 200
	for _, text := range slices.Concat(n.needed, n.runpath) {
		cost += len(text) + 16
	}
	if len(s.order) >= maxNatives || s.bytes+cost > maxNativeBytes {
		s.full = true
		if name != in.wanted() {
			return
		}
	}
	s.bytes += cost
	if s.byName == nil {
		s.byName = map[string]*native{}
	}
	s.byName[name] = n
	s.order = append(s.order, name)
}

// aliasNative makes a hard link share what is known about its target.
func (in *inspector) aliasNative(name, target string) {
	n, ok := in.natives.byName[target]
	if ok && (len(in.natives.order) < maxNatives || name == in.wanted()) {
		in.natives.byName[name] = n
		in.natives.order = append(in.natives.order, name)
	}
	if text, ok := in.shebang[target]; ok {
		in.keepShebang(name, []byte(text))
	}
}

// library finds what the archive offers for a needed library: in the search path of
// the one that needs it, else anywhere, because a wrapper may set the search path.
func (in *inspector) library(byBase map[string][]string, from string, n *native, needed string) []string {
	origin := path.Dir(from)
	if path.Base(needed) != needed {
		if path.IsAbs(needed) {
			return nil
		}
		needed = path.Base(needed)
	}
	for _, folder := range n.runpath {
		rest, ok := cutOrigin(folder)
		if !ok {
			continue
		}
		if found, ok := in.follow(path.Join(origin, rest, needed)); ok {
			if in.natives.byName[found] != nil {
				return []string{found}
			}
		}
	}
	return byBase[needed]
}
