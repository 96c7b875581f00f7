//go:build unix

package images

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killGroup makes the end of a command's context kill everything the command started,
// and waits a little for that at most.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
}

// tryLock takes a file for this process, or returns errLocked while another has it.
func tryLock(file *os.File) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return errLocked
	}
	return err
}

// makeDevice makes a character device that everybody may use.
func makeDevice(name string, major, minor uint32) error {
	return unix.Mknod(name, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))) //nolint:gosec,unconvert,nolintlint // its type differs by system
}
