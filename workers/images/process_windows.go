package images

import (
	"errors"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/windows"
)

// killGroup makes the end of a command's context kill the command, and waits a little for that at most.
func killGroup(cmd *exec.Cmd) { cmd.WaitDelay = 10 * time.Second }

// tryLock takes a file for this process, or returns errLocked while another has it.
func tryLock(file *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}

// makeDevice cannot be done here: images are put together on Linux.
func makeDevice(string, uint32, uint32) error { return errors.ErrUnsupported }
