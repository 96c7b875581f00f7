package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// transferred is the size of what uploads and downloads move.
const transferred = 1 << 30

// uploadDurable is the time from the first byte of a 1 GiB archive, sent by plain
// HTTP, until the farm has hashed it and the disk has it. The inspection runs beside.
type uploadDurable struct{}

// Name implements measure.
func (uploadDurable) Name() string { return "upload-durable" }

// Run implements measure.
func (uploadDurable) Run(ctx context.Context, l *lab) (result, error) {
	s, err := l.uploading(ctx)
	if err != nil {
		return result{}, err
	}
	var tee, ours []time.Duration
	for range l.rounds {
		t, err := teeAndHash(ctx, s.noise.name, filepath.Join(l.dir, "tee"))
		if err != nil {
			return result{}, err
		}
		u, err := s.put(ctx)
		if err != nil {
			return result{}, err
		}
		l.say("upload: tee | sha256sum %.2f s, the farm %.2f s", t.Seconds(), u.Seconds())
		tee, ours = append(tee, t), append(ours, u)
	}
	return result{
		value: paired(tee, ours, over), bound: 1.5, atLeast: true, unit: ratios(),
		samples: map[string][]float64{"tee | sha256sum": seconds(tee), "upload": seconds(ours)},
	}, nil
}

func teeAndHash(ctx context.Context, from, to string) (time.Duration, error) {
	defer os.Remove(to)
	cmd := exec.CommandContext(ctx, "sh", "-c", `tee "$2" < "$1" | sha256sum`, "sh", from, to)
	cmd.Stderr = os.Stderr
	began := time.Now()
	if _, err := cmd.Output(); err != nil {
		return 0, fmt.Errorf("tee | sha256sum: %w", err)
	}
	return time.Since(began), nil
}

// uploadInspected is the time of a whole upload: sent, hashed, inspected, published.
// The archive holds 1 GiB of programs and sources.
type uploadInspected struct{}

// Name implements measure.
func (uploadInspected) Name() string { return "upload-inspected" }

// Run implements measure.
func (uploadInspected) Run(ctx context.Context, l *lab) (result, error) {
	f, err := l.farm(ctx)
	if err != nil {
		return result{}, err
	}
	file := filepath.Join(l.dir, "upload.tar.gz")
	if err := makeArchive(ctx, file); err != nil {
		return result{}, err
	}
	defer os.Remove(file)
	_, unpacked, err := countBytes(ctx, file)
	if err != nil {
		return result{}, err
	}
	var inspected, ours []time.Duration
	for range l.rounds {
		i, err := inspectOnce(ctx, file, unpacked)
		if err != nil {
			return result{}, err
		}
		u, err := f.upload(ctx, file)
		if err != nil {
			return result{}, err
		}
		l.say("upload: inspection alone %.2f s, upload %.2f s", i.Seconds(), u.Seconds())
		inspected, ours = append(inspected, i), append(ours, u)
	}
	return result{
		value: paired(inspected, ours, over), bound: 0.9, atLeast: true, unit: ratios(),
		samples: map[string][]float64{"inspection alone": seconds(inspected), "upload": seconds(ours)},
	}, nil
}

// upload publishes a file as a new version. Its digest is known, as it is to
// `module upload`, which inspects before it sends.
func (f *farm) upload(ctx context.Context, name string) (time.Duration, error) {
	id, version, err := f.module(ctx, "uploaded")
	if err != nil {
		return 0, err
	}
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	sum, err := sha256Of(file)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = f.client.Upload(ctx, client.NewUpload{Module: id, Version: version, Platform: module.HostPlatform(), SHA256: sum}, file, nil)
	return time.Since(began), err
}

// uploads sends 1 GiB of noise to the shared farm.
type uploads struct {
	farm  *farm
	noise noiseFile
	token string
}

// uploading prepares the noise once.
func (l *lab) uploading(ctx context.Context) (*uploads, error) {
	f, err := l.farm(ctx)
	if err != nil {
		return nil, err
	}
	if l.noise.name == "" {
		if l.noise, err = makeNoise(filepath.Join(l.dir, "noise.tar.gz"), transferred); err != nil {
			return nil, err
		}
	}
	token, err := f.token(ctx)
	return &uploads{farm: f, noise: l.noise, token: token}, err
}

// put sends the noise as bytes of an upload that is never finished, and removes it.
func (s *uploads) put(ctx context.Context) (took time.Duration, err error) {
	file, err := os.Open(s.noise.name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	began, err := s.begin(ctx, s.noise.size, s.noise.sha256)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	_, err = s.request(ctx, http.MethodPut, wire.UploadPath(began.ID), file, s.noise.size)
	took = time.Since(start)
	_, derr := s.request(ctx, http.MethodDelete, wire.UploadPath(began.ID), nil, 0)
	return took, errors.Join(err, derr)
}

func (s *uploads) begin(ctx context.Context, size int64, sum string) (began wire.Upload, err error) {
	id, version, err := s.farm.module(ctx, "uploaded")
	if err != nil {
		return began, err
	}
	what, err := json.Marshal(wire.NewUpload{
		ModuleID: id.String(), Version: version.String(), Platform: module.HostPlatform().String(), Size: size, SHA256: sum,
	})
	if err != nil {
		return began, err
	}
	text, err := s.request(ctx, http.MethodPost, wire.PathUploads, bytes.NewReader(what), int64(len(what)))
	if err != nil {
		return began, err
	}
	return began, json.Unmarshal(text, &began)
}

func (s *uploads) request(ctx context.Context, method, path string, body io.Reader, size int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.farm.URL()+path, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, strings.TrimSpace(string(text)))
	}
	return text, err
}
