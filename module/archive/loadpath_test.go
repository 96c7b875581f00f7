package archive_test

import (
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module/archive"
)

// linkedELF lays out a library the way no linker does but every loader accepts:
// padding, then program headers, the dynamic section and the names at chosen places.
type linkedELF struct {
	machine            elf.Machine
	interp             string
	needed             []string
	runpath            string
	headers, dyn, strs int // offsets in the file
}

func (l linkedELF) bytes() string {
	table := "\x00"
	add := func(s string) uint64 {
		at := len(table)
		table += s + "\x00"
		return uint64(at)
	}
	var dyn []elf.Dyn64
	for _, s := range l.needed {
		dyn = append(dyn, elf.Dyn64{Tag: int64(elf.DT_NEEDED), Val: add(s)})
	}
	if l.runpath != "" {
		dyn = append(dyn, elf.Dyn64{Tag: int64(elf.DT_RUNPATH), Val: add(l.runpath)})
	}
	interp := add(l.interp)
	const base = 0x400000
	dyn = append(dyn, elf.Dyn64{Tag: int64(elf.DT_STRTAB), Val: base + uint64(l.strs)}, elf.Dyn64{Tag: int64(elf.DT_STRSZ), Val: uint64(len(table))}, elf.Dyn64{})
	out := make([]byte, max(l.headers+3*56, l.dyn+16*len(dyn), l.strs+len(table))+100)
	put := func(at int, v any) {
		if _, err := binary.Encode(out[at:], binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(l.machine), Version: 1, Phoff: uint64(l.headers), Ehsize: 64, Phentsize: 56, Phnum: 2}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	if l.interp != "" {
		h.Phnum = 3
	}
	put(0, h)
	put(l.headers, []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Vaddr: base, Filesz: uint64(len(out)), Memsz: uint64(len(out))},
		{Type: uint32(elf.PT_DYNAMIC), Off: uint64(l.dyn), Vaddr: base + uint64(l.dyn), Filesz: uint64(16 * len(dyn))},
		{Type: uint32(elf.PT_INTERP), Off: uint64(l.strs) + interp, Filesz: uint64(len(l.interp) + 1)},
	}[:h.Phnum])
	put(l.dyn, dyn)
	copy(out[l.strs:], table)
	return string(out)
}

func TestLoadPath(t *testing.T) {
	t.Parallel()
	lib := func(machine elf.Machine, needed ...string) string {
		return linkedELF{machine: machine, needed: needed, headers: 64, strs: 400, dyn: 4096}.bytes()
	}
	exe := func(runpath string, needed ...string) entry {
		return program("bin/main", linkedELF{
			machine: elf.EM_AARCH64, interp: "/lib/ld-linux-aarch64.so.1", needed: needed, runpath: runpath, headers: 64, strs: 400, dyn: 4096,
		}.bytes())
	}
	const own, foreign = elf.EM_AARCH64, elf.EM_X86_64
	for _, tc := range []struct {
		name    string
		entries []entry
		refused string
		warned  string
	}{
		{"system libraries", []entry{exe("", "libc.so.6")}, "", ""},
		{"fitting", []entry{exe("$ORIGIN/../lib", "liba.so"), file("lib/liba.so", lib(own))}, "", ""},
		{"foreign", []entry{exe("$ORIGIN/../lib", "liba.so"), file("lib/liba.so", lib(foreign))}, `lib/liba.so: "linux/amd64": is loaded by bin/main and is not for linux/arm64; pack the library that was built for linux/arm64`, ""},
		{"foreign, before the program", []entry{file("lib/liba.so", lib(foreign)), exe("${ORIGIN}/../lib", "liba.so")}, "lib/liba.so", ""},
		{"foreign behind links", []entry{exe("$ORIGIN/../l", "liba.so.1"), symlink("l", "lib"), symlink("lib/liba.so.1", "liba.so.1.2"), file("lib/liba.so.1.2", lib(foreign))}, "lib/liba.so.1.2", ""},
		{"foreign without search path", []entry{exe("", "liba.so"), file("lib/liba.so", lib(foreign))}, "lib/liba.so", ""},
		{"link without search path", []entry{exe("", "liba.so"), symlink("lib/liba.so", "x.so"), file("lib/x.so", lib(foreign))}, "lib/x.so", ""},
		{"transitive", []entry{exe("", "liba.so"), file("lib/libb.so", lib(foreign)), file("lib/liba.so", lib(own, "libb.so"))}, `lib/libb.so: "linux/amd64": is loaded by lib/liba.so`, ""},
		{"in a circle", []entry{exe("", "liba.so"), file("liba.so", lib(own, "libb.so")), file("libb.so", lib(own, "liba.so"))}, "", ""},
		{"one for each platform", []entry{exe("", "liba.so"), file("amd64/liba.so", lib(foreign)), file("arm64/liba.so", lib(own))}, "", "files that are not for linux/arm64: amd64/liba.so (linux/amd64)"},
		{"search path first", []entry{exe("$ORIGIN/../a", "liba.so"), file("a/liba.so", lib(foreign)), file("b/liba.so", lib(own))}, "a/liba.so", ""},
		{"needed by a path", []entry{exe("", "./lib/liba.so"), file("lib/liba.so", lib(foreign))}, "lib/liba.so", ""},
		{"needed by an absolute path", []entry{exe("", "/opt/liba.so"), file("lib/liba.so", lib(foreign))}, "", "files that are not for linux/arm64: lib/liba.so (linux/amd64)"},
		{"search path elsewhere", []entry{exe("/opt/lib", "liba.so"), file("lib/liba.so", lib(foreign))}, "lib/liba.so", ""},
		{"not needed", []entry{exe("", "libc.so.6"), file("lib/liba.so", lib(foreign))}, "", "files that are not for linux/arm64: lib/liba.so (linux/amd64)"},
		{"interpreter", []entry{
			program("bin/main", linkedELF{machine: own, interp: "lib/ld.so", headers: 64, strs: 400, dyn: 4096}.bytes()), file("lib/ld.so", lib(foreign)),
		}, `lib/ld.so: "linux/amd64": is the interpreter of bin/main`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			data := makeArchive(t, tc.entries...)
			e := archive.Expect{Entrypoint: "bin/main", Platform: platform(t, "linux/arm64")}
			if tc.refused != "" {
				if refused := refusal(t, data, e, tc.refused); !refused.WrongPlatform || len(refused.Faults) != 1 {
					t.Errorf("refused: %+v", refused)
				}
				return
			}
			if diff := cmp.Diff(tc.warned, strings.Join(accept(t, data, e).Warnings, "\n")); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNeededLibrariesWhereverTheTablesLie(t *testing.T) {
	t.Parallel()
	const far, farther, farthest = 10 << 20, 11 << 20, 12 << 20 // beyond what is kept
	for _, tc := range []struct {
		name               string
		headers, dyn, strs int
		unread             bool
	}{
		{"as linkers do", 64, 1 << 20, 4096, false},
		{"names last", 64, 4096, 1 << 20, false},
		{"headers last", 2 << 20, 1 << 20, 4096, false},
		{"all far, forward", far, farther, farthest, false},
		{"names far", 64, 4096, far, false},
		{"section far, names near", 64, far, 4096, false},
		{"names across the border", 64, 4096, 8<<20 - 20, false},
		{"names passed", 64, farther, far, true},
		{"section passed", farther, far, 4096, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := linkedELF{
				machine: elf.EM_AARCH64, needed: []string{"liba.so.1", "libc.so.6"}, runpath: "$ORIGIN:/opt",
				headers: tc.headers, dyn: tc.dyn, strs: tc.strs,
			}
			got, err := archive.Identify(strings.NewReader(l.bytes()))
			if err != nil {
				t.Fatal(err)
			}
			want := &archive.Native{Format: "elf", Built: "linux/arm64", Library: true, Needed: l.needed, Runpath: []string{"$ORIGIN", "/opt"}}
			if tc.unread {
				want = &archive.Native{Format: "elf", Built: "linux/arm64", Library: true, Unread: true}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("identify (-want +got):\n%s", diff)
			}
		})
	}
}
