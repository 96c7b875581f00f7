//go:build !unix

package main

import (
	"os/exec"
	"time"
)

// ownGroup does nothing here.
func ownGroup(*exec.Cmd) {}

// endGroup kills the process: this system has no groups to ask.
func endGroup(cmd *exec.Cmd, ended <-chan struct{}, _ time.Duration) {
	_ = cmd.Process.Kill() // it may be gone
	<-ended
}
