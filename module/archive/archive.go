// Package archive owns the bytes of a module: it inspects an archive in one streaming
// pass before anybody publishes or installs it, packs a folder so that the same input
// gives the same bytes, and unpacks safely. It never keeps an archive, never runs
// what is inside, and never needs more than a bounded amount of memory.
package archive

import (
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// The limits of the wire, in decimal bytes.
const (
	// MaxCompressed is the largest archive: 50 GB.
	MaxCompressed = 50_000_000_000
	// MaxDecompressed is the most an archive may unpack to: 250 GB.
	MaxDecompressed = 250_000_000_000
	// MaxFile is the largest single file in it: 25 GB.
	MaxFile = 25_000_000_000
	// MaxEntries is the largest number of files, folders and links in it. It bounds
	// the memory of an inspection; the largest real modules have a tenth of it.
	MaxEntries = 1_000_000
)

// Limits bound an archive, in bytes. Zero fields mean the constants above.
type Limits struct {
	// Compressed bounds the archive itself.
	Compressed int64
	// Decompressed bounds the uncompressed tar and, separately, the files in it.
	Decompressed int64
	// File bounds each file in it.
	File int64
}

// withDefaults fills in the zero fields.
func (l Limits) withDefaults() Limits {
	if l.Compressed == 0 {
		l.Compressed = MaxCompressed
	}
	if l.Decompressed == 0 {
		l.Decompressed = MaxDecompressed
	}
	if l.File == 0 {
		l.File = MaxFile
	}
	return l
}

// Expect says what an archive is supposed to be.
type Expect struct {
	// Entrypoint is the program in the archive, as in meta.json. When it is empty
	// nothing about an entrypoint is checked.
	Entrypoint string
	// Platform is where it shall run; wildcards are possible. When it is zero no
	// architecture is checked.
	Platform module.Platform
	// FirstRun is the first_run of the metadata, when there is one.
	FirstRun string
	// Glibc is the version of glibc that the target has, as "2.36"; when it is empty the need for one is only reported.
	Glibc string
	// Limits bound it.
	Limits Limits
	// LenientEntrypoint turns a missing or not executable entrypoint into a warning.
	// One that was built for another platform is refused all the same.
	LenientEntrypoint bool
}

// Report is what an inspection found out about an acceptable archive.
type Report struct {
	// SHA256 is the digest of the archive as it came, in lower-case hex.
	SHA256 string
	// TarSHA256 is the digest of the uncompressed tar stream, in lower-case hex. It
	// does not change when the archive is compressed again.
	TarSHA256 string
	// CRC32C is the Castagnoli checksum of the archive as it came.
	CRC32C uint32
	// Size and TarSize are the lengths of the two in bytes.
	Size, TarSize int64
	// Entries counts files, folders and links.
	Entries int
	// HasManifest tells that there is a meta.json at the top.
	HasManifest bool
	// Entrypoint is what the entrypoint turned out to be.
	Entrypoint Entrypoint
	// Glibc is the newest glibc symbol version that its programs and libraries for the platform need; nil when none
	// is needed, or none could be read.
	Glibc *module.GlibcNeed
	// Warnings are worth telling the author, a sentence each. They refuse nothing.
	Warnings []string
}

// Entrypoint is what the entrypoint of an archive turned out to be.
type Entrypoint struct {
	// Path is the archive's name for it, after links; empty when it is missing.
	Path string
	// Kind is "elf", "macho", "pe", "script" or "other"; empty when it is missing.
	Kind string
	// Built is what a native program was built for, as "linux/arm64".
	Built string
	// Executable tells whether its owner may execute it.
	Executable bool
}

// Refused is the error for an archive that must not be published. It is an
// module.ErrInvalid.
type Refused struct {
	// Faults lists what is wrong; the Path of each is a name in the archive.
	Faults module.Faults
	// WrongPlatform tells that something was built for another platform, which a
	// build under another strategy may cure.
	WrongPlatform bool
}

// Error prints every fault.
func (r *Refused) Error() string {
	if len(r.Faults) == 1 {
		return "the archive is refused: " + r.Faults[0].String()
	}
	return "the archive is refused:\n  " + strings.ReplaceAll(r.Faults.Error(), "\n", "\n  ")
}

// Is reports that a refused archive is invalid input.
func (r *Refused) Is(target error) bool { return target == module.ErrInvalid }

// Unwrap gives access to the faults.
func (r *Refused) Unwrap() error { return r.Faults }

// TooLarge refuses an archive of more bytes than limit.
func TooLarge(size, limit int64) *Refused {
	return &Refused{Faults: module.Faults{{
		Problem: fmt.Sprintf("has %s, the limit is %s", gigabytes(size), gigabytes(limit)),
		Advice:  "leave out what the machine can fetch itself",
	}}}
}
