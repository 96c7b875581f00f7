package docker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
)

// counts are what the kernel counted in a container so far.
type counts struct {
	OOMKills int64 `json:"oom_kills"` // processes ended for want of memory
	Refused  int64 `json:"refused"`   // processes not started for the limit of processes
}

// countTimeout bounds a look at the counters: a container that is full of processes starts none for it.
const countTimeout = 10 * time.Second

// readCounts prints the kernel's counters, of both versions of control groups. It starts no process.
const readCounts = `for f in /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events \
	/sys/fs/cgroup/pids/pids.events /sys/fs/cgroup/pids.events; do
	[ -r "$f" ] && while read -r name n; do case $f.$name in *memory*.oom_kill|*pids.events.max) echo "${f##*/} $n";; esac; done <"$f"
done; true`

// diagnose adds to the exit of a failed command which limits it met. Engines tell it of a running container late or
// not at all, so the kernel's counters are read: on this machine, where that is the engine's, and otherwise in the
// container, which takes longer and is only done for a command that failed.
func (c *box) diagnose(ctx context.Context, exit *workers.Exit, pid int) {
	now, ok := countsOf(pid, c.id)
	if !ok && exit.Code != 0 {
		now, ok = c.counts(ctx), true
	}
	if !ok {
		return
	}
	before := c.before
	c.before = now
	if exit.Code == 0 {
		return
	}
	exit.ForksRefused = now.Refused - before.Refused
	exit.OutOfMemory = exit.OutOfMemory || now.OOMKills > before.OOMKills
	if exit.OutOfMemory {
		exit.Killed = killedIn(c.id)
	}
}

// counts asks for the counters, and returns those of before when there is no answer.
func (c *box) counts(ctx context.Context) counts {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	made, err := c.r.engine.ExecCreate(ctx, c.id, client.ExecCreateOptions{
		AttachStdout: true, User: "0:0", Cmd: []string{"bash", "-c", readCounts},
	})
	if err != nil {
		return c.before
	}
	const enough = 4 << 10 // the build may have put another bash there
	var out firstBytes
	out.most = enough
	conn, err := c.r.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return c.before
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, conn.Close)()
	if _, err := stdcopy.StdCopy(&out, &out, conn.Reader); err != nil {
		return c.before
	}
	return parseCounts(out.String(), c.before)
}

// countsOf reads the counters of a container by the first of its processes, when this process sees that one.
func countsOf(pid int, container string) (counts, bool) {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil || pid <= 0 {
		return counts{}, false
	}
	var now counts
	found := 0
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		if len(parts) != 3 || !strings.Contains(parts[2], container) || !filepath.IsLocal(strings.TrimPrefix(parts[2], "/")) {
			continue // perhaps another machine's process of the same number
		}
		dir := filepath.Join("/sys/fs/cgroup", parts[1], parts[2])
		for file, name := range map[string]string{"memory.oom_control": "oom_kill", "memory.events": "oom_kill", "pids.events": "max"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				continue // of the other version, or another controller's
			}
			for entry := range strings.Lines(string(text)) {
				if n, ok := strings.CutPrefix(entry, name+" "); ok {
					now = parseCounts(file+" "+n, now)
					found++
				}
			}
		}
	}
	return now, found == 2
}

func parseCounts(text string, before counts) counts {
	now := before
	for line := range strings.Lines(text) {
		var file string
		var n int64
		if _, err := fmt.Sscan(line, &file, &n); err != nil {
			continue
		}
		if strings.HasPrefix(file, "memory") {
			now.OOMKills = max(now.OOMKills, n)
		} else {
			now.Refused = max(now.Refused, n)
		}
	}
	return now
}

// firstBytes keeps the beginning of an output and drops the rest.
type firstBytes struct {
	buf  bytes.Buffer
	most int
}

func (b *firstBytes) String() string { return b.buf.String() }

// Write always takes everything.
func (b *firstBytes) Write(p []byte) (int, error) {
	b.buf.Write(p[:min(len(p), b.most-b.buf.Len())])
	return len(p), nil
}
