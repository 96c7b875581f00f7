package docker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
)

// helperMeter counts in a container of its own, which sees the folders of the build and nothing else: for workers
// that are not root, or run in a container themselves. The build cannot reach it.
type helperMeter struct {
	r       *Runner
	id      string
	conn    client.ContainerAttachResult
	answers *bufio.Reader
	dirs    []string // as the container sees them
	own     string   // the build's container, when the engine has to be asked for the size of its layer
	before  int64
	counted bool
}

// askTimeout bounds one answer of a helper.
const askTimeout = 10 * time.Minute

// helperScript answers `rooms` and `count`, each with lines and the word end. Names in the folders are never said.
const helperScript = `while read -r what; do
	case $what in
	rooms) stat -f -c '%i %S %a %b %d %c' "$@" ;;
	count) for d; do du -s --block-size=1 -- "$d"; du -s --inodes -- "$d"; done ;;
	esac
	echo end
done 2>/dev/null`

// helperPaths are where a helper sees the folders of a build.
const (
	helperWorkspace = "/build/workspace"
	helperLayer     = "/build/layer"
	helperCache     = "/build/cache"
)

// newHelperMeter starts a helper from the build's own image. A layer of "" leaves the layer to the engine.
func (r *Runner) newHelperMeter(ctx context.Context, ref string, p module.Platform, own string, labels map[string]string, mounts []mount.Mount) (*helperMeter, error) {
	m := &helperMeter{r: r, own: own}
	var pids int64 = 16
	for i := range mounts {
		mounts[i].ReadOnly = true
		m.dirs = append(m.dirs, mounts[i].Target)
		if mounts[i].Target == helperLayer {
			m.own = ""
		}
	}
	made, err := r.makeContainer(ctx, client.ContainerCreateOptions{
		Config: &container.Config{
			Image: ref, Entrypoint: append([]string{"bash", "-c", helperScript, "count"}, m.dirs...), User: "0:0",
			OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, Labels: labels,
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", ReadonlyRootfs: true, CapDrop: []string{"ALL"}, CapAdd: []string{"DAC_READ_SEARCH"},
			SecurityOpt: []string{"no-new-privileges"}, Mounts: mounts, LogConfig: container.LogConfig{Type: "none"},
			Resources: container.Resources{Memory: 512 << 20, MemorySwap: 512 << 20, PidsLimit: &pids},
		},
		Platform: ociPlatform(p),
	})
	if err != nil {
		return nil, err
	}
	m.id = made.ID
	m.conn, err = r.engine.ContainerAttach(ctx, m.id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		return m, err
	}
	if _, err := r.engine.ContainerStart(ctx, m.id, client.ContainerStartOptions{}); err != nil {
		return m, err
	}
	out, in := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(in, io.Discard, m.conn.Reader)
		in.CloseWithError(fmt.Errorf("the helper ended: %w", errOr(err, io.ErrUnexpectedEOF)))
	}()
	m.answers = bufio.NewReader(out)
	return m, nil
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// ask returns the lines of one answer.
func (m *helperMeter) ask(ctx context.Context, what string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, m.conn.Close)() // wakes the reading below
	if _, err := fmt.Fprintln(m.conn.Conn, what); err != nil {
		return nil, fmt.Errorf("ask the helper: %w", err)
	}
	var lines []string
	for {
		line, err := m.answers.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("hear the helper: %w", err)
		}
		if line == "end\n" {
			return lines, nil
		}
		lines = append(lines, strings.TrimSpace(line))
	}
}

func (m *helperMeter) rooms(ctx context.Context) ([]room, error) {
	lines, err := m.ask(ctx, "rooms")
	if err != nil {
		return nil, err
	}
	var list []room
	seen := map[string]bool{}
	for _, line := range lines {
		var id string
		var block, free, total, files, allFiles int64
		if _, err := fmt.Sscan(line, &id, &block, &free, &total, &files, &allFiles); err != nil {
			return nil, fmt.Errorf("the helper says %q: %w", line, err)
		}
		if !seen[id] {
			seen[id] = true
			list = append(list, room{free: free * block, total: total * block, files: files, allFiles: allFiles})
		}
	}
	return list, nil
}

func (m *helperMeter) count(ctx context.Context) (usage, error) {
	var u usage
	lines, err := m.ask(ctx, "count")
	if err != nil {
		return u, err
	}
	if len(lines) != 2*len(m.dirs) {
		return u, fmt.Errorf("the helper counts %d of %d folders", len(lines)/2, len(m.dirs))
	}
	for i, dir := range m.dirs {
		var bytes, files int64
		if _, err := fmt.Sscan(lines[2*i]+" "+lines[2*i+1], &bytes, new(string), &files); err != nil {
			return u, fmt.Errorf("the helper says %q: %w", lines[2*i:2*i+2], err)
		}
		switch dir {
		case helperWorkspace:
			u.workspace = bytes
		case helperLayer:
			u.layer = bytes
		case helperCache:
			if !m.counted {
				m.before = bytes
			}
			u.cache, u.wholeCache = max(0, bytes-m.before), bytes
			continue // its files are of earlier builds, mostly
		}
		u.files += files
	}
	m.counted = true
	if m.own != "" {
		u.layer, err = m.layer(ctx)
	}
	return u, err
}

// layer asks the engine, which takes its time.
func (m *helperMeter) layer(ctx context.Context) (int64, error) {
	got, err := m.r.engine.ContainerInspect(ctx, m.own, client.ContainerInspectOptions{Size: true})
	if err != nil {
		return 0, fmt.Errorf("ask for the size of the container: %w", err)
	}
	if got.Container.SizeRw == nil {
		return 0, nil
	}
	return *got.Container.SizeRw, nil
}

func (m *helperMeter) close(ctx context.Context) error {
	if m.conn.Conn != nil {
		m.conn.Close()
	}
	return m.r.remove(ctx, m.id)
}
