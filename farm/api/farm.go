package api

import (
	"context"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// farmService is builds as the farm's own clients see them.
type farmService struct{ *server }

// signOfLife is how often a quiet log stream says that it is there. Clients reconnect after a minute
// of silence.
const signOfLife = 15 * time.Second

// GetBuild returns a build.
func (s farmService) GetBuild(ctx context.Context, req *modfarmv1.GetBuildRequest) (*modfarmv1.GetBuildResponse, error) {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	b, err := s.ownBuild(ctx, p, req.GetBuildId())
	if err != nil {
		return nil, err
	}
	if b, err = s.farm.Explain(ctx, b); err != nil {
		return nil, err
	}
	return &modfarmv1.GetBuildResponse{Build: buildTo(b)}, nil
}

// ListBuilds lists the organization's builds, newest first.
func (s farmService) ListBuilds(ctx context.Context, req *modfarmv1.ListBuildsRequest) (*modfarmv1.ListBuildsResponse, error) {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	if err := notNegative(req.GetLimit()); err != nil {
		return nil, err
	}
	filter := farm.BuildFilter{OrgID: p.Org.ID, Limit: int(req.GetLimit())}
	if filter.Module, err = s.ownModuleID(ctx, p, req.GetModuleId()); err != nil {
		return nil, err
	}
	builds, err := s.farm.Builds(ctx, filter)
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListBuildsResponse{}
	for _, b := range builds {
		res.Builds = append(res.Builds, buildTo(b))
	}
	return res, nil
}

// notNegative checks how much of a list is asked for.
func notNegative(limit int32) error {
	if limit >= 0 {
		return nil
	}
	return module.Fault{Path: "limit", Value: fmt.Sprint(limit), Problem: "negative", Advice: "leave it out for the default"}
}

// CancelBuild ends what has not ended of a build.
func (s farmService) CancelBuild(ctx context.Context, req *modfarmv1.CancelBuildRequest) (*modfarmv1.CancelBuildResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	b, err := s.ownBuild(ctx, p, req.GetBuildId())
	if err != nil {
		return nil, err
	}
	id := b.ID
	if platform := req.GetPlatform(); platform != "" {
		job, err := jobFor(b, platform)
		if err != nil {
			return nil, err
		}
		id = job.ID
	}
	if err := s.farm.Cancel(ctx, id); err != nil {
		return nil, err
	}
	if b, err = s.farm.Build(ctx, b.ID); err != nil {
		return nil, err
	}
	return &modfarmv1.CancelBuildResponse{Build: buildTo(b)}, nil
}

// RetryJob builds one platform of a build again, or all that did not succeed.
func (s farmService) RetryJob(ctx context.Context, req *modfarmv1.RetryJobRequest) (*modfarmv1.RetryJobResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	b, err := s.ownBuild(ctx, p, req.GetBuildId())
	if err != nil {
		return nil, err
	}
	retry := farm.Retry{BuildID: b.ID, Token: req.GetToken(), RequestedBy: "key-" + p.KeyID}
	if platform := req.GetPlatform(); platform != "" {
		job, err := jobFor(b, platform)
		if err != nil {
			return nil, err
		}
		retry.Platform = job.Platform
	}
	if b, err = s.farm.Retry(ctx, retry); err != nil {
		return nil, err
	}
	return &modfarmv1.RetryJobResponse{Build: buildTo(b)}, nil
}

// FollowLog sends a job's log as it grows, and a sign of life when it does not.
func (s farmService) FollowLog(ctx context.Context, req *modfarmv1.FollowLogRequest, stream *connect.ServerStream[modfarmv1.FollowLogResponse]) error {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return err
	}
	if req.GetOffset() < 0 {
		return module.Fault{Path: "offset", Value: fmt.Sprint(req.GetOffset()), Problem: "negative", Advice: "begin at 0"}
	}
	if err := s.ownJob(ctx, p, req.GetJobId()); err != nil {
		return err
	}
	line := &liveLine{stream: stream}
	stop := line.keepAlive(ctx)
	defer stop()
	return s.farm.FollowLog(ctx, req.GetJobId(), req.GetOffset(), line.send)
}

// liveLine is a stream that two goroutines send on.
type liveLine struct {
	mu     sync.Mutex
	stream *connect.ServerStream[modfarmv1.FollowLogResponse]
	last   int64
}

func (l *liveLine) send(c farm.LogChunk) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(c.Data) > 0 {
		n := min(len(c.Data), wire.MaxLogMessage)
		msg := &modfarmv1.LogChunk{Offset: c.Offset, Step: c.Step, Data: c.Data[:n]}
		if err := l.stream.Send(&modfarmv1.FollowLogResponse{Chunk: msg}); err != nil {
			return err
		}
		c.Data, c.Offset = c.Data[n:], c.Offset+int64(n)
	}
	l.last = c.Offset
	return nil
}

// keepAlive sends an empty chunk now and then, the first at once, until stop returns.
func (l *liveLine) keepAlive(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(signOfLife)
		defer tick.Stop()
		for {
			l.beat()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// beat ignores errors: the next send meets them too.
func (l *liveLine) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.stream.Send(&modfarmv1.FollowLogResponse{Chunk: &modfarmv1.LogChunk{Offset: l.last}})
}
