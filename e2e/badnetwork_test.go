package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
)

// reachScript tries everything that a build must not reach and says what it
// reached. What it may not even see comes first.
const reachScript = `#!/bin/bash
for s in /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock; do
  [ -e "$s" ] && echo "reached: $s"
done
gateway=$(awk '$2 == "00000000" {print $3}' /proc/net/route | head -1)
[ -n "$gateway" ] && gateway=$((16#${gateway:6:2})).$((16#${gateway:4:2})).$((16#${gateway:2:2})).$((16#${gateway:0:2}))
for host in 127.0.0.1 169.254.169.254 $gateway HOSTS; do
  for port in PORTS 22 53 80 2375 2376 6379; do
    [ "$host" != "" ] && timeout 2 bash -c "exec 3<>/dev/tcp/$host/$port" 2>/dev/null && echo "reached: $host:$port"
  done
done
echo "tried all of HOSTS and $gateway"
` + goodBuild + "\n"

// networkCases are steps that need what they may not reach.
func networkCases() []badCase {
	return []badCase{
		{
			name: "network-blocked", build: "exec 3<>/dev/tcp/169.254.169.254/80", want: client.JobFailed,
			says: []string{"build (exec", "169.254.169.254:80", "--build-allow 169.254.169.254"},
		},
		{
			name: "network-registries", build: "curl -sS --max-time 10 https://example.com/", want: client.JobFailed,
			files: map[string]string{"modfarm.yaml": "network:\n  build: registries\n"},
			says:  []string{"network.build is registries", "example.com", "modfarm.yaml", "--build-registry example.com"},
		},
		{
			name: "network-none", build: "curl -sS --max-time 10 https://example.com/", want: client.JobFailed,
			files: map[string]string{"modfarm.yaml": "network:\n  build: none\n"},
			says:  []string{"build (curl", "network.build is none", "modfarm.yaml"},
		},
	}
}

// networkTries builds a module whose script tries the Docker socket, the ports of
// the host, the gateway, the metadata address and the farm's Redis.
func networkTries(t *testing.T, y *yard) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	ports := append(listeningPorts(t, y.farm.PID()), listener.Addr().(*net.TCPAddr).Port)
	if len(ports) < 3 {
		t.Fatalf("the farm listens on %v: its API and its Redis were expected", ports)
	}
	script := strings.NewReplacer("HOSTS", strings.Join(ownAddresses(t), " "), "PORTS", strings.Trim(fmt.Sprint(ports), "[]")).Replace(reachScript)
	y.run(t, badCase{
		name: "network-tries", files: map[string]string{"build.sh": script}, want: client.JobPublished,
		after: func(t *testing.T, _ *yard, _ client.Build, log string) {
			t.Helper()
			if !strings.Contains(log, "tried all") || strings.Contains(log, "reached: ") {
				t.Errorf("the build reached what it must not; its log:\n%s", end(log))
			}
		},
	})
}

// ownAddresses are this machine's, without loopback.
func ownAddresses(t *testing.T) []string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			list = append(list, n.IP.String())
		}
	}
	return list
}

// listeningPorts are those that a process listens on.
func listeningPorts(t *testing.T, pid int) []int {
	t.Helper()
	own := map[string]bool{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil {
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				own[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	var ports []int
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			const listening = "0A"
			if len(fields) < 10 || fields[3] != listening || !own[fields[9]] {
				continue
			}
			var port int
			_, digits, _ := strings.Cut(fields[1], ":")
			if _, err := fmt.Sscanf(digits, "%X", &port); err == nil {
				ports = append(ports, port)
			}
		}
	}
	return ports
}
