package api

import (
	"context"
	"net"

	"golang.org/x/sys/unix"
)

// mostUnsent is how many bytes of a connection may wait in the kernel before they are sent. What is on its way is not
// counted, so that a distant machine gets all that its line carries; on a near one the bytes of a file are sent while
// the processor's caches still hold them (download-1 in docs/bench.md).
const mostUnsent = 256 << 10

// boundUnsent sets that for a new connection. A kernel that cannot do it loses nothing but speed.
func boundUnsent(ctx context.Context, c net.Conn) context.Context {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return ctx
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, mostUnsent) //nolint:gosec // a descriptor
		})
	}
	return ctx
}
