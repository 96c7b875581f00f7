//go:build !linux

package guard

import (
	"errors"
	"syscall"

	"github.com/modfarm/modfarm/module"
)

// install has nothing to install: guards run in the engine's containers, which are Linux.
func install(Config, facts, module.NetworkPolicy) error {
	return errors.New("a build's network is guarded on Linux only")
}

func blocked() []string { return nil }

func forgetConnections() error { return errors.New("a build's network is guarded on Linux only") }

func markSocket(_, _ string, _ syscall.RawConn) error { return nil }
