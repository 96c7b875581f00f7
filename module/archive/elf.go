package archive

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds for what a linker writes; a file beyond them is hostile or broken.
const (
	maxSegments = 512
	maxDynamic  = 128 << 10 // bytes of the dynamic section
	maxNeeded   = 1024
	maxString   = 4096
	maxStrings  = 1 << 32 // bytes of the string table
	maxSpan     = 1 << 20 // bytes between the first and the last name wanted
)

// elfFile reads the parts of an ELF file that tell where it runs and what it loads.
// debug/elf wants random access, which a stream does not have.
type elfFile struct {
	w     *window
	order binary.ByteOrder
	wide  bool // 64 bit
	loads []segment
}

// segment is one program header.
type segment struct {
	kind                  elf.ProgType
	offset, vaddr, length uint64
}

// readFailure keeps errors of reading the archive apart from files that are cut off
// or have their tables out of reach: those are nil.
func readFailure(err error) error {
	if errors.Is(err, errPassed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func identifyELF(w *window, head []byte) (*native, error) {
	f := &elfFile{w: w, order: binary.LittleEndian, wide: head[elf.EI_CLASS] == byte(elf.ELFCLASS64)}
	if head[elf.EI_DATA] == byte(elf.ELFDATA2MSB) {
		f.order = binary.BigEndian
	}
	fileType := elf.Type(f.order.Uint16(head[16:]))
	if fileType != elf.ET_EXEC && fileType != elf.ET_DYN {
		return nil, nil // object files and core dumps are data
	}
	n := &native{format: "elf", os: f.osOf(head), arches: []string{f.archOf(head)}, library: fileType == elf.ET_DYN}
	if len(head) < 64 {
		return n, nil
	}
	segments, err := f.segments(head)
	if err != nil {
		n.unread = true
		return n, readFailure(err)
	}
	err = f.dynamic(n, segments)
	if err != nil {
		n.unread = true
	}
	return n, readFailure(err)
}

// osOf reads the system from the header; most Linux programs do not name one.
func (f *elfFile) osOf(head []byte) string {
	switch abi := elf.OSABI(head[elf.EI_OSABI]); abi {
	case elf.ELFOSABI_FREEBSD:
		return "freebsd"
	case elf.ELFOSABI_NETBSD:
		return "netbsd"
	case elf.ELFOSABI_OPENBSD:
		return "openbsd"
	case elf.ELFOSABI_SOLARIS:
		return "solaris"
	}
	return "linux"
}

// archOf is the GOARCH of the header, or a description that equals none.
func (f *elfFile) archOf(head []byte) string {
	machine := elf.Machine(f.order.Uint16(head[18:]))
	little := f.order == binary.ByteOrder(binary.LittleEndian)
	switch {
	case machine == elf.EM_X86_64 && f.wide && little:
		return "amd64"
	case machine == elf.EM_X86_64:
		return "amd64p32"
	case machine == elf.EM_AARCH64 && f.wide && little:
		return "arm64"
	case machine == elf.EM_ARM && !f.wide && little:
		return "arm"
	case machine == elf.EM_386:
		return "386"
	case machine == elf.EM_RISCV && f.wide:
		return "riscv64"
	case machine == elf.EM_PPC64 && little:
		return "ppc64le"
	case machine == elf.EM_S390:
		return "s390x"
	}
	name := strings.ToLower(strings.TrimPrefix(machine.String(), "EM_"))
	if strings.Contains(name, "+") { // the library names unknown ones after a neighbour
		name = fmt.Sprintf("machine%d", machine)
	}
	return name + fmt.Sprintf("-%dbit", map[bool]int{true: 64, false: 32}[f.wide])
}

// segments reads the program headers.
func (f *elfFile) segments(head []byte) ([]segment, error) {
	var at int64
	var size, count int
	if f.wide {
		at, size, count = int64(f.order.Uint64(head[32:])), int(f.order.Uint16(head[54:])), int(f.order.Uint16(head[56:]))
	} else {
		at, size, count = int64(f.order.Uint32(head[28:])), int(f.order.Uint16(head[42:])), int(f.order.Uint16(head[44:]))
	}
	want := map[bool]int{true: 56, false: 32}[f.wide]
	if count > maxSegments || count > 0 && size != want {
		return nil, io.ErrUnexpectedEOF
	}
	raw, err := f.w.bytes(at, size*count)
	if err != nil {
		return nil, err
	}
	out := make([]segment, count)
	for i := range out {
		h := raw[i*size:]
		out[i].kind = elf.ProgType(f.order.Uint32(h))
		if f.wide {
			out[i].offset, out[i].vaddr, out[i].length = f.order.Uint64(h[8:]), f.order.Uint64(h[16:]), f.order.Uint64(h[32:])
		} else {
			out[i].offset, out[i].vaddr, out[i].length = uint64(f.order.Uint32(h[4:])), uint64(f.order.Uint32(h[8:])), uint64(f.order.Uint32(h[16:]))
		}
	}
	return out, nil
}

// dynamic reads interpreter, needed libraries and search path.
func (f *elfFile) dynamic(n *native, segments []segment) error {
	var table segment
	for _, s := range segments {
		switch s.kind {
		case elf.PT_LOAD:
			f.loads = append(f.loads, s)
		case elf.PT_DYNAMIC:
			table = s
		case elf.PT_INTERP:
			raw, err := f.w.bytes(int64(s.offset), int(min(s.length, maxString)))
			if err != nil {
				return err
			}
			n.interp, _, _ = strings.Cut(string(raw), "\x00")
			n.library = false // a program, though position-independent ones are ET_DYN too
		}
	}
	if table.length == 0 {
		return nil
	}
	if table.length > maxDynamic {
		return io.ErrUnexpectedEOF
	}
	raw, err := f.w.bytes(int64(table.offset), int(table.length))
	if err != nil {
		return err
	}
	tags := f.tags(raw)
	if err := f.glibc(n, tags); err != nil {
		return err
	}
	return f.strings(n, tags)
}

// tag is one entry of the dynamic section.
type tag struct {
	name  elf.DynTag
	value uint64
}

func (f *elfFile) tags(raw []byte) []tag {
	size := map[bool]int{true: 16, false: 8}[f.wide]
	var out []tag
	for ; len(raw) >= size; raw = raw[size:] {
		var t tag
		if f.wide {
			t = tag{elf.DynTag(f.order.Uint64(raw)), f.order.Uint64(raw[8:])}
		} else {
			t = tag{elf.DynTag(f.order.Uint32(raw)), uint64(f.order.Uint32(raw[4:]))}
		}
		if t.name == elf.DT_NULL {
			break
		}
		out = append(out, t)
	}
	return out
}

// strings resolves the entries that are offsets into the string table.
func (f *elfFile) strings(n *native, tags []tag) error {
	var wanted []tag
	var size uint64
	for _, t := range tags {
		switch t.name {
		case elf.DT_NEEDED, elf.DT_RUNPATH, elf.DT_RPATH:
			wanted = append(wanted, t)
		case elf.DT_STRSZ:
			size = t.value
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	table, ok := f.stringTable(tags)
	if !ok || len(wanted) > maxNeeded {
		return io.ErrUnexpectedEOF
	}
	texts, err := f.texts(table, size, wanted)
	if err != nil {
		return err
	}
	for i, t := range wanted {
		if t.name == elf.DT_NEEDED {
			n.needed = append(n.needed, texts[i])
		} else {
			n.runpath = append(n.runpath, strings.Split(texts[i], ":")...)
		}
	}
	return nil
}

// texts reads the strings in one piece from the first to the last, because beyond
// the window there is no going back; within it they are read one by one.
func (f *elfFile) texts(table, size uint64, wanted []tag) ([]string, error) {
	lowest, highest := wanted[0].value, wanted[0].value
	for _, t := range wanted {
		lowest, highest = min(lowest, t.value), max(highest, t.value)
	}
	if highest >= size || size > maxStrings {
		return nil, io.ErrUnexpectedEOF
	}
	end := min(size, highest+maxString)
	var span []byte
	if table+end > maxWindow {
		if end-lowest > maxSpan {
			return nil, errPassed
		}
		var err error
		if span, err = f.w.bytes(int64(table+lowest), int(end-lowest)); err != nil {
			return nil, err
		}
	}
	out := make([]string, len(wanted))
	for i, t := range wanted {
		var raw []byte
		if span != nil {
			raw = span[t.value-lowest:]
		} else {
			var err error
			if raw, err = f.w.bytes(int64(table+t.value), int(min(size-t.value, maxString))); err != nil {
				return nil, err
			}
		}
		stop := bytes.IndexByte(raw[:min(len(raw), maxString)], 0)
		if stop < 0 {
			return nil, io.ErrUnexpectedEOF
		}
		out[i] = string(raw[:stop])
	}
	return out, nil
}

// stringTable is the offset in the file of the address that DT_STRTAB names.
func (f *elfFile) stringTable(tags []tag) (uint64, bool) {
	for _, t := range tags {
		if t.name == elf.DT_STRTAB {
			return f.offset(t.value)
		}
	}
	return 0, false
}

// offset is where in the file the content of an address is.
func (f *elfFile) offset(address uint64) (uint64, bool) {
	for _, load := range f.loads {
		if address >= load.vaddr && address-load.vaddr < load.length {
			return address - load.vaddr + load.offset, true
		}
	}
	return 0, false
}
