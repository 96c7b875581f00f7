//go:build !unix

package main

import "errors"

// freeDisk is not told here: no farm and no worker runs on this system.
func freeDisk(string) (int64, error) { return 0, errors.New("not asked on this system") }
