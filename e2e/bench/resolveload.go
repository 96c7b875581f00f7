package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// askers is how many machines ask at the same time, each again as soon as it has its answer.
const askers = 16

// answered is what came of asking for a while.
type answered struct {
	rate float64 // a second
	p99  float64 // in milliseconds
}

// question is asked of some module; want is in every right answer to it.
type question struct{ query, want string }

// questions are what machines ask, with the answers of the rules themselves.
func questions() ([]question, error) {
	uploads, err := seedUploads()
	if err != nil {
		return nil, err
	}
	var list []question
	for _, text := range []string{"latest", "latest-with-prerelease", "1.2.0", "1.2", "^1.0", "~1.0.0", ">=1.1 <2"} {
		for _, on := range seedPlatforms() {
			selector, err := module.ParseSelector(text)
			if err != nil {
				return nil, err
			}
			machine := module.Machine{Tags: []string{"distro:debian"}}
			if machine.Platform, err = module.ParsePlatform(on); err != nil {
				return nil, err
			}
			taken, ok := module.Resolve(uploads, selector, machine).Taken()
			if !ok {
				return nil, fmt.Errorf("no upload fits %s on %s", selector, machine)
			}
			query := url.Values{wire.ParamSelector: {text}, wire.ParamPlatform: {on}, wire.ParamTag: machine.Tags}
			list = append(list, question{query.Encode(), fmt.Sprintf(`"upload":{"version":%q,"platform":%q,`, taken.Version, taken.Platform)})
		}
	}
	return list, nil
}

// ask asks for random modules of the farm and checks every answer.
func (f *seededFarm) ask(ctx context.Context, d time.Duration) (answered, error) {
	list, err := questions()
	if err != nil {
		return answered{}, err
	}
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	var fault error
	began := time.Now()
	for range askers {
		all.Go(func() {
			mine, err := f.machine(ctx, list)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err != nil && fault == nil {
				fault = err
			}
		})
	}
	all.Wait()
	if fault != nil || len(took) == 0 {
		return answered{}, fmt.Errorf("ask a farm of %d modules: %d answers, then %w", f.modules, len(took), fault)
	}
	elapsed := time.Since(began)
	slices.Sort(took)
	return answered{
		rate: float64(len(took)) / elapsed.Seconds(),
		p99:  float64(took[len(took)*99/100].Microseconds()) / 1000,
	}, nil
}

// machine is one connection. It speaks plain HTTP/1.1 by hand: a client of the standard
// library would take as much of the processors as the farm.
func (f *seededFarm) machine(ctx context.Context, list []question) (took []time.Duration, err error) {
	host := strings.TrimPrefix(f.URL(), "http://")
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	id, key := f.Key()
	tail := fmt.Sprintf(" HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n%s: %s\r\n\r\n", host, wire.HeaderKeyID, id, wire.HeaderKey, key)
	in := bufio.NewReader(conn)
	var body bytes.Buffer
	for ctx.Err() == nil {
		q := list[rand.IntN(len(list))]
		path := wire.PathResolve + road.Namespace + "/" + seedName(rand.IntN(f.modules)) + "?" + q.query
		began := time.Now()
		if _, err := io.WriteString(conn, "GET "+path+tail); err != nil {
			return took, err
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return took, err
		}
		body.Reset()
		_, err = body.ReadFrom(res.Body)
		if cerr := res.Body.Close(); err != nil || cerr != nil {
			return took, fmt.Errorf("GET %s: %w", path, err)
		}
		took = append(took, time.Since(began))
		if res.StatusCode != http.StatusOK || !bytes.Contains(body.Bytes(), []byte(q.want)) {
			return took, fmt.Errorf("GET %s answered %s without %s: %s", path, res.Status, q.want, body.String())
		}
	}
	return took, nil
}
