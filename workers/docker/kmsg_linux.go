package docker

import (
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

var killedTask = regexp.MustCompile(`task_memcg=([^,\s]*),task=([^,\n]*),pid=`)

// killedIn is the name of the last process of a container that the kernel ended for want of memory. The kernel only
// tells root on the engine's own machine; others get an empty name.
func killedIn(id string) string {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	name := ""
	buf := make([]byte, 8<<10) // one read gives one record
	const most = 100_000
	for range most {
		n, err := unix.Read(fd, buf)
		if err == unix.EPIPE { // the record was overwritten meanwhile
			continue
		}
		if err != nil || n == 0 {
			break
		}
		if m := killedTask.FindStringSubmatch(string(buf[:n])); m != nil && strings.Contains(m[1], id) {
			name = strings.ToValidUTF8(m[2], "?")
		}
	}
	return name
}
