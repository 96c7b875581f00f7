//go:build !linux

package storetest

import (
	"os"
	"os/exec"
)

// quit ends a PostgreSQL server.
var quit = os.Interrupt //nolint:gochecknoglobals // a signal

func handOver(string) error { return nil }

func asServerUser(*exec.Cmd) {}
