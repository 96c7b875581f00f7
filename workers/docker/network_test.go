package docker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard"
	"github.com/modfarm/modfarm/workers/images"
)

// tryHosts is a script that says of each address:port whether a connection comes about, and whether that took long.
const tryHosts = `try() {
	began=$EPOCHREALTIME
	if (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; then said=open; else said=refused; fi
	ms=$(( (${EPOCHREALTIME/./} - ${began/./}) / 1000 ))
	[ $ms -gt 3000 ] && said="$said slowly"
	echo "$1 $2 $said"
}
`

// builderImage is the real builder image, for tests that need Python; it skips where there is none.
func builderImage(t *testing.T) func(*docker.Options) {
	t.Helper()
	recipe, err := images.Builder(module.HostPlatform(), "")
	if err != nil {
		t.Skipf("no builder image for this machine: %v", err)
	}
	if _, err := engine(t).ImageInspect(t.Context(), recipe.Ref()); err != nil {
		t.Skipf("no builder image %s: make it with `modfarm images make`", recipe.Ref())
	}
	return func(o *docker.Options) { o.Images, o.Limits.Memory = oneImage(recipe.Ref()), 1<<30 }
}

// hostListener listens on every address of this machine and counts what arrives.
func hostListener(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// hostAddresses are this machine's addresses other than loopback, IPv4 first.
func hostAddresses(t *testing.T) (list []netip.Addr) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			list = append(list, p.Addr())
		}
	}
	if len(list) == 0 {
		t.Skip("this machine has no network")
	}
	return list
}

func TestBuildsDoNotReachTheMachine(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	port := hostListener(t)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	script := tryHosts + `while read -r _ dest gw _; do [ "$dest" = 00000000 ] && printf -v gateway '%d.%d.%d.%d' 0x${gw:6:2} 0x${gw:4:2} 0x${gw:2:2} 0x${gw:0:2}; done < /proc/net/route` + "\n"
	script += fmt.Sprintf("try ${gateway:-none} %d\ntry 169.254.169.254 80\ntry 10.0.0.1 6379\ntry 100.100.100.200 80\ntry 192.168.1.1 80\ntry 127.0.0.2 %d\n", port, port)
	for _, a := range hostAddresses(t) {
		script += fmt.Sprintf("try %s %d\ntry ::ffff:%s %d\n", a, port, a, port)
	}
	for _, a := range []string{"fd00::1", "fe80::1", "::1"} {
		script += fmt.Sprintf("try %s %d\n", a, port)
	}
	for _, policy := range []module.NetworkPolicy{module.NetworkFull, module.NetworkRegistries, module.NetworkNone} {
		out, _ := run(t, c, workers.Command{Script: script, Network: policy})
		if n := strings.Count(out, " refused\n"); n != strings.Count(script, "\ntry ") || strings.Contains(out, "none ") {
			t.Errorf("%s: %d refusals in\n%s", policy, n, out)
		}
	}
	_, exit := run(t, c, workers.Command{Script: tryHosts + "try 169.254.169.254 80; try 10.0.0.1 6379; false", Network: module.NetworkFull})
	if got := strings.Join(exit.Blocked, " "); got != "10.0.0.1:6379 169.254.169.254:80" {
		t.Errorf("a failed step was kept from %q", got)
	}
}

// The counterpart of the test above: what it finds closed is open when the owner says so, and the next step's policy
// ends connections that are left over.
func TestAllowedAddressesAndTightening(t *testing.T) {
	t.Parallel()
	host := hostAddresses(t)[0]
	port := hostListener(t)
	r, work := newRunner(t, func(o *docker.Options) {
		o.Reach.Allow = []guard.Destination{{Prefix: netip.PrefixFrom(host, 32)}}
	})
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	out, _ := run(t, c, workers.Command{Script: fmt.Sprintf(tryHosts+"try %s %d", host, port), Network: module.NetworkFull})
	if !strings.Contains(out, " open") {
		t.Fatalf("the allowed address is closed: %s", out)
	}
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	beside(t, fmt.Sprintf("exec 3<>/dev/tcp/%s/%d; while echo tick >&3; do sleep 0.05; done", host, l.Addr().(*net.TCPAddr).Port))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewReader(conn)
	if line, err := lines.ReadString('\n'); line != "tick\n" {
		t.Fatalf("the connection of the first step says %q, %v", line, err)
	}
	run(t, c, workers.Command{Script: "true", Network: module.NetworkNone})
	_, _ = io.CopyN(io.Discard, lines, int64(lines.Buffered()))
	for silent := false; !silent; { // what was on its way arrives, then nothing
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := io.Copy(io.Discard, conn)
		silent = err != nil && n == 0
		if n > 200 {
			t.Fatalf("%d bytes came through after the network was taken away", n)
		}
	}
}

// beside runs a script in the test's one container that goes on while commands come and go, which end what they left.
func beside(t *testing.T, script string) {
	t.Helper()
	id := containerOf(t, engine(t), "job-"+strings.ToLower(t.Name()))
	if out, err := exec.Command("docker", "exec", "-d", id, "bash", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestBuildsDoNotReachEachOther(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t, builderImage(t))
	dir := folder(t, work)
	one := start(t, r, workers.Room{Folder: dir})
	beside(t, "exec python3 -m http.server --bind 0.0.0.0 8123")
	two := start(t, r, workers.Room{Folder: dir})
	serve := `for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8123) 2>/dev/null && break; sleep 0.1; done
		python3 -c 'import socket; print(socket.gethostbyname(socket.gethostname()))'`
	out, _ := run(t, one, workers.Command{Script: tryHosts + serve + "; try 127.0.0.1 8123", Network: module.NetworkFull})
	address, rest, _ := strings.Cut(out, "\n")
	if !strings.Contains(rest, " open") {
		t.Fatalf("the server does not run: %s", out)
	}
	for _, policy := range []module.NetworkPolicy{module.NetworkFull, module.NetworkRegistries, module.NetworkNone} {
		if out, _ := run(t, two, workers.Command{Script: tryHosts + "try " + address + " 8123", Network: policy}); !strings.HasSuffix(out, " refused\n") {
			t.Errorf("%s: another build at %s: %s", policy, address, out)
		}
	}
}

func TestNetworkNone(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	const script = tryHosts + `try 192.0.2.77 80; try 198.51.100.7 443; try 127.0.0.11 53; began=$SECONDS; getent hosts proxy.golang.org && echo a name; [ $((SECONDS - began)) -lt 5 ] || echo slow`
	want := "192.0.2.77 80 refused\n198.51.100.7 443 refused\n127.0.0.11 53 refused\n"
	if out, _ := run(t, c, workers.Command{Script: script, Network: module.NetworkNone}); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

// tricks tries to widen what a build reaches; each line that ends in "worked" is a hole.
const tricks = `
import ctypes, errno, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def trick(name, f):
    try:
        f()
        print(name, "worked")
    except OSError as e:
        print(name, errno.errorcode.get(e.errno, e.errno))
def call(f, *args):
    if f(*args) != 0:
        raise OSError(ctypes.get_errno(), "")
def connect(addr, family=socket.AF_INET):
    s = socket.socket(family); s.settimeout(3); s.connect((addr, PORT))
def mark():
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, 36, 0x6d66)
def netlink(proto, message):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, proto); s.bind((0, 0)); s.send(message)
    answer = s.recv(4096); code = struct.unpack("i", answer[16:20])[0]
    if code: raise OSError(-code, "")
def nft():  # delete table inet modfarm, in a batch
    head = lambda kind, flags, body: struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
    name = b"modfarm\0"; attr = struct.pack("=HH", 4 + len(name), 1) + name
    netlink(12, head(16, 1, struct.pack(">BBH", 0, 0, 10)) + head((10 << 8) | 2, 5, struct.pack(">BBH", 1, 0, 0) + attr) + head(17, 1, struct.pack(">BBH", 0, 0, 10)))
def route():  # a route of its own
    body = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 3, 0, 1, 0) + struct.pack("=HH", 8, 1) + socket.inet_aton("10.9.9.9") + struct.pack("=HHI", 8, 4, 1)
    netlink(0, struct.pack("=IHHII", 16 + len(body), 24, 0x405, 1, 0) + body)
def user(uid):
    if os.fork() == 0:
        os.setgid(uid); os.setuid(uid)
        try: connect(HOST)
        except OSError: os._exit(0)
        os._exit(1)
    if os.wait()[1] == 0: raise OSError(errno.ECONNREFUSED, "")
def write(path):
    with open(path, "w") as f: f.write("1")
trick("connect", lambda: connect(HOST))
trick("mapped", lambda: connect("::ffff:" + HOST, socket.AF_INET6))
trick("nat64", lambda: connect("64:ff9b::" + HOST, socket.AF_INET6))
def source_route():  # by way of another address
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x83\x07\x04" + socket.inet_aton("198.51.100.9") + b"\0")
    s.sendto(b"x", (HOST, PORT)); s.settimeout(1)
trick("source route", source_route)
trick("mark", mark)
trick("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255))
trick("raw6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, 255))
trick("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
trick("nft", nft)
trick("route", route)
for name, flags in [("user namespace", 0x10000000), ("network namespace", 0x40000000), ("both", 0x50000000)]:
    trick(name, lambda: call(libc.unshare, flags))
trick("setns", lambda: call(libc.setns, os.open("/proc/1/ns/net", os.O_RDONLY), 0))
trick("mount", lambda: call(libc.mount, b"none", b"/mnt", b"sysfs", 0, None))
for uid in (1000, 65534, 12345):
    trick("user %d" % uid, lambda: user(uid))
for path in ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/all/route_localnet", "/proc/sysrq-trigger"):
    trick(path, lambda: write(path))
trick("udp", lambda: (s := socket.socket(socket.AF_INET, socket.SOCK_DGRAM), s.connect((HOST, PORT)), s.send(b"x"), s.settimeout(1), s.recv(1)))
`

func TestNobodyEscapes(t *testing.T) {
	t.Parallel()
	port := hostListener(t)
	r, work := newRunner(t, builderImage(t))
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	host := hostAddresses(t)[0].String()
	script := fmt.Sprintf("cat > /tmp/tricks.py <<'EOF'\nPORT, HOST = %d, %q\n%s\nEOF\npython3 /tmp/tricks.py\n", port, host, tricks) +
		`setpriv --ambient-caps +net_admin --inh-caps +net_admin true 2>/dev/null && echo setpriv worked
		sudo -n true 2>/dev/null; ls /proc/*/exe -l 2>/dev/null | grep -q /modfarm && echo guard seen worked; echo end`
	for _, policy := range []module.NetworkPolicy{module.NetworkFull, module.NetworkRegistries, module.NetworkNone} {
		out, _ := run(t, c, workers.Command{Script: script, Network: policy})
		if strings.Contains(out, "worked") || strings.Contains(out, "Traceback") || !strings.HasSuffix(out, "end\n") || !strings.Contains(out, "\nnft EPERM\n") || !strings.Contains(out, "\nroute EPERM\n") {
			t.Errorf("%s:\n%s", policy, out)
		}
	}
}
