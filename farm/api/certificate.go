package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookAgain is how often a certificate's files are looked at, at most.
const lookAgain = time.Second

// Certificate is a certificate and its key, in PEM files that somebody renews: new connections get the
// newest pair that fits together, and no restart is needed.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu        sync.Mutex
	looked    time.Time
	cert, key []byte // as read last
	current   *tls.Certificate
}

// LoadCertificate reads a certificate (with its chain) and its key. log hears of renewals and of files
// that cannot be used; nil drops that.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	if _, err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// Config is the TLS configuration of a server that shows the certificate and speaks HTTP/2 and HTTP/1.1.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.newest(hello.Context()), nil
		},
	}
}

// newest is the pair in the files, or the one before while those do not fit together: a renewal writes
// two files, and a connection may come in between.
func (c *Certificate) newest(ctx context.Context) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookAgain {
		return c.current
	}
	c.looked = time.Now()
	switch renewed, err := c.read(); {
	case err != nil:
		c.log.ErrorContext(ctx, "the renewed certificate cannot be used; the one before stays", "error", err)
	case renewed:
		c.log.InfoContext(ctx, "certificate renewed", "file", c.certFile, "until", c.current.Leaf.NotAfter)
	}
	return c.current
}

// read takes the files over when they changed. What is wrong is said once for each change.
func (c *Certificate) read() (renewed bool, err error) {
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return false, fmt.Errorf("key of the certificate: %w", err)
	}
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return false, nil
	}
	c.cert, c.key = cert, key
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("certificate %s with key %s: %w; both have to be PEM, of one pair", c.certFile, c.keyFile, err)
	}
	c.current = &pair
	return true, nil
}
