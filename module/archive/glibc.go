package archive

import (
	"debug/elf"
	"strconv"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Bounds for the tables of symbol versions; beyond them a file is left out.
const (
	maxVersions     = 1024
	maxVersionTable = 256 << 10
	maxSymbols      = 1 << 16
)

// glibcNeed is the newest version of glibc's symbols that one file needs.
type glibcNeed struct{ version, symbol string }

// A mark among the versions, and the first glibc that has it.
const (
	relrABI        = "GLIBC_ABI_DT_RELR"
	relrABIVersion = "2.36"
)

// glibc finds out which version of glibc a file needs. Only errors of reading are returned: a file whose tables
// cannot be followed says nothing of its needs.
func (f *elfFile) glibc(n *native, tags []tag) error {
	at := map[elf.DynTag]uint64{}
	for _, t := range tags {
		at[t.name] = t.value
	}
	names, ok := f.stringTable(tags)
	need, found := f.offset(at[elf.DT_VERNEED])
	if !ok || !found || at[elf.DT_VERNEED] == 0 {
		return nil
	}
	newest, index, err := f.newestNeed(need, names, min(at[elf.DT_VERNEEDNUM], maxVersions))
	if err != nil || newest == "" {
		return readFailure(err)
	}
	n.glibc = &glibcNeed{version: newest}
	n.glibc.symbol, err = f.symbolOf(index, at, names)
	return readFailure(err)
}

// newestNeed goes through the needs of a file and returns the newest of glibc's, with its index among the versions.
func (f *elfFile) newestNeed(table, names, files uint64) (newest string, index uint16, err error) {
	const size = 16 // of both kinds of entries
	for range files {
		raw, err := f.w.bytes(int64(table), size) //nolint:gosec // bytes refuses what is out of reach
		if err != nil {
			return "", 0, err
		}
		count, aux, next := f.order.Uint16(raw[2:]), uint64(f.order.Uint32(raw[8:])), uint64(f.order.Uint32(raw[12:]))
		for entry, i := table+aux, uint16(0); i < min(count, maxVersions); i++ {
			raw, err := f.w.bytes(int64(entry), size) //nolint:gosec // see above
			if err != nil {
				return "", 0, err
			}
			other, name, step := f.order.Uint16(raw[6:]), uint64(f.order.Uint32(raw[8:])), uint64(f.order.Uint32(raw[12:]))
			text, err := f.name(names + name)
			if err != nil {
				return "", 0, err
			}
			if v := glibcVersion(text); v != "" && newer(v, newest) {
				newest, index = v, other
			}
			if step == 0 {
				break
			}
			entry += step
		}
		if next == 0 {
			break
		}
		table += next
	}
	return newest, index, nil
}

// symbolOf is the name of a symbol that has a version; empty when there is none, as with marks.
func (f *elfFile) symbolOf(index uint16, at map[elf.DynTag]uint64, names uint64) (string, error) {
	versions, ok := f.offset(at[elf.DT_VERSYM])
	symbols, found := f.offset(at[elf.DT_SYMTAB])
	if !ok || !found {
		return "", nil
	}
	const each = 2
	count := uint64(maxSymbols)
	if end, ok := f.offset(at[elf.DT_VERNEED]); ok && end > versions { // linkers put the one behind the other
		count = min(count, (end-versions)/each)
	}
	raw, err := f.w.bytes(int64(versions), int(min(count*each, maxVersionTable))) //nolint:gosec // bounded
	if err != nil {
		return "", err
	}
	const hidden = 0x8000
	for i := uint64(0); i < uint64(len(raw)/each); i++ {
		if f.order.Uint16(raw[i*each:])&^hidden != index {
			continue
		}
		size := map[bool]uint64{true: elf.Sym64Size, false: elf.Sym32Size}[f.wide]
		symbol, err := f.w.bytes(int64(symbols+i*size), 4) //nolint:gosec // bytes refuses what is out of reach
		if err != nil {
			return "", err
		}
		return f.name(names + uint64(f.order.Uint32(symbol)))
	}
	return "", nil
}

// name reads a short text of the string table.
func (f *elfFile) name(at uint64) (string, error) {
	const most = 256
	var text []byte
	for len(text) < most {
		c, err := f.w.bytes(int64(at)+int64(len(text)), 1) //nolint:gosec // see newestNeed
		if err != nil {
			return "", err
		}
		if c[0] == 0 {
			break
		}
		text = append(text, c[0])
	}
	return string(text), nil
}

// glibcVersion is the number in the name of a symbol version; empty when it is none of glibc's public ones.
func glibcVersion(name string) string {
	if name == relrABI {
		return relrABIVersion
	}
	v, ok := strings.CutPrefix(name, "GLIBC_")
	if !ok || v == "" || strings.Trim(v, "0123456789.") != "" {
		return ""
	}
	return v
}

// newer compares two versions such as 2.4 and 2.34; everything is newer than none.
func newer(a, b string) bool {
	if b == "" {
		return true
	}
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(left), len(right)) {
		var l, r int
		if i < len(left) {
			l, _ = strconv.Atoi(left[i]) // glibcVersion let digits and points through only
		}
		if i < len(right) {
			r, _ = strconv.Atoi(right[i])
		}
		if l != r {
			return l > r
		}
	}
	return false
}

// noteGlibc keeps the newest need of the archive's programs and libraries.
func (in *inspector) noteGlibc(name string, n *native) {
	if n.glibc == nil || !(n.executable || n.library) || !in.expect.Platform.IsZero() && !n.runsSomewhere(in.expect.Platform) {
		return
	}
	if in.glibc == nil || newer(n.glibc.version, in.glibc.Version) {
		in.glibc = &module.GlibcNeed{Version: n.glibc.version, Symbol: printable(n.glibc.symbol), File: printable(name)}
	}
}

// judgeGlibc refuses what the target's glibc is too old for. An archive that brings its own glibc asks nothing of it.
func (in *inspector) judgeGlibc() {
	have, need := in.expect.Glibc, in.glibc
	if have == "" || need == nil || !newer(need.Version, have) {
		return
	}
	for _, at := range in.nativesByBase()["libc.so.6"] {
		if in.natives.byName[at].runsSomewhere(in.expect.Platform) {
			return
		}
	}
	in.fault(need.File, "", "needs "+need.Symbol+" of glibc "+need.Version+", and the target has glibc "+have,
		"build it with the builder image of the target's release, or link it statically")
}
