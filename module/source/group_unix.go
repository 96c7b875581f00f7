//go:build unix

package source

import (
	"os/exec"
	"syscall"
)

// ownGroup makes cancelling end git's helpers (git-remote-https) too, which would otherwise keep the pipes open.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
