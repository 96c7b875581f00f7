package images

import (
	"os/exec"
	"syscall"
	"time"
)

// killGroup makes the end of a command's context kill everything the command started,
// and waits a little for that at most.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
}
