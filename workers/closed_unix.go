//go:build unix

package workers

import "golang.org/x/sys/unix"

// mayRead asks the system whether this process may read a file, without opening it.
func mayRead(path string) error { return unix.Access(path, unix.R_OK) }
