package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// download is how fast archives leave the farm, as a part of how fast nginx sends
// the same file with sendfile. What arrives is dropped by the kernel, for both.
type download struct {
	name    string
	streams int
	each    int64 // bytes of one stream
	bound   float64
}

// Name implements measure.
func (d download) Name() string { return d.name }

// Run implements measure.
func (d download) Run(ctx context.Context, l *lab) (result, error) {
	s, err := l.uploading(ctx)
	if err != nil {
		return result{}, err
	}
	pkg, err := s.publish(ctx)
	if err != nil {
		return result{}, err
	}
	web, err := startNginx(ctx, l.dir)
	if err != nil {
		return result{}, err
	}
	defer web.stop()
	id, key := s.farm.Key()
	ask := http.Header{"key_id": {id}, "key": {key}}
	var nginx, ours []time.Duration
	for range l.rounds {
		n, err := d.once(ctx, web.url+"/"+filepath.Base(s.noise.name), nil)
		if err != nil {
			return result{}, fmt.Errorf("nginx: %w", err)
		}
		o, err := d.once(ctx, pkg.URL, ask)
		if err != nil {
			return result{}, err
		}
		l.say("%d downloads: nginx %.2f s, the farm %.2f s", d.streams, n.Seconds(), o.Seconds())
		nginx, ours = append(nginx, n), append(ours, o)
	}
	return result{
		value: paired(nginx, ours, over), bound: d.bound, atLeast: true, unit: ratios(),
		samples: map[string][]float64{"nginx": seconds(nginx), "download": seconds(ours)},
	}, nil
}

// publish makes the noise a version, once, and says where it is.
func (s *uploads) publish(ctx context.Context) (client.Package, error) {
	id := module.ID{Namespace: road.Namespace, Name: "downloaded"}
	version, err := module.ParseVersion("1.0.0")
	if err != nil {
		return client.Package{}, err
	}
	if s.farm.versions[id] == 0 {
		if _, _, err := s.farm.module(ctx, id.Name); err != nil {
			return client.Package{}, err
		}
	}
	file, err := os.Open(s.noise.name)
	if err != nil {
		return client.Package{}, err
	}
	defer file.Close()
	what := client.NewUpload{Module: id, Version: version, Platform: module.HostPlatform(), SHA256: s.noise.sha256}
	if _, err := s.farm.client.Upload(ctx, what, file, nil); err != nil {
		return client.Package{}, err
	}
	return s.farm.client.Package(ctx, id, version, module.HostPlatform())
}

// once fetches the beginning of an address over as many connections as there are streams.
func (d download) once(ctx context.Context, url string, headers http.Header) (time.Duration, error) {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for range d.streams {
		g.Go(func() error {
			t, err := startTransfer(ctx, url, headers, d.each)
			if err != nil {
				return err
			}
			return errors.Join(t.drop(), t.conn.Close())
		})
	}
	err := g.Wait()
	return time.Since(began), err
}

// transfer is a download whose bytes are still in the socket.
type transfer struct {
	conn *net.TCPConn
	left int64
}

// startTransfer asks for the first bytes of an address and reads the head of the answer.
func startTransfer(ctx context.Context, url string, headers http.Header, size int64) (*transfer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, headers) // as they are spelled
	req.Header.Set("Range", "bytes=0-"+strconv.FormatInt(size-1, 10))
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", req.URL.Host)
	if err != nil {
		return nil, err
	}
	t := &transfer{conn: conn.(*net.TCPConn)}
	if err := req.Write(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	r := bufio.NewReaderSize(conn, 4<<10)
	res, err := http.ReadResponse(r, req) //nolint:bodyclose // closing it would read it; the connection is closed instead
	if err == nil && res.StatusCode != http.StatusPartialContent {
		err = fmt.Errorf("GET %s: %s", url, res.Status)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	t.left = size - int64(r.Buffered())
	return t, nil
}

// drop has the kernel throw the rest away: it is never copied into this process.
func (t *transfer) drop() error {
	raw, err := t.conn.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20) // its length counts, its content is never written
	for t.left > 0 {
		var n int
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, _, rerr = syscall.Recvfrom(int(fd), buf, syscall.MSG_TRUNC)
			return !errors.Is(rerr, syscall.EAGAIN)
		})
		if err = errors.Join(err, rerr); err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("the download ended %d bytes early: %w", t.left, io.ErrUnexpectedEOF)
		}
		t.left -= int64(n)
	}
	return nil
}

// nginx is one that serves a folder with sendfile.
type nginx struct {
	cmd *exec.Cmd
	url string
}

const nginxConfig = `
daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log warn;
events {}
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path %[1]s/nginx-body; proxy_temp_path %[1]s/nginx-proxy; fastcgi_temp_path %[1]s/nginx-fastcgi;
    uwsgi_temp_path %[1]s/nginx-uwsgi; scgi_temp_path %[1]s/nginx-scgi;
    server { listen %[2]s; root %[1]s; }
}
`

func startNginx(ctx context.Context, dir string) (*nginx, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return nil, fmt.Errorf("nginx is the baseline and not installed (Debian package nginx-light): %w", err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0") // a free port, for nginx
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	// Its workers may run as another user, which has to reach the file.
	for at := dir; at != "/"; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.Mode()&0o005 != 0o005 {
			if err := os.Chmod(at, info.Mode()|0o005); err != nil {
				return nil, err
			}
		}
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, addr), 0o644); err != nil {
		return nil, err
	}
	n := &nginx{cmd: exec.CommandContext(ctx, program, "-p", dir, "-c", config), url: "http://" + addr}
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(syscall.SIGTERM) }
	var said strings.Builder
	n.cmd.Stderr = &said
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return n, conn.Close()
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			break
		}
	}
	n.stop()
	return nil, fmt.Errorf("nginx did not start: %s", said.String())
}

func (n *nginx) stop() {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	_ = n.cmd.Wait() // it was told to end
}
