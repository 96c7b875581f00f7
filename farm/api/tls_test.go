package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/modfarm/modfarm/farm/api"
	"github.com/modfarm/modfarm/farm/api/apitest"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// pair is a certificate for 127.0.0.1 in two files, as an operator has it.
type pair struct {
	certFile, keyFile string
	roots             *x509.CertPool
}

func newPair(t *testing.T) pair {
	t.Helper()
	dir := t.TempDir()
	p := pair{certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key"), roots: x509.NewCertPool()}
	p.renew(t, "first")
	return p
}

// renew writes a new certificate over the old one.
func (p pair) renew(t *testing.T, name string) {
	t.Helper()
	cert, key := selfSigned(t, name)
	p.roots.AppendCertsFromPEM(cert)
	writeFile(t, p.certFile, cert)
	writeFile(t, p.keyFile, key)
}

func selfSigned(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveTLS serves the farm on a second port, with TLS, and returns its host and port and its log.
func serveTLS(t *testing.T, f *apitest.Farm, p pair) (addr string, log *apitest.Log) {
	t.Helper()
	log = &apitest.Log{}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cert, err := api.LoadCertificate(p.certFile, p.keyFile, logger)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(f.Handler, logger)
	done := make(chan error, 1)
	go func() { done <- server.Serve(api.WithTLS(t.Context(), l, cert.Config())) }()
	t.Cleanup(func() {
		_ = server.Close() // its connections are the test's own
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String(), log
}

// TestOnePort holds that one port serves gRPC, HTTP/1.1 and downloads, over TLS and in the clear, while
// connections that say nothing are open.
func TestOnePort(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	p := newPair(t)
	addr, log := serveTLS(t, f, p)
	for range 3 {
		silent, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	trusted := &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12}
	over := dialForeign(t, addr, credentials.NewTLS(trusted))
	if err := over.login(f.KeyID, f.Key); err != nil {
		t.Fatal(err)
	}
	plain := dialForeign(t, addr, nil)
	if err := plain.login(f.KeyID, f.Key); err != nil {
		t.Fatal(err)
	}
	widget(t, plain, f)
	file := bigArchive(t, 100_000)
	upload := func(c *foreign, version string) string {
		t.Helper()
		url, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: version, Platform: "any"}, file)
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	const path = "/api/v1/packages/acme/widget/"
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: trusted}}
	defer secure.CloseIdleConnections()
	for url, want := range map[string]string{
		upload(over, "1.0.0"):  "https://" + addr + path + "1.0.0-any.tar.gz",
		upload(plain, "2.0.0"): "http://" + addr + path + "2.0.0-any.tar.gz",
	} {
		if url != want {
			t.Errorf("the download is at %s, want %s", url, want)
		}
		res := do(t, secure, http.MethodGet, url, "", "key_id", f.KeyID, "key", f.Key)
		if res.code != http.StatusOK || res.body != string(file) || res.proto != "HTTP/1.1" {
			t.Errorf("%s: %s %d, %d bytes of %d", url, res.proto, res.code, len(res.body), len(file))
		}
	}
	if text := log.String(); strings.Contains(text, `"ERROR"`) || strings.Contains(text, `"WARN"`) {
		t.Errorf("probes and clients are logged as errors:\n%s", text)
	}
}

// TestUntrusted holds that a client which does not trust the certificate is told, and nobody else is harmed.
func TestUntrusted(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	addr, _ := serveTLS(t, f, newPair(t))
	conn, err := (&tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext(t.Context(), "tcp", addr)
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); !untrusted {
		t.Fatalf("got %v, %v", conn, err)
	}
	res := do(t, http.DefaultClient, http.MethodGet, "http://"+addr+wire.PathHealth, "")
	if res.code != http.StatusOK {
		t.Errorf("health: %d", res.code)
	}
}

// TestCertificateIsRenewed holds that new connections get a renewed certificate without a restart, and the
// old one as long as the files do not fit together.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	p := newPair(t)
	addr, log := serveTLS(t, f, p)
	shown := func() string {
		t.Helper()
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}}).
			DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		state := conn.(*tls.Conn).ConnectionState() //nolint:forcetypeassert // a tls.Dialer
		if state.NegotiatedProtocol != "h2" {
			t.Errorf("negotiated %q", state.NegotiatedProtocol)
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); got != "first" {
		t.Fatalf("shows %q", got)
	}
	cert, key := selfSigned(t, "second")
	p.roots.AppendCertsFromPEM(cert)
	writeFile(t, p.certFile, cert) // half of a renewal
	apitest.Eventually(t, "the log says that the pair does not fit", func() bool {
		if got := shown(); got != "first" {
			t.Errorf("with half of a pair it shows %q", got)
		}
		return strings.Contains(log.String(), "the one before stays")
	})
	writeFile(t, p.keyFile, key)
	apitest.Eventually(t, "the new certificate is shown", func() bool { return shown() == "second" })
	if err := os.Remove(p.certFile); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "second" {
		t.Errorf("without its file it shows %q", got)
	}
}

// TestClearConnectionsSendFiles holds that connections in the clear on a port with TLS can still be handed
// files for the kernel to send.
func TestClearConnectionsSendFiles(t *testing.T) {
	t.Parallel()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	both := api.WithTLS(t.Context(), l, &tls.Config{MinVersion: tls.VersionTLS12})
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "GET"); err != nil {
		t.Fatal(err)
	}
	conn, err := both.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(io.ReaderFrom); !ok {
		t.Errorf("a %T cannot send files", conn)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "GET" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := both.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := both.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}
