package docker_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

// registry is a stand-in for a registry on this machine, named by the owner's variables.
func registry(t *testing.T) *httptest.Server {
	t.Helper()
	host := hostAddresses(t)[0]
	l, err := net.Listen("tcp", net.JoinHostPort(host.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "the registry serves", r.URL.Path) }))
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func TestNetworkRegistries(t *testing.T) {
	t.Parallel()
	s := registry(t)
	r, work := newRunner(t, builderImage(t), func(o *docker.Options) { o.Env.Vars = map[string]string{"GOPROXY": s.URL + "|direct"} })
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	script := fmt.Sprintf(`curl -sS -m 20 %[1]s/plain; curl -sS -m 20 --proxytunnel %[1]s/tunnel
		curl -sS -m 20 http://other.example/ ; curl -sS -m 20 https://evil.example/; curl -sS -m 20 --noproxy '*' %[1]s/direct
		python3 -c 'import urllib.request; urllib.request.urlopen("https://pythons.example/")' 2>&1 | tail -1
		cat /etc/apt/apt.conf.d/99modfarm; echo proxy $https_proxy; getent hosts proxy.golang.org && echo a name`, s.URL)
	out, _ := run(t, c, workers.Command{Script: script, Network: module.NetworkRegistries})
	for _, want := range []string{
		"the registry serves /plain\n", "the registry serves /tunnel\n",
		"other.example is not one of the registries", "modfarm: evil.example:443 was refused", "--build-registry evil.example\n",
		"modfarm: other.example:80 was refused", "pythons.example is not one of the registries", "Acquire::http::Proxy \"http://127.0.0.1:", "proxy http://127.0.0.1:",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "serves /direct") || strings.Contains(out, "a name") {
		t.Errorf("there is a way around the proxy:\n%s", out)
	}
	out, _ = run(t, c, workers.Command{Script: `echo "[$https_proxy]"; cat /etc/apt/apt.conf.d/99modfarm; curl -sS -m 20 ` + s.URL + `/direct`, Network: module.NetworkFull})
	if !strings.HasPrefix(out, "[]\n") || !strings.HasSuffix(out, "\nthe registry serves /direct\n") || strings.Contains(out, "Proxy") {
		t.Errorf("the next step still has the proxy: %q", out)
	}
}

// An owner's proxy, here on this machine, is what the guard's proxy goes through.
func TestNetworkRegistriesBehindAProxy(t *testing.T) {
	t.Parallel()
	s := registry(t)
	var mu sync.Mutex
	var asked []string
	far := s.Listener.Addr().String()
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
		mu.Unlock()
		if r.Method != http.MethodConnect {
			fmt.Fprintln(w, "through the proxy")
			return
		}
		conn, err := net.Dial("tcp", far)
		if err != nil {
			t.Error(err)
			return
		}
		near, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(conn, rw) }()
		_, _ = io.Copy(near, conn)
		_ = near.Close()
	})
	via := "http://user:word@" + far
	r, work := newRunner(t, builderImage(t), func(o *docker.Options) {
		o.Env.Vars = map[string]string{"HTTP_PROXY": via, "https_proxy": via}
		o.Reach.Registries = []string{"*.corp.example:8443"}
	})
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	out, _ := run(t, c, workers.Command{
		Script:  `curl -sS -m 20 http://deb.debian.org/x; curl -sS -m 20 --proxytunnel http://go.corp.example:8443/y; curl -sS -m 20 --proxytunnel http://corp.example:8443/z`,
		Network: module.NetworkRegistries,
	})
	if strings.Count(out, "through the proxy\n") != 2 || !strings.Contains(out, "corp.example:8443 was refused") {
		t.Error(out)
	}
	mu.Lock()
	defer mu.Unlock()
	const key = " Basic dXNlcjp3b3Jk"
	if got := strings.Join(asked, "; "); !strings.Contains(got, "GET http://deb.debian.org/x"+key) || !strings.Contains(got, "CONNECT go.corp.example:8443"+key) {
		t.Errorf("the owner's proxy was asked %s", got)
	}
}

// This one needs the world.
func TestDownloads(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	const list = "https://proxy.golang.org/github.com/google/go-cmp/@v/list"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, list, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Skipf("no way to proxy.golang.org: %v", err)
	}
	_ = res.Body.Close()
	r, work := newRunner(t, builderImage(t), func(o *docker.Options) { o.Env.CABundle = "/etc/ssl/certs/ca-certificates.crt" })
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	script := `set -e; rm -rf m; mkdir m; cd m; go mod init example.com/m; GOFLAGS=-modcacherw GOMODCACHE=$PWD/cache GOSUMDB=off go get github.com/google/go-cmp@v0.7.0
		apt-get -q -o Acquire::Retries=0 download ca-certificates >/dev/null 2>&1 || { apt-get -q update 2>&1 | tail -2; apt-get -q download ca-certificates; }; echo done`
	for _, policy := range []module.NetworkPolicy{module.NetworkFull, module.NetworkRegistries} {
		if out, exit := run(t, c, workers.Command{Script: script, Network: policy}); exit.Code != 0 {
			t.Errorf("%s: %s", policy, out)
		}
	}
	if out, exit := run(t, c, workers.Command{Script: script, Network: module.NetworkNone}); exit.Code == 0 {
		t.Errorf("none: %s", out)
	}
}
