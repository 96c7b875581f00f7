package images

import (
	"errors"
	"os"
	"path/filepath"
)

// slowPrograms are what maintainer scripts run that takes minutes under emulation and
// whose results are the same for every architecture, so that this machine can make them
// at its own speed afterwards. Each glob has the text that stands in meanwhile.
func slowPrograms() map[string]string {
	return map[string]string{
		"usr/bin/py3compile":              "#!/bin/sh\nexit 0\n",
		"usr/lib/python3.*/py_compile.py": "",
		"usr/sbin/update-ca-certificates": "#!/bin/sh\nexit 0\n",
	}
}

// stubs are the programs that stand aside, with their suffix cut off.
type stubs []string

// aside is the suffix of a program that stands aside.
const aside = ".modfarm-aside"

// stubPrograms replaces the slow programs for the time of the maintainer scripts.
func (b *bootstrapping) stubPrograms() (stubs, error) {
	var done stubs
	for pattern, text := range slowPrograms() {
		files, err := filepath.Glob(filepath.Join(b.root, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if err := os.Rename(file, file+aside); err != nil {
				return nil, err
			}
			if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
				return nil, err
			}
			done = append(done, file)
		}
	}
	return done, nil
}

// restore puts the real programs back.
func (s stubs) restore() error {
	var errs []error
	for _, file := range s {
		errs = append(errs, os.Rename(file+aside, file))
	}
	return errors.Join(errs...)
}
