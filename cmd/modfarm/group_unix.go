//go:build unix

package main

import (
	"os/exec"
	"syscall"
	"time"
)

// ownGroup puts a process and all that it will start into a group of their own.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// endGroup asks the group to end, kills what is left of it after grace, and returns when its first
// process is gone. The group outlives that process, so the rest is killed in any case.
func endGroup(cmd *exec.Cmd, ended <-chan struct{}, grace time.Duration) {
	group := -cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM) // it may be gone
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // all of it may be gone
	<-ended
}
