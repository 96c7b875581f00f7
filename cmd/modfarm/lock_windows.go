package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// isOurs reports whether a file belongs to the user of this process: folders for temporary files do.
func isOurs(os.FileInfo) bool { return true }

// tryLock takes a file for this process, or returns errLocked while another has it. The byte that is locked is
// far behind what is written: there a lock keeps others from reading.
func tryLock(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}
