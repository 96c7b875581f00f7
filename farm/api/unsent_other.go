//go:build !linux

package api

import (
	"context"
	"net"
)

// boundUnsent is for kernels that can; see its twin for Linux.
func boundUnsent(ctx context.Context, _ net.Conn) context.Context { return ctx }
