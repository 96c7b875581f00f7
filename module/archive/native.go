package archive

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// native is a file with machine code in it.
type native struct {
	format     string   // "elf", "macho" or "pe"
	os         string   // as GOOS
	arches     []string // as GOARCH; a universal Mach-O file has several
	executable bool     // the owner may execute it
	library    bool     // it is a shared library by its header or its name
	interp     string   // ELF: the program's interpreter
	needed     []string // ELF: the libraries it asks for
	runpath    []string // ELF: where it looks for them first
	unread     bool     // ELF: what it asks for could not be found out
	glibc      *glibcNeed
}

// String is what it was built for, as "linux/arm64".
func (n *native) String() string {
	all := make([]string, len(n.arches))
	for i, arch := range n.arches {
		all[i] = n.os + "/" + arch
	}
	return strings.Join(all, "+")
}

// runs reports whether it can run on a concrete platform.
func (n *native) runs(p module.Platform) bool {
	return n.os == p.GOOS() && slices.Contains(n.arches, p.GOARCH())
}

// runsEverywhere reports whether it can run on every platform that p covers, which is
// what an entrypoint for a wildcard has to do.
func (n *native) runsEverywhere(p module.Platform) bool {
	for _, c := range covered(p) {
		if !n.runs(c) {
			return false
		}
	}
	return true
}

// runsSomewhere reports whether it can run on some platform that p covers.
func (n *native) runsSomewhere(p module.Platform) bool {
	return slices.ContainsFunc(covered(p), n.runs)
}

// covered lists the concrete platforms of p, which is itself unless it is a wildcard.
func covered(p module.Platform) []module.Platform {
	if !p.IsWildcard() {
		return []module.Platform{p}
	}
	var out []module.Platform
	for _, c := range module.Platforms() {
		if !c.IsWildcard() && p.Covers(c) {
			out = append(out, c)
		}
	}
	return out
}

// headSize is how much of a file tells what it is.
const headSize = 512

// identify reads what a file is; nil when it holds no machine code. Damaged headers
// make a file an ordinary one: nothing can start it. The error is one of reading.
func identify(w *window) (*native, error) {
	head, err := w.head(headSize)
	if err != nil || len(head) < 20 {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return identifyELF(w, head)
	case bytes.HasPrefix(head, []byte("MZ")):
		return identifyPE(w, head)
	}
	return identifyMachO(head), nil
}

// identifyPE follows the offset in the DOS header to the machine field.
func identifyPE(w *window, head []byte) (*native, error) {
	if len(head) < 64 {
		return nil, nil
	}
	at := int64(binary.LittleEndian.Uint32(head[60:]))
	header, err := w.bytes(at, 24)
	if err != nil {
		return nil, readFailure(err)
	}
	if !bytes.HasPrefix(header, []byte("PE\x00\x00")) {
		return nil, nil
	}
	machine := binary.LittleEndian.Uint16(header[4:])
	arch, ok := map[uint16]string{
		pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64",
		pe.IMAGE_FILE_MACHINE_I386: "386", pe.IMAGE_FILE_MACHINE_ARMNT: "arm",
	}[machine]
	if !ok {
		arch = fmt.Sprintf("machine-%#x", machine)
	}
	const dll = 0x2000
	return &native{
		format: "pe", os: "windows", arches: []string{arch},
		library: binary.LittleEndian.Uint16(header[22:])&dll != 0,
	}, nil
}

// identifyMachO reads thin and universal headers.
func identifyMachO(head []byte) *native {
	order := binary.ByteOrder(binary.LittleEndian)
	magic := binary.BigEndian.Uint32(head)
	switch magic {
	case macho.MagicFat:
		return identifyFat(head)
	case macho.Magic32, macho.Magic64:
		order = binary.BigEndian
	case 0xcefaedfe, 0xcffaedfe: // the same, little endian
	default:
		return nil
	}
	fileType := macho.Type(order.Uint32(head[12:]))
	return &native{
		format: "macho", os: "darwin", arches: []string{machoArch(order.Uint32(head[4:]))},
		library: fileType == macho.TypeDylib || fileType == macho.TypeBundle,
	}
}

// identifyFat reads a universal file. Java classes begin with the same four bytes;
// their version number makes an impossible count of architectures.
func identifyFat(head []byte) *native {
	const maxArches = 20
	count := int(binary.BigEndian.Uint32(head[4:]))
	if count == 0 || count > maxArches {
		return nil
	}
	n := &native{format: "macho", os: "darwin"}
	for i := range count {
		at := 8 + 20*i
		if at+4 > len(head) {
			break
		}
		n.arches = append(n.arches, machoArch(binary.BigEndian.Uint32(head[at:])))
	}
	return n
}

func machoArch(cpu uint32) string {
	switch macho.Cpu(cpu) {
	case macho.CpuAmd64:
		return "amd64"
	case macho.CpuArm64:
		return "arm64"
	case macho.Cpu386:
		return "386"
	case macho.CpuArm:
		return "arm"
	}
	return fmt.Sprintf("cpu-%#x", cpu)
}

// isLauncher recognizes the Windows starters that Python's packaging tools carry on
// every system. They say nothing about what the archive was built for.
func isLauncher(name string) bool {
	if !strings.HasSuffix(strings.ToLower(name), ".exe") {
		return false
	}
	folder := path.Base(path.Dir(name))
	return folder == "distlib" || folder == "setuptools" || folder == "nt"
}

// isFirmware recognizes programs for a microcontroller, which a module may carry for
// a board beside the machine.
func isFirmware(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".elf") }
