package action_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// fakeFarm is a farm whose jobs run a script. Its logs grow one chunk at a time; a job's next chunk is
// written when the one before was read, so that no test depends on time.
type fakeFarm struct {
	mu        sync.Mutex
	config    client.Config
	manifest  *module.Manifest
	docs      map[string]string
	request   client.BuildRequest
	scripts   []*script
	looks     int
	cancelled bool

	loginErr, updateErr, startErr error
	exchangeErr                   error
	exchanged                     []string // identities that were exchanged for keys
	releases                      []module.Release
	uploaded                      client.NewUpload
	content                       []byte
	onFollow                      func(platform string)
}

// script is what one platform does: chunks, then its end.
type script struct {
	platform module.Platform
	chunks   []client.LogChunk
	end      client.JobState
	reason   string
	release  *module.Release
	strategy module.Strategy
	queued   int  // looks at the build before a worker takes the job
	hangs    bool // never ends by itself

	log  []client.LogChunk
	size int64
	over bool
}

const buildID = "5f0c6d1e-0b1f-4f62-9d5a-3f1b8f7a2c11"

func (f *fakeFarm) connect(cfg client.Config) (*fakeFarm, error) {
	if _, err := client.New(cfg); err != nil { // the address is checked as in truth
		return nil, err
	}
	f.config = cfg
	return f, nil
}

func (f *fakeFarm) Login(context.Context) ([]client.Organization, error) {
	return []client.Organization{{ID: "o", Name: "Acme", Namespace: "acme"}}, f.loginErr
}

// exchange gives a key for an identity. The real one is the client's.
func (f *fakeFarm) exchange(_ context.Context, cfg client.Config, token, organization string) (client.WorkflowKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exchanged = append(f.exchanged, strings.TrimSpace(cfg.URL+" "+token+" "+organization))
	return client.WorkflowKey{KeyID: "run-1", Secret: fmt.Sprintf("run-secret-%d", len(f.exchanged)), Lifetime: time.Hour}, f.exchangeErr
}

func (f *fakeFarm) Module(_ context.Context, id module.ID) (client.ModuleInfo, error) {
	return client.ModuleInfo{ID: id, Entrypoint: "run.sh"}, nil
}

func (f *fakeFarm) Releases(context.Context, module.ID, module.Version) ([]module.Release, error) {
	if f.releases == nil {
		return nil, module.ErrNotFound
	}
	return f.releases, nil
}

func (f *fakeFarm) Upload(_ context.Context, u client.NewUpload, file io.ReadSeeker, progress func(sent, total int64)) (client.Uploaded, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return client.Uploaded{}, err
	}
	var err error
	f.uploaded = u
	f.content, err = io.ReadAll(file)
	total := int64(len(f.content))
	for _, sent := range []int64{0, total / 2, total, total} {
		progress(sent, total)
	}
	return client.Uploaded{Archive: client.Archive{SHA256: u.SHA256, Size: total, Warnings: []string{"bin/x.exe is for windows"}}}, err
}

func (f *fakeFarm) UpdateModule(_ context.Context, m *module.Manifest, docs map[string]string) error {
	f.manifest, f.docs = m, maps.Clone(docs)
	return f.updateErr
}

func (f *fakeFarm) StartBuild(_ context.Context, r client.BuildRequest) (string, error) {
	f.request = r
	return buildID, f.startErr
}

func (f *fakeFarm) Build(ctx context.Context, id string) (client.Build, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id != buildID {
		return client.Build{}, errors.New("no such build")
	}
	if ctx.Err() != nil {
		return client.Build{}, ctx.Err()
	}
	f.looks++
	return f.build(), nil
}

func (f *fakeFarm) build() client.Build {
	b := client.Build{ID: buildID, Module: f.request.Module, Version: f.request.Version, Commit: "0123456789abcdef0123456789abcdef01234567"}
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range f.scripts {
		job := client.Job{ID: "job-" + s.platform.Dashed(), Platform: s.platform, State: client.JobQueued, LogSize: s.size, Strategy: s.strategy}
		switch {
		case s.over:
			job.State, job.Terminal, job.Reason, job.Release = s.end, true, s.reason, s.release
			job.StartedAt, job.EndedAt = began, began.Add(12345*time.Millisecond)
		case f.looks > s.queued:
			s.begin()
			job.State, job.StartedAt, job.LogSize = client.JobRunning, began, s.size
		default:
			job.Reason = "every worker for " + s.platform.String() + " is busy; wait, or start another"
		}
		b.Jobs = append(b.Jobs, job)
	}
	return b
}

// begin writes the first chunk, or ends a script that has none.
func (s *script) begin() {
	if len(s.log) == 0 && !s.over {
		s.advance()
	}
}

func (s *script) advance() {
	if len(s.log) < len(s.chunks) {
		chunk := s.chunks[len(s.log)]
		chunk.Offset = s.size
		s.size += int64(len(chunk.Data))
		s.log = append(s.log, chunk)
		return
	}
	s.over = !s.hangs || s.over
}

func (f *fakeFarm) FollowLog(ctx context.Context, jobID string, offset int64, emit func(client.LogChunk) error) error {
	f.mu.Lock()
	at := slices.IndexFunc(f.scripts, func(s *script) bool { return "job-"+s.platform.Dashed() == jobID })
	s := f.scripts[at]
	f.mu.Unlock()
	if f.onFollow != nil {
		f.onFollow(s.platform.String())
	}
	for i := 0; ; {
		f.mu.Lock()
		chunks, over := s.log, s.over
		if i == len(chunks) && !over {
			s.advance()
			chunks, over = s.log, s.over
		}
		f.mu.Unlock()
		switch {
		case i < len(chunks):
			if chunks[i].Offset >= offset {
				if err := emit(chunks[i]); err != nil {
					return err
				}
			}
			i++
		case over:
			return nil
		case s.hangs:
			<-ctx.Done()
			return ctx.Err()
		}
	}
}

func (f *fakeFarm) CancelBuild(ctx context.Context, _ string) (client.Build, error) {
	if ctx.Err() != nil {
		return client.Build{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancelled = true
	for _, s := range f.scripts {
		if !s.over {
			s.over, s.end, s.reason = true, client.JobCancelled, "cancelled by its owner"
		}
	}
	return f.build(), nil
}

func chunk(step, text string) client.LogChunk { return client.LogChunk{Step: step, Data: []byte(text)} }

// succeeds is a platform that prints two steps and is published.
func succeeds(platform, strategy string, digest byte) *script {
	p, _ := module.ParsePlatform(platform)
	return &script{
		platform: p, strategy: module.Strategy(strategy), end: client.JobPublished,
		chunks:  []client.LogChunk{chunk("setup", "go: downloading\n"), chunk("build", "building for "+platform+"\nno line end")},
		release: &module.Release{Platform: p, Size: 4_819_656, SHA256: string(slices.Repeat([]byte{digest}, 64))},
	}
}
