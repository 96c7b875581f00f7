//go:build !linux

package binfmt

import "errors"

// mount has nothing to mount: the engine runs in a machine of its own here.
func mount() error { return errors.New("emulators can only be registered on Linux") }
