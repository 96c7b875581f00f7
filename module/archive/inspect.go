package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Inspect reads an archive once, from the beginning to the end, and reports what is
// in it. An archive that must not be published gives a *Refused that lists everything
// wrong with it; a stream that cannot be read further (damaged, or over a limit) is
// left where that became clear. Other errors are those of r and of ctx. The memory it
// takes does not depend on the archive.
func Inspect(ctx context.Context, r io.Reader, e Expect) (*Report, error) {
	return inspect(ctx, r, e, true)
}

// Examine is Inspect for a caller who hashes the archive by other means: SHA256 and
// CRC32C of the report are empty.
func Examine(ctx context.Context, r io.Reader, e Expect) (*Report, error) {
	return inspect(ctx, r, e, false)
}

func inspect(ctx context.Context, r io.Reader, e Expect, hashed bool) (*Report, error) {
	in := &inspector{expect: e, names: newNames()}
	s, err := openStream(ctx, r, e.Limits, hashed)
	if err == nil {
		err = in.entries(s)
	}
	if err == nil {
		err = s.drain()
	}
	var fatal module.Fault
	switch {
	case errors.As(err, &fatal):
		// What was read before is still worth telling, in front of what ended it.
		in.fault(fatal.Path, fatal.Value, fatal.Problem, fatal.Advice)
		return nil, in.refused()
	case err != nil:
		return nil, err
	}
	in.conclude(s)
	if err := in.refused(); err != nil {
		return nil, err
	}
	return &Report{
		SHA256: s.file.hex(), TarSHA256: s.tar.hex(), CRC32C: s.file.crc,
		Size: s.file.n, TarSize: s.tar.n, Entries: in.count,
		HasManifest: in.isFile("meta.json"), Entrypoint: in.entrypoint, Glibc: in.glibc, Warnings: in.sentences(),
	}, nil
}

// inspector is the state of one inspection.
type inspector struct {
	findings
	expect     Expect
	names      *names
	count      int               // entries
	total      int64             // bytes of the files
	lastFolder string            // the folder whose parents were checked last
	links      linkSet           // symbolic links, for following them at the end
	natives    nativeSet         // what holds machine code
	windowBuf  []byte            // kept from file to file
	similar    []string          // names like the entrypoint's, to suggest
	shebang    map[string]string // of scripts the entrypoint may be
	entrypoint Entrypoint
	glibc      *module.GlibcNeed
}

// entries goes through the tar. A Fault ends the inspection.
func (in *inspector) entries(s *stream) error {
	t := tar.NewReader(s.tar)
	for {
		header, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, tar.ErrHeader) && in.count > 0:
			return module.Fault{
				Problem: fmt.Sprintf("is damaged: broken tar header before byte %d of what it unpacks to", s.tar.n),
				Advice:  "pack it again; if it was sent over a network, send it again",
			}
		case errors.Is(err, tar.ErrHeader):
			return module.Fault{
				Problem: fmt.Sprintf("is no tar within the gzip, at byte %d of what it unpacks to", s.tar.n),
				Advice:  "pack it with tar -czf module.tar.gz",
			}
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			return s.explain(err)
		}
		in.count++
		if in.count > MaxEntries || in.names.count > MaxEntries+MaxEntries/4 {
			return module.Fault{
				Problem: fmt.Sprintf("has more than %d files and folders", MaxEntries),
				Advice:  "pack what belongs together into one file, such as a wheel or a zip",
			}
		}
		if in.unlisted > maxUnlisted {
			return module.Fault{Problem: "has too many faults to go on"}
		}
		if err := in.entry(header, t, s.limits); err != nil {
			if fault, ok := errors.AsType[module.Fault](err); ok {
				return fault
			}
			return s.explain(err)
		}
	}
}

// entry checks one entry. An error ends the inspection; faults do not.
func (in *inspector) entry(h *tar.Header, body io.Reader, limits Limits) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		in.global(h)
		return nil
	}
	name, ok := in.name(h)
	if !ok {
		return nil
	}
	in.suggest(name)
	switch h.Typeflag {
	case tar.TypeDir:
		in.folder(name, h)
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return in.file(name, h, body, limits)
	case tar.TypeSymlink:
		in.symlink(name, h.Linkname)
	case tar.TypeLink:
		in.hardLink(name, h.Linkname)
	case tar.TypeChar, tar.TypeBlock:
		in.fault(name, "", "is a device", "leave it out; a module has no business with device files")
	case tar.TypeFifo:
		in.fault(name, "", "is a named pipe", "leave it out and make it when the module starts")
	default:
		in.fault(name, string(h.Typeflag), "is an entry of an unknown type", "pack only files, folders and links")
	}
	return nil
}

// global refuses headers that rename what follows: readers disagree about them.
func (in *inspector) global(h *tar.Header) {
	for key := range h.PAXRecords {
		if key == "path" || key == "linkpath" || key == "size" || strings.HasPrefix(key, "GNU.sparse") {
			in.fault("", key, "is set for all entries by a global header", "pack it again with GNU tar or bsdtar")
		}
	}
}

// Bounds for names: what a machine can unpack, in bytes, and a depth that keeps a
// million hostile names from costing hours.
const (
	longestName = 4095
	longestPart = 255
	deepest     = 256
)

// name checks and cleans the name of an entry; ok is false when it is the top folder
// or has been refused.
func (in *inspector) name(h *tar.Header) (name string, ok bool) {
	name, problem, advice := cleanName(h.Name)
	if problem == "" && strings.Contains(name, `\`) && in.expectsWindows() {
		problem, advice = "has a backslash in its name, which Windows takes for a folder", "rename it"
	}
	switch {
	case problem != "":
		in.fault(h.Name, "", problem, advice)
		return "", false
	case name == ".":
		if h.Typeflag != tar.TypeDir {
			in.fault(h.Name, "", "replaces the top folder", "pack a folder's content, not a link to it")
		}
		return "", false
	}
	return name, in.parents(name)
}

func (in *inspector) expectsWindows() bool {
	return in.expect.Platform.OS == "windows" || in.expect.Platform.OS == module.Any
}

// cleanName is the one rule for names in archives; problem is empty when it holds.
func cleanName(raw string) (name, problem, advice string) {
	const outside = "pack it with names relative to the module's folder"
	switch {
	case raw == "":
		return "", "has an empty name", "pack it again"
	case len(raw) > longestName:
		return "", fmt.Sprintf("has a name of %d bytes, the limit is %d", len(raw), longestName), "shorten it"
	case strings.HasPrefix(raw, "/"):
		return "", "has an absolute name", outside
	case strings.Count(raw, "/") > deepest:
		return "", fmt.Sprintf("lies %d folders deep, the limit is %d", strings.Count(raw, "/"), deepest), "pack a flatter tree"
	case strings.ContainsRune(raw, 0):
		return "", "has a zero byte in its name", "rename it"
	}
	for part := range strings.SplitSeq(raw, "/") {
		if part == ".." {
			return "", "has .. in its name", outside
		}
		if len(part) > longestPart {
			return "", fmt.Sprintf("has a part of %d bytes in its name, the limit is %d", len(part), longestPart), "shorten it"
		}
	}
	return path.Clean(raw), "", ""
}

// parents records the folders above a name and refuses to pass through anything else.
// It goes upwards only as far as the first folder that is known, whose own parents
// were checked when it became known.
func (in *inspector) parents(name string) bool {
	folder := path.Dir(name)
	if folder == in.lastFolder {
		return true
	}
	top := folder
	for ; top != "."; top = path.Dir(top) {
		known := in.names.get(top)
		if known == kindFolder || known == kindImplied {
			break
		}
		switch known {
		case kindNone:
		case kindLink:
			in.fault(name, "", "lies behind the symbolic link "+printable(top), "pack the folder itself instead of a link to it")
			return false
		default:
			in.fault(name, "", "lies below "+printable(top)+", which is a file", "remove one of the two")
			return false
		}
	}
	for at := folder; at != top; at = path.Dir(at) {
		in.record(at, kindImplied)
	}
	in.lastFolder = folder
	return true
}

// record remembers a name.
func (in *inspector) record(name string, k kind) {
	if in.names.set(name, k) {
		in.list("names that differ from others only in upper and lower case, which macOS and Windows cannot keep apart", name)
	}
}

// occupied refuses a name that is there already.
func (in *inspector) occupied(name string) bool {
	switch in.names.get(name) {
	case kindNone:
		return false
	case kindFolder, kindImplied:
		in.fault(name, "", "is a folder and something else as well", "pack each name once")
	default:
		in.fault(name, "", "is in the archive twice", "pack each name once")
	}
	return true
}

func (in *inspector) folder(name string, h *tar.Header) {
	switch in.names.get(name) {
	case kindNone, kindFolder, kindImplied:
		in.record(name, kindFolder)
	default:
		in.fault(name, "", "is a folder and something else as well", "pack each name once")
	}
	if h.Mode&(modeSetuid|modeSetgid) != 0 {
		in.list("folders with the setuid or setgid bit, which is dropped on machines", name)
	}
}

// The bits of a tar header's mode that the standard library does not name.
const (
	modeSetuid    = 0o4000
	modeSetgid    = 0o2000
	modeOwnerExec = 0o100
)

func (in *inspector) file(name string, h *tar.Header, body io.Reader, limits Limits) error {
	if h.Size > limits.File {
		in.fault(name, "", fmt.Sprintf("has %s, the limit for a file is %s", gigabytes(h.Size), gigabytes(limits.File)),
			"split it, or fetch it when the module starts")
	}
	// Holes of sparse files cost nothing in the archive but everything on the machine.
	if in.total += h.Size; in.total > limits.Decompressed || in.total < 0 {
		return module.Fault{
			Path: name, Problem: fmt.Sprintf("brings the files to %s, the limit is %s", gigabytes(in.total), gigabytes(limits.Decompressed)),
			Advice: "leave out what the machine can fetch itself",
		}
	}
	if h.Mode&(modeSetuid|modeSetgid) != 0 {
		in.fault(name, "", "has the setuid or setgid bit", "take it away with chmod ug-s")
	}
	if in.occupied(name) {
		return nil
	}
	executable := h.Mode&modeOwnerExec != 0
	w := &window{r: body, buf: in.windowBuf[:0]}
	n, err := identify(w)
	if err != nil {
		return err
	}
	in.windowBuf = w.buf
	head := w.buf[:min(len(w.buf), headSize)]
	switch {
	case n != nil:
		n.executable = executable
		in.record(name, kindNative)
		in.addNative(name, n)
		in.noteGlibc(name, n)
	case !executable:
		in.record(name, kindFile)
	case bytes.HasPrefix(head, []byte("#!")):
		in.record(name, kindScript)
	default:
		in.record(name, kindProgram)
	}
	in.keepShebang(name, head)
	return nil
}

// isFile reports whether a name is a file in the archive.
func (in *inspector) isFile(name string) bool {
	switch in.names.get(name) {
	case kindFile, kindProgram, kindScript, kindNative:
		return true
	}
	return false
}
