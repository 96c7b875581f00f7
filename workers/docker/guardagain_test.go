package docker_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// TestNextBuildInTheSameNetwork has one build after the other behind one guard. Somebody outside whom the first one
// asked goes on answering: the second one, at the same address and port, hears nothing of it.
func TestNextBuildInTheSameNetwork(t *testing.T) {
	t.Parallel()
	host := hostAddresses(t)[0]
	outside, err := net.ListenPacket("udp4", net.JoinHostPort(host.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	asked := make(chan net.Addr)
	go answerAndGoOn(t.Context(), outside, asked)

	var opts *docker.Options
	r, work := newRunner(t, builderImage(t), func(o *docker.Options) {
		opts, o.Reach.Allow = o, []guard.Destination{{Prefix: netip.PrefixFrom(host, 32)}}
	})
	before := waitingGuard(t, opts.Engine, opts.Name)
	first := start(t, r, workers.Room{Folder: folder(t, work)})
	ask := fmt.Sprintf(`python3 - <<'END'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 40123))
def hear(seconds):
	s.settimeout(seconds)
	try: return s.recv(100).decode()
	except TimeoutError: return "nothing"
print("unasked:", hear(1.5))
s.sendto(b"question", (%q, %d))
print("asked:", hear(10))
END`, host, outside.LocalAddr().(*net.UDPAddr).Port)
	out, _ := run(t, first, workers.Command{Script: ask, Network: module.NetworkFull})
	if want := "unasked: nothing\nasked: answer\n"; out != want {
		t.Fatalf("the first build hears %q, want %q", out, want)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := waitingGuard(t, opts.Engine, opts.Name); now != before {
		t.Fatalf("another guard waits: the test shows nothing")
	}
	if left, err := filepath.Glob(filepath.Join(work, "pipes", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("pipes of the first build are left: %v, %v", left, err)
	}

	second := start(t, r, workers.Room{Folder: folder(t, work)})
	none := fmt.Sprintf(tryHosts+"try %s %d", host, hostListener(t))
	if out, _ := run(t, second, workers.Command{Script: none}); !strings.HasSuffix(out, " refused\n") {
		t.Errorf("the second build begins with an open network: %s", out)
	}
	if out, _ = run(t, second, workers.Command{Script: ask, Network: module.NetworkFull}); out != "unasked: nothing\nasked: answer\n" {
		t.Errorf("the second build hears %q", out)
	}
	if a, b := (<-asked).String(), (<-asked).String(); a != b {
		t.Errorf("the builds asked from %s and from %s: the test shows nothing", a, b)
	}
}

// answerAndGoOn answers each question, says who asked, and sends that address more until the next one comes.
func answerAndGoOn(ctx context.Context, conn net.PacketConn, asked chan<- net.Addr) {
	questions := make(chan net.Addr)
	go func() {
		buffer := make([]byte, 100)
		for {
			_, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			questions <- from
		}
	}()
	var all []net.Addr
	var said chan<- net.Addr
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var next net.Addr
		if said = nil; len(all) > 0 {
			said, next = asked, all[0]
		}
		select {
		case <-ctx.Done():
			return
		case from := <-questions:
			all = append(all, from)
			_, _ = conn.WriteTo([]byte("answer"), from) // a build that does not hear it says so
		case <-tick.C:
			for _, to := range all {
				_, _ = conn.WriteTo([]byte("more"), to)
			}
		case said <- next:
			all = append(all[1:], next)
		}
	}
}

// TestGuardsThatWait bounds how many wait, and takes none that its build has cost its life.
func TestGuardsThatWait(t *testing.T) {
	t.Parallel()
	var opts *docker.Options
	r, work := newRunner(t, func(o *docker.Options) { opts, o.Slots = o, 2 })
	waiting := func() (ids []string) {
		list, err := opts.Engine.ContainerList(t.Context(), client.ContainerListOptions{
			Filters: make(client.Filters).Add("label", "dev.modfarm.worker="+opts.Name).Add("name", "modfarm-spare-"),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Items {
			ids = append(ids, c.ID)
		}
		return ids
	}
	var all []workers.Container
	for i := range 3 {
		dir := filepath.Join(work, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		all = append(all, start(t, r, workers.Room{Folder: dir}))
	}
	for _, c := range all {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	two := waiting()
	if len(two) != 2 {
		t.Fatalf("%d guards wait, want one for each of two slots", len(two))
	}
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	for _, id := range job(t, "job-"+strings.ToLower(t.Name())) {
		if two[0] == id || two[1] == id {
			if _, err := opts.Engine.ContainerKill(t.Context(), id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left := waiting(); len(left) != 1 {
		t.Errorf("%d guards wait after one of two was killed under its build", len(left))
	}
	c = start(t, r, workers.Room{Folder: folder(t, work)})
	if out, exit := run(t, c, workers.Command{Script: "echo built"}); exit.Code != 0 || out != "built\n" {
		t.Errorf("exit %+v, output %q", exit, out)
	}
}
