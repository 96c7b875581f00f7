package images_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/images"
)

// maker returns a maker on the real engine, with the cache that everybody shares.
func maker(t *testing.T) *images.Maker {
	t.Helper()
	docker, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = docker.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := docker.Ping(ctx, client.PingOptions{}); err != nil {
		t.Skipf("no container engine: %v", err)
	}
	dir, err := images.DefaultCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	return &images.Maker{Docker: docker, CacheDir: dir, Progress: func(s string) {
		t.Logf("%5.1f s: %s", time.Since(start).Seconds(), s)
	}}
}

// ensure makes the image when it is not there, and skips where this machine cannot.
func ensure(t *testing.T, m *images.Maker, r images.Recipe) images.Image {
	t.Helper()
	img, err := m.Ensure(t.Context(), r)
	if err != nil && os.Geteuid() != 0 && strings.Contains(err.Error(), "needs root") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// inContainer runs a script as a build would, with the capabilities that apt needs.
func inContainer(t *testing.T, img images.Image, script string) string {
	t.Helper()
	args := []string{
		"run", "--rm", "--interactive", "--platform", img.Platform.Container(), "--security-opt", "no-new-privileges", "--cap-drop", "ALL",
	}
	for _, name := range []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"} {
		args = append(args, "--cap-add", name)
	}
	cmd := exec.CommandContext(t.Context(), "docker", append(args, img.Ref, "bash", "-e", "-o", "pipefail", "-s")...)
	cmd.Stdin = strings.NewReader(script)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.Bytes(), complaints.Bytes())
	}
	return strings.TrimSpace(out.String())
}

// checkBuilder does in the image what modules' scripts do.
const checkBuilder = `
cd /tmp
for tool in bash make tar jq strip git gcc g++ cmake pkg-config curl file xz unzip sudo python3 pip3 go; do
	command -v $tool >/dev/null || echo "missing $tool"
done
dpkg --audit
dpkg-query -W -f '${db:Status-Status}\n' | grep -vx installed || true
printf 'all:\n\t@echo made\n' >Makefile && make
echo '{"a": 7}' | jq .a
python3 -c 'import grpc, google.protobuf, grpc_tools'
printf 'int main(void) { return 0; }\n' >a.c && gcc -o a a.c && strip a && ./a
sudo go version | cut -d' ' -f3
sudo apt-get -q update >&2
sudo apt-get -q -y install --no-install-recommends hello >&2
hello -g installed
`

// checkNative is what takes too long under emulation for every run of the tests.
const checkNative = `
python3 -m venv v && v/bin/pip --version | cut -d' ' -f1
printf 'package main\n\nfunc main() { println("go runs") }\n' >a.go && go run a.go 2>&1
`

func TestBuilderHoldsWhatModulesExpect(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"linux/amd64", "linux/arm64"} {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			r, err := images.Builder(platform(t, p), "")
			if err != nil {
				t.Fatal(err)
			}
			script, want := checkBuilder, "made\n7\ngo1.26.8\ninstalled"
			if r.Platform == module.HostPlatform() {
				script, want = script+checkNative, want+"\npip\ngo runs"
			}
			img := ensure(t, maker(t), r)
			if diff := cmp.Diff(want, inContainer(t, img, script)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNativeBuilderCompilesForOthers(t *testing.T) {
	t.Parallel()
	host := module.HostPlatform()
	r, err := images.Builder(host, "")
	if err != nil {
		t.Skip(err)
	}
	img := ensure(t, maker(t), r)
	for compiler, want := range map[string]string{
		"aarch64-linux-gnu-gcc": "ARM aarch64", "aarch64-linux-gnu-g++": "ARM aarch64", "arm-linux-gnueabihf-gcc": "ARM, EABI5",
	} {
		if host.Arch == "arm64" && strings.HasPrefix(compiler, "aarch64") {
			continue // its own compiler
		}
		got := inContainer(t, img, "cd /tmp; echo 'int main(void) { return 0; }' >a.c; "+compiler+" -o a a.c && file a")
		if !strings.Contains(got, want) {
			t.Errorf("%s made %q, want %s", compiler, got, want)
		}
	}
}

func TestRunImageIsSmallAndRuns(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"linux/amd64", "linux/arm64"} {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			r, err := images.Run(platform(t, p), "")
			if err != nil {
				t.Fatal(err)
			}
			m := maker(t)
			img := ensure(t, m, r)
			const script = `python3 -m venv --without-pip /tmp/v
/tmp/v/bin/python -c 'import ctypes, json, sqlite3, ssl; print(len(ssl.create_default_context().get_ca_certs()) > 100)'
ls /usr/lib/*/libstdc++.so.6 | wc -l`
			if diff := cmp.Diff("True\n1", inContainer(t, img, script)); diff != "" {
				t.Error(diff)
			}
			got, err := m.Docker.ImageInspect(t.Context(), img.Ref)
			if err != nil {
				t.Fatal(err)
			}
			if got.Os != r.Platform.GOOS() || got.Architecture != r.Platform.GOARCH() {
				t.Errorf("the image says it is for %s/%s, want %s", got.Os, got.Architecture, r.Platform)
			}
			const limit = 200 << 20
			if got.Size > limit {
				t.Errorf("the image has %d bytes, more than %d", got.Size, limit)
			}
		})
	}
}

func TestEnsureIsCheapTheSecondTime(t *testing.T) {
	t.Parallel()
	r, err := images.Run(module.HostPlatform(), "")
	if err != nil {
		t.Skip(err)
	}
	m := maker(t)
	first := ensure(t, m, r)
	m.Progress = func(s string) { t.Errorf("nothing is to be done, but it says %q", s) }
	m.CacheDir = "/dev/null/no such folder" // not even that is needed
	second := ensure(t, m, r)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}
