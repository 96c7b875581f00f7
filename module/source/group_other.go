//go:build !unix

package source

import "os/exec"

// ownGroup does nothing where there are no process groups: killing git itself has to do.
func ownGroup(*exec.Cmd) {}
