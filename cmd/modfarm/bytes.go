package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module/archive"
)

// byteFlags bound the archives that a farm takes, and how long it keeps what nobody needs.
type byteFlags struct {
	archive, unpacked, file string
	grace, uploadGrace      time.Duration
}

func (f *byteFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.archive, "archive-limit", "50GB", "largest archive that is taken")
	flags.StringVar(&f.unpacked, "unpacked-limit", "250GB", "most that an archive may unpack to")
	flags.StringVar(&f.file, "file-limit", "25GB", "largest file in an archive")
	flags.DurationVar(&f.grace, "blob-grace", 24*time.Hour, "how long bytes are kept that no published version names")
	flags.DurationVar(&f.uploadGrace, "upload-grace", 24*time.Hour, "how long an interrupted upload can be resumed")
}

// leastGrace leaves time between the end of an upload and its publishing.
const leastGrace = time.Minute

// set checks the flags, all mistakes at once, and puts them on a registry.
func (f *byteFlags) set(r *registry.Registry) error {
	var faults []error
	size := func(flag, value string, most int64, into *int64) {
		n, err := units.FromHumanSize(value)
		switch {
		case err != nil || n <= 0:
			faults = append(faults, fmt.Errorf("--%s %q: a size such as 500MB or 2GB is wanted", flag, value))
		case n > most:
			faults = append(faults, fmt.Errorf("--%s %q: at most %s, which is the limit of the wire", flag, value, units.HumanSize(float64(most))))
		}
		*into = n
	}
	size("archive-limit", f.archive, archive.MaxCompressed, &r.Limits.Compressed)
	size("unpacked-limit", f.unpacked, archive.MaxDecompressed, &r.Limits.Decompressed)
	size("file-limit", f.file, archive.MaxFile, &r.Limits.File)
	grace := func(flag string, d time.Duration, into *time.Duration) {
		if d < leastGrace {
			faults = append(faults, fmt.Errorf("--%s %s: at least %s", flag, d, leastGrace))
		}
		*into = d
	}
	grace("blob-grace", f.grace, &r.Grace)
	grace("upload-grace", f.uploadGrace, &r.UploadGrace)
	if err := errors.Join(faults...); err != nil {
		return usageError{err}
	}
	return nil
}
