package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/modfarm/modfarm/farm/redis"
)

// redisServer is a real Redis that keeps nothing on disk: killed, it comes back empty.
type redisServer struct {
	*process
	dir  string
	host string
	port int
}

func startRedis(ctx context.Context, host, dir string) (*redisServer, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	s := &redisServer{dir: dir, host: host, port: port}
	return s, s.start(ctx)
}

// start starts it on the port that it had.
func (s *redisServer) start(ctx context.Context) (err error) {
	cmd := exec.Command("redis-server", "--bind", s.host, "--port", strconv.Itoa(s.port), //nolint:noctx // ended by stop
		"--protected-mode", "no", "--dir", s.dir, "--save", "", "--appendonly", "no")
	if s.process, err = startProcess("redis", filepath.Join(s.dir, "redis.log"), cmd); err != nil {
		return err
	}
	return await(ctx, func() (bool, error) {
		if !s.running() {
			return false, fmt.Errorf("redis ended: %s", s.tail())
		}
		r, err := redis.Open(ctx, s.url())
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, r.Close()
	})
}

func (s *redisServer) address() string { return s.host + ":" + strconv.Itoa(s.port) }

func (s *redisServer) url() string { return "redis://" + s.address() + "/0" }

// flush makes it forget everything.
func (s *redisServer) flush(ctx context.Context) error {
	c := goredis.NewClient(&goredis.Options{Addr: s.address()})
	return errors.Join(c.FlushAll(ctx).Err(), c.Close())
}
