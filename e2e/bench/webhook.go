package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
)

// A burst of GitHub's messages: so many, over so many connections.
const (
	burst            = 1000
	burstConnections = 100
	// singles are sent one after the other, each when the farm rests.
	singles = 20
)

// webhooks measures how a control plane, on SQLite that syncs every commit, takes GitHub's messages. Every message must
// be answered 202, be a row of its own, and have been acted on: one that is lost is an error, not a slow one.
type webhooks struct {
	p99, acted []float64 // milliseconds, by round
	taken      bool
}

// webhookTail is what the slowest hundredth of a burst waits for its answer.
type webhookTail struct{ *webhooks }

// Name implements measure.
func (webhookTail) Name() string { return "webhook-p99" }

// Run implements measure. GitHub itself gives up after 10 s.
func (m webhookTail) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.take(ctx, l); err != nil {
		return result{}, err
	}
	return result{value: median(m.p99), bound: 100, unit: milliseconds(), samples: map[string][]float64{"ms": m.p99}}, nil
}

// webhookActed is how long after its receipt a message was acted on, when the farm rests.
type webhookActed struct{ *webhooks }

// Name implements measure.
func (webhookActed) Name() string { return "webhook-acted" }

// Run implements measure.
func (m webhookActed) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.take(ctx, l); err != nil {
		return result{}, err
	}
	return result{value: median(m.acted), bound: 50, unit: milliseconds(), samples: map[string][]float64{"ms": m.acted}}, nil
}

// take sends the bursts and the single messages, once for both measures.
func (m *webhooks) take(ctx context.Context, l *lab) (err error) {
	if m.taken {
		return nil
	}
	f, err := l.hooked(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	for round := range l.rounds + 1 {
		took, err := f.burst(ctx, round)
		if err != nil {
			return err
		}
		acted, err := f.rest(ctx, round)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // it brought the farm into memory
		}
		slices.Sort(took)
		slices.Sort(acted)
		m.p99 = append(m.p99, took[len(took)*99/100])
		m.acted = append(m.acted, acted[len(acted)-1])
	}
	m.taken = true
	return nil
}

// hookedFarm is a control plane alone, with a GitHub App.
type hookedFarm struct {
	*road.Farm
	client *client.Client
	bell   *miniredis.Miniredis // that no worker listens to
	github *httptest.Server
	secret string
	dir    string
}

// hooked starts the farm and gives it an App, as a browser would.
func (l *lab) hooked(ctx context.Context) (*hookedFarm, error) {
	f := &hookedFarm{dir: filepath.Join(l.dir, "webhooks"), bell: miniredis.NewMiniRedis(), secret: rand.Text()}
	if err := f.bell.Start(); err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	f.github = httptest.NewServer(f.conversions(key))
	cfg := road.Config{Dir: f.dir, Modfarm: l.modfarm, Env: []string{"GOMAXPROCS=2", "MODFARM_LOG_LEVEL=error"}}
	if f.Farm, err = road.StartServe(ctx, cfg, "redis://"+f.bell.Addr()); err != nil {
		return nil, errors.Join(err, f.clear())
	}
	if err := f.makeApp(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// conversions is the part of GitHub that gives the App's secrets away; it knows nothing else.
func (f *hookedFarm) conversions(key *rsa.PrivateKey) http.Handler {
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v3/app-manifests/{code}/conversions", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{ // the farm asks again when it got half
			"id": 1, "slug": "bench", "name": "Bench", "webhook_secret": f.secret, "pem": string(private), "html_url": "http://" + "localhost/apps/bench",
		})
	})
	return mux
}

func (f *hookedFarm) makeApp(ctx context.Context) (err error) {
	if f.client, err = f.Client(); err != nil {
		return err
	}
	page, err := f.client.BeginGitHubSetup(ctx, "Bench", "", f.github.URL)
	if err != nil {
		return err
	}
	at, err := url.Parse(page)
	if err != nil {
		return err
	}
	back := f.URL() + "/github/callback?code=1&state=" + url.QueryEscape(at.Query().Get("state"))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, back, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status says enough
		return fmt.Errorf("the App could not be made: %s: %s", res.Status, text)
	}
	return nil
}

// burst sends many messages at once and returns how long each waited for its answer, in milliseconds, when all of them
// have been acted on.
func (f *hookedFarm) burst(ctx context.Context, round int) ([]float64, error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []float64
	var faults error
	for c := range burstConnections {
		all.Go(func() {
			mine, err := f.send(ctx, guids(round, c, burst/burstConnections))
			mu.Lock()
			defer mu.Unlock()
			took, faults = append(took, mine...), errors.Join(faults, err)
		})
	}
	all.Wait()
	if faults != nil {
		return nil, faults
	}
	_, err := f.settled(ctx, round, burst)
	return took, err
}

// rest sends single messages and returns how long after the receipt of each it had been acted on, in milliseconds.
func (f *hookedFarm) rest(ctx context.Context, round int) (acted []float64, err error) {
	for _, guid := range guids(round, burstConnections, singles) {
		if _, err := f.send(ctx, []string{guid}); err != nil {
			return nil, err
		}
		list, err := f.settled(ctx, round, 1)
		if err != nil {
			return nil, err
		}
		acted = append(acted, float64(list[0].DoneAt.Sub(list[0].ReceivedAt).Microseconds())/1000)
	}
	return acted, nil
}

// guids are the ids of messages; those of a round begin alike.
func guids(round, connection, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%08d-%04d-%04d", round, connection, i))
	}
	return list
}

// settled returns the newest messages once they are of the round and have been acted on.
func (f *hookedFarm) settled(ctx context.Context, round, n int) ([]client.GitHubDelivery, error) {
	prefix := guids(round, 0, 1)[0][:8]
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		list, err := f.client.GitHubDeliveries(ctx, n)
		if err != nil {
			return nil, err
		}
		open := slices.ContainsFunc(list, func(d client.GitHubDelivery) bool {
			return d.DoneAt.IsZero() || !strings.HasPrefix(d.GUID, prefix)
		})
		if len(list) == n && !open {
			return list, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("not all of %d messages were kept and acted on: %w", n, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// send sends messages over one connection, each when the one before was answered, and returns how long that took. It
// speaks HTTP/1.1 by hand, so that the farm has the processors.
func (f *hookedFarm) send(ctx context.Context, guids []string) (took []float64, err error) {
	host := strings.TrimPrefix(f.URL(), "http://")
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	body := pushPayload()
	mac := hmac.New(sha256.New, []byte(f.secret))
	_, _ = mac.Write([]byte(body)) // never fails
	head := fmt.Sprintf("POST /webhooks/github HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n"+
		"X-Hub-Signature-256: sha256=%s\r\nContent-Length: %d\r\nX-GitHub-Delivery: ", host, hex.EncodeToString(mac.Sum(nil)), len(body))
	in := bufio.NewReader(conn)
	for _, guid := range guids {
		began := time.Now()
		if _, err := io.WriteString(conn, head+guid+"\r\n\r\n"+body); err != nil {
			return took, err
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return took, err
		}
		text, err := io.ReadAll(res.Body)
		if cerr := res.Body.Close(); err != nil || cerr != nil || res.StatusCode != http.StatusAccepted {
			return took, fmt.Errorf("a message was answered %s: %s %w", res.Status, text, errors.Join(err, cerr))
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return took, nil
}

// pushPayload is as long as GitHub's message of a pushed tag. No installation covers the repository.
func pushPayload() string {
	const usual = 7 << 10 // bytes
	return `{"ref": "refs/tags/v1.0.0", "repository": {"id": 42, "full_name": "acme/widget"}, "padding": "` + strings.Repeat("x", usual) + `"}`
}

// close stops the farm and gives its disk space back.
func (f *hookedFarm) close() error { return errors.Join(f.Stop(), f.clear()) }

func (f *hookedFarm) clear() error {
	f.github.Close()
	f.bell.Close()
	return os.RemoveAll(f.dir)
}
