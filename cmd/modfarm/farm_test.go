package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
)

const (
	repo     = "https://git.example.com/acme/widget"
	metaJSON = `{
		"module_id": "acme:widget", "visibility": "private", "url": "https://git.example.com/acme/widget",
		"description": "a widget", "models": [{"api": "rdk:component:sensor", "model": "acme:weather:indoor"}],
		"entrypoint": "run.sh", "build": {"build": "make", "arch": ["linux/amd64", "linux/arm64"]}
	}`
)

// person is somebody in front of a farm: commands run in this process.
type person struct {
	t    *testing.T
	farm *apitest.Farm
	env  map[string]string
	meta string // a file
	work *client.Client
}

// newPerson has a farm with the module acme:widget, tagged v0.1.0 and v0.2.0.
func newPerson(t *testing.T) *person {
	t.Helper()
	f := apitest.Start(t)
	f.Source.Push(repo, "main", strings.Repeat("1", 40), metaJSON)
	f.Source.Push(repo, "v0.1.0", strings.Repeat("1", 40), metaJSON)
	f.Source.Push(repo, "v0.2.0", strings.Repeat("2", 40), metaJSON)
	worker, err := client.New(client.Config{URL: f.URL, WorkerToken: apitest.WorkerToken})
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, farm: f, meta: writeFile(t, "meta.json", metaJSON), work: worker, env: map[string]string{
		"MODFARM_URL": f.URL, "MODFARM_KEY_ID": f.KeyID, "MODFARM_KEY": f.Key,
	}}
	p.run("module", "create", "acme:widget").want(exitOK, "acme:widget", "")
	return p
}

// ran is a command that has ended or is running.
type ran struct {
	t           *testing.T
	out, err    lines
	code        int
	done        chan struct{}
	interrupted context.CancelFunc
}

// lines is a stream that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// begin runs a command beside the test.
func (p *person) begin(args ...string) *ran {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	r := &ran{t: p.t, done: make(chan struct{}), interrupted: cancel}
	go func() {
		defer close(r.done)
		r.code = execute(ctx, args, &r.out, &r.err, func(name string) (string, bool) {
			value, ok := p.env[name]
			return value, ok
		})
	}()
	p.t.Cleanup(func() { cancel(); <-r.done })
	return r
}

func (p *person) run(args ...string) *ran {
	p.t.Helper()
	r := p.begin(args...)
	<-r.done
	return r
}

// says waits until standard error says something.
func (r *ran) says(text string) {
	r.t.Helper()
	apitest.Eventually(r.t, text, func() bool {
		select {
		case <-r.done:
			if !strings.Contains(r.err.String(), text) {
				r.t.Fatalf("ended with status %d before it said %q:\n%s", r.code, text, r.err.String())
			}
		default:
		}
		return strings.Contains(r.err.String(), text)
	})
}

// want holds that the command ends with a status and says two things.
func (r *ran) want(code int, out, err string) *ran {
	r.t.Helper()
	<-r.done
	if r.code != code || !strings.Contains(r.out.String(), out) || !strings.Contains(r.err.String(), err) {
		r.t.Errorf("status %d, want %d\nwant on standard output %q:\n%s\nwant on standard error %q:\n%s",
			r.code, code, out, r.out.String(), err, r.err.String())
	}
	return r
}

// atMost holds that something is said at most so often.
func (r *ran) atMost(times int, text string) *ran {
	r.t.Helper()
	if n := strings.Count(r.out.String()+r.err.String(), text); n > times {
		r.t.Errorf("%q is said %d times:\n%s", text, n, r.err.String())
	}
	return r
}

var (
	amd64 = module.Platform{OS: "linux", Arch: "amd64"}
	arm64 = module.Platform{OS: "linux", Arch: "arm64"}
)

// claim takes the job of a platform.
func (p *person) claim(platform module.Platform) client.LeaseRef {
	p.t.Helper()
	var lease client.LeaseRef
	apitest.Eventually(p.t, "a job for "+platform.String(), func() bool {
		a, err := p.work.Claim(p.t.Context(), client.Worker{Name: "w1", Native: []module.Platform{platform}})
		if err != nil {
			p.t.Fatal(err)
		}
		if a != nil {
			lease = a.Lease.LeaseRef
		}
		return a != nil
	})
	return lease
}

// log appends to a job's log and returns the next offset.
func (p *person) log(l client.LeaseRef, offset int64, text string) int64 {
	p.t.Helper()
	next, err := p.work.AppendLog(p.t.Context(), l, client.LogChunk{Offset: offset, Step: "build", Data: []byte(text)})
	if err != nil {
		p.t.Fatal(err)
	}
	return next
}

func (p *person) finish(l client.LeaseRef, o client.Outcome) {
	p.t.Helper()
	o.Strategy = module.StrategyNative
	if _, err := p.work.Finish(p.t.Context(), l, o); err != nil {
		p.t.Fatal(err)
	}
}

// publish sends a job's archive and returns it.
func (p *person) publish(l client.LeaseRef, m apitest.Machine) []byte {
	p.t.Helper()
	file := apitest.Archive(p.t,
		apitest.Member{Name: "meta.json", Mode: 0o644, Data: []byte(metaJSON)},
		apitest.Member{Name: "run.sh", Mode: 0o755, Data: apitest.ELF(m)},
	)
	if _, err := p.work.PutArchive(p.t.Context(), l, module.StrategyNative, bytes.NewReader(file), nil); err != nil {
		p.t.Fatal(err)
	}
	p.finish(l, client.Outcome{Kind: client.OutcomeDone})
	return file
}
