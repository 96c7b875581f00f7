package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/farm/redis/redistest"
)

// proxied is a farm that the world reaches through nginx.
type proxied struct {
	dir         string
	modfarm     string
	farm        *road.Farm
	redis       string // its URL; secret
	url         string // of the proxy
	client      *client.Client
	certificate string
	roots       *x509.CertPool
}

// around is what nginx is told beside the file under test: timeouts that are
// shorter than what the test does, so that those of the file have to count.
const around = `
daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log warn;
events {}
http {
    access_log off;
    proxy_read_timeout 2s; proxy_send_timeout 2s; grpc_read_timeout 2s; grpc_send_timeout 2s;
    client_body_timeout 2s; send_timeout 2s;
    client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
    include %[1]s/modfarm.conf;
}
`

// startNginx starts the farm and nginx, each on a port of its own.
func (p *proxied) startNginx(t *testing.T, root string) {
	t.Helper()
	program := nginxProgram(t)
	address := freeAddress(t)
	p.url = "https://" + address
	p.makeCertificate(t)
	p.redis = redistest.Start(t).URL()
	var err error
	p.farm, err = road.StartServe(t.Context(), road.Config{
		Dir: filepath.Join(p.dir, "farm"), Modfarm: p.modfarm, UpArgs: []string{"--public-url", p.url},
	}, p.redis)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	p.configure(t, root, address)
	nginx := command(program, "-e", filepath.Join(p.dir, "error.log"), "-c", filepath.Join(p.dir, "nginx.conf"))
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(nginx.Process.Signal(syscall.SIGTERM), nginx.Wait()); err != nil {
			t.Errorf("stop nginx: %v", err)
		}
	})
	p.awaitNginx(t, address)
	id, key := p.farm.Key()
	if p.client, err = client.New(client.Config{URL: p.url, KeyID: id, Key: key, HTTP: p.http(2)}); err != nil {
		t.Fatal(err)
	}
}

// nginxProgram finds nginx, which is not in everybody's path.
func nginxProgram(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no nginx is installed (Debian package nginx-light)")
	}
	t.Skip("no nginx is installed (Debian package nginx-light)")
	return ""
}

// configure writes nginx's configuration: the file of packaging with the addresses
// of this test.
func (p *proxied) configure(t *testing.T, root, address string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "packaging", "nginx", "modfarm.conf"))
	if err != nil {
		t.Fatal(err)
	}
	site := string(text)
	for _, change := range [][2]string{
		{"    listen [::]:443 ssl http2;\n", ""},
		{"listen 443 ssl http2;", "listen " + address + " ssl http2;"},
		{"/etc/nginx/farm.example.com.pem", p.certificate},
		{"/etc/nginx/farm.example.com.key", filepath.Join(p.dir, "key.pem")},
		{"//127.0.0.1:8080", "//" + strings.TrimPrefix(p.farm.URL(), "http://")},
	} {
		if !strings.Contains(site, change[0]) {
			t.Fatalf("packaging/nginx/modfarm.conf has no %q", change[0])
		}
		site = strings.ReplaceAll(site, change[0], change[1])
	}
	for name, text := range map[string]string{"modfarm.conf": site, "nginx.conf": fmt.Sprintf(around, p.dir)} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *proxied) awaitNginx(t *testing.T, address string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		<-tick.C
	}
	t.Fatalf("nginx does not answer:\n%s", p.errors(t))
}

// errors is what nginx complains of.
func (p *proxied) errors(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "error.log"))
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// makeCertificate makes a certificate of loopback that signs itself.
func (p *proxied) makeCertificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "farm.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.certificate = filepath.Join(p.dir, "cert.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(p.certificate, certificate, 0o644),
		os.WriteFile(filepath.Join(p.dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	p.roots = x509.NewCertPool()
	p.roots.AppendCertsFromPEM(certificate)
}

// freeAddress is one of loopback that a program started next can listen on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// command is a program that the test ends with a signal, so that it can end in
// order.
func command(program string, args ...string) *exec.Cmd { return exec.Command(program, args...) }
