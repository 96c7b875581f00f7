package api

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// GetLogs sends what there is of a job's log and ends: stock clients ask after their wait and never follow.
func (s buildService) GetLogs(ctx context.Context, req *buildv1.GetLogsRequest, stream *connect.ServerStream[buildv1.GetLogsResponse]) error {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return err
	}
	build, err := s.ownBuild(ctx, p, req.GetBuildId())
	if err != nil {
		return err
	}
	job, err := jobFor(build, req.GetPlatform())
	if err != nil {
		return err
	}
	return s.sendLog(ctx, job, func(step, text string) error {
		return stream.Send(&buildv1.GetLogsResponse{BuildStep: step, Data: text})
	})
}

// jobFor is the job of a build for a platform.
func jobFor(b farm.Build, platform string) (farm.Job, error) {
	want, err := module.ParsePlatform(platform)
	if err != nil {
		return farm.Job{}, at("platform", err)
	}
	var names []string
	for _, j := range b.Jobs {
		if j.Platform == want {
			return j, nil
		}
		names = append(names, j.Platform.String())
	}
	return farm.Job{}, fmt.Errorf("%w: build %s has no platform %s; it has %s", module.ErrNotFound, b.ID, want, strings.Join(names, ", "))
}

// sendLog sends the log up to where it is now, so that a chatty build cannot keep the call open.
func (s *server) sendLog(ctx context.Context, job farm.Job, send func(step, text string) error) error {
	var text runes
	for offset := int64(0); offset < job.LogSize; {
		chunks, err := s.farm.ReadLog(ctx, job.ID, offset, wire.MaxLogMessage)
		if err != nil {
			return err
		}
		if len(chunks) == 0 {
			break
		}
		for _, c := range chunks {
			if err := text.write(c.Step, c.Data, send); err != nil {
				return err
			}
			offset = c.Offset + int64(len(c.Data))
		}
	}
	return text.flush(send)
}

// runes cuts a log of bytes into messages of valid text below the limit: characters that a chunk ends
// in the middle of are kept for the next, and bytes that are no text become U+FFFD.
type runes struct {
	step string
	part []byte // the beginning of a character
}

func (r *runes) write(step string, data []byte, send func(step, text string) error) error {
	if step != r.step {
		if err := r.flush(send); err != nil {
			return err
		}
		r.step = step
	}
	data = append(r.part, data...)
	r.part = nil
	if n := partialRune(data); n > 0 {
		r.part = append([]byte(nil), data[len(data)-n:]...)
		data = data[:len(data)-n]
	}
	for len(data) > 0 {
		n := min(len(data), wire.MaxLogMessage)
		n -= partialRune(data[:n])
		if err := send(step, strings.ToValidUTF8(string(data[:n]), "\uFFFD")); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (r *runes) flush(send func(step, text string) error) error {
	if len(r.part) == 0 {
		return nil
	}
	r.part = nil
	return send(r.step, "\uFFFD")
}

// partialRune is how many bytes at the end of data begin a character that may go on.
func partialRune(data []byte) int {
	for n := 1; n < utf8.UTFMax && n < len(data)+1; n++ {
		if b := data[len(data)-n]; utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRune(data[len(data)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
