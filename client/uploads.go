package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// NewUpload says what an archive is to become.
type NewUpload struct {
	Module   module.ID
	Version  module.Version
	Platform module.Platform
	// Tags are key:value pairs that a machine must have, in any order.
	Tags []string
	// Force accepts an entrypoint that is missing or not executable.
	Force bool
	// SHA256 is the hex digest of the archive where it is known; otherwise the archive is read for it.
	SHA256 string
}

// Uploaded is an archive that was published.
type Uploaded struct {
	Archive
	// URL is where it can be downloaded.
	URL string
}

// Upload publishes an archive. It goes on where it was after the connection broke or the farm was
// started anew, and after an interruption of this program, too, when it is called again with the same
// archive. progress, which may be nil, is told how many bytes the farm has or is being sent. A refused
// archive is an Error with Faults, and WrongPlatform when it was built for another platform. It does
// not close file.
func (c *Client) Upload(ctx context.Context, u NewUpload, file io.ReadSeeker, progress func(sent, total int64)) (Uploaded, error) {
	done, err := c.send(ctx, wire.NewUpload{
		ModuleID: u.Module.String(), Version: u.Version.String(), Platform: u.Platform.String(), PlatformTags: u.Tags,
		Force: u.Force, SHA256: u.SHA256,
	}, "", file, progress)
	if err != nil {
		return Uploaded{}, err
	}
	return Uploaded{Archive: archiveFrom(done.Archive), URL: done.URL}, nil
}

// send runs an upload to its end.
func (c *Client) send(ctx context.Context, n wire.NewUpload, lease string, file io.ReadSeeker, progress func(sent, total int64)) (wire.Upload, error) {
	var err error
	if n.Size, err = file.Seek(0, io.SeekEnd); err != nil {
		return wire.Upload{}, fmt.Errorf("find the size of the archive: %w", err)
	}
	if n.SHA256 == "" {
		if n.SHA256, err = digestOf(file); err != nil {
			return wire.Upload{}, err
		}
	}
	s := &sender{c: c, what: n, lease: lease, file: file, progress: progress}
	err = resume(ctx, func(ctx context.Context) (bool, error) {
		before := s.furthest
		err := s.once(ctx)
		return s.furthest > before, err
	})
	return s.end, err
}

func digestOf(file io.ReadSeeker) (string, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("rewind the archive: %w", err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("read the archive: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// mostMisses is how often in a row an upload may turn out to stand elsewhere than was thought, or to
// be gone, before that is an error.
const mostMisses = 5

// sender sends one archive.
type sender struct {
	c        *Client
	what     wire.NewUpload
	lease    string
	file     io.ReadSeeker
	progress func(sent, total int64)
	furthest int64 // the most bytes that any attempt sent
	id       string
	silence  *time.Timer // ends a request that stands still
	misses   int
	end      wire.Upload
}

// once begins or goes on, sends what is missing, and finishes.
func (s *sender) once(ctx context.Context) error {
	for {
		err := s.attempt(ctx)
		s.misses++
		switch {
		case err == nil || s.misses > mostMisses:
			return err
		case errors.Is(err, module.ErrNotFound) && s.id != "":
			s.id = "" // the farm has lost it, or took it for abandoned
		case errors.Is(err, errElsewhere):
		default:
			return err
		}
	}
}

// errElsewhere is an upload that goes on at another place than was thought.
var errElsewhere = errors.New("the upload goes on elsewhere")

func (s *sender) attempt(ctx context.Context) error {
	at, err := s.offset(ctx)
	if err != nil {
		return err
	}
	if at < s.what.Size {
		if err := s.put(ctx, at); err != nil {
			return err
		}
	}
	s.told(s.what.Size)
	return s.finish(ctx)
}

func (s *sender) told(n int64) {
	if n > s.furthest {
		s.furthest, s.misses = n, 0
	}
	if s.silence != nil {
		s.silence.Reset(transferSilence)
	}
	if s.progress != nil {
		s.progress(n, s.what.Size)
	}
}

// offset begins the upload, or asks where it stands.
func (s *sender) offset(ctx context.Context) (int64, error) {
	if s.id == "" {
		body, err := json.Marshal(s.what)
		if err != nil {
			return 0, fmt.Errorf("begin the upload: %w", err)
		}
		var begun wire.Upload
		err = s.call(ctx, http.MethodPost, wire.PathUploads, body, &begun)
		s.id = begun.ID
		return begun.Offset, err
	}
	var at int64
	err := s.request(ctx, http.MethodHead, wire.UploadPath(s.id), nil, 0, nil, func(res *http.Response) error {
		var err error
		if at, err = strconv.ParseInt(res.Header.Get(wire.HeaderOffset), 10, 64); err != nil {
			return fmt.Errorf("the farm does not say where upload %s goes on; does a proxy drop the header %s? (%w)", s.id, wire.HeaderOffset, err)
		}
		return nil
	})
	return at, err
}

// put sends the archive from an offset on.
func (s *sender) put(ctx context.Context, at int64) error {
	if _, err := s.file.Seek(at, io.SeekStart); err != nil {
		return fmt.Errorf("rewind the archive: %w", err)
	}
	body := &upload{file: s.file, n: at, sent: s.told}
	// The transport may still read the body after it returned; the file is only ours again once the
	// body is closed.
	defer body.Close()
	headers := http.Header{}
	headers.Set("Content-Type", wire.TypeArchive)
	headers.Set("Expect", "100-continue")
	headers.Set(wire.HeaderOffset, strconv.FormatInt(at, 10))
	err := s.request(ctx, http.MethodPut, wire.UploadPath(s.id), body, s.what.Size-at, headers, nil)
	if errors.Is(err, module.ErrConflict) && !errors.Is(err, ErrLeaseLost) {
		return fmt.Errorf("%w: %w", errElsewhere, err)
	}
	return err
}

// finish asks for the end until the farm has looked through the archive.
func (s *sender) finish(ctx context.Context) error {
	for {
		var now wire.Upload
		if err := s.call(ctx, http.MethodPost, wire.FinishPath(s.id), []byte{}, &now); err != nil {
			return err
		}
		if now.Archive != nil {
			s.end = now
			return nil
		}
		s.told(s.what.Size)
	}
}

// call makes a small request with a JSON body, and reads the answer.
func (s *sender) call(ctx context.Context, method, path string, body []byte, into any) error {
	headers := http.Header{}
	headers.Set("Content-Type", "application/json")
	return s.request(ctx, method, path, bytes.NewReader(body), int64(len(body)), headers, func(res *http.Response) error {
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			return fmt.Errorf("read the farm's answer about the upload: %w", err)
		}
		return nil
	})
}

// request makes one request and hands a success to read.
func (s *sender) request(parent context.Context, method, path string, body io.Reader, size int64, headers http.Header, read func(*http.Response) error) error {
	ctx, silence, done := watch(parent, transferSilence)
	defer done()
	s.silence = silence
	req, err := http.NewRequestWithContext(ctx, method, s.c.base.String()+path, body)
	if err != nil {
		return fmt.Errorf("send the archive: %w", err)
	}
	if headers != nil {
		req.Header = headers
	}
	req.ContentLength = size
	if err := s.c.header(ctx, req); err != nil {
		return s.c.fromRPC(parent, err)
	}
	if s.lease != "" {
		req.Header.Set(wire.HeaderLease, s.lease)
	}
	res, err := s.c.http.Do(req)
	if err != nil {
		return s.c.unreachable(parent, err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fromHTTP(res)
	}
	if read == nil {
		return nil
	}
	return read(res)
}

// upload is a request body that stops reading its file for good when it is closed.
type upload struct {
	mu     sync.Mutex
	file   io.Reader
	closed bool
	n      int64
	sent   func(n int64)
}

// Read reads the file.
func (u *upload) Read(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return 0, io.ErrClosedPipe
	}
	n, err := u.file.Read(b)
	u.n += int64(n)
	u.sent(u.n)
	return n, err
}

// Close ends reading; it waits for a Read that is under way.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	return nil
}
