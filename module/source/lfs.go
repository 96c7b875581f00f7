package source

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
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	pointerStart = "version https://git-lfs.github.com/spec/v1"
	maxPointer   = 1024 // bytes of a pointer file, as Git LFS has it
	maxBatch     = 100  // objects in one question
	maxAnswer    = 4 << 20
	lfsType      = "application/vnd.git-lfs+json"
)

// pointer stands in the tree for a large file.
type pointer struct {
	path string
	oid  string
	size int64
}

// largeFiles replaces the pointers of Git LFS by the files. It speaks the protocol itself: the git-lfs program
// follows the addresses that a server answers with wherever they lead.
func (s *session) largeFiles(ctx context.Context, dir string) error {
	pointers, err := s.pointers(ctx, dir)
	if err != nil || len(pointers) == 0 {
		return err
	}
	endpoint, err := s.largeEndpoint(ctx, dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the work tree: %w", err)
	}
	defer root.Close()
	client := s.client()
	defer client.CloseIdleConnections()
	for some := range slices.Chunk(pointers, maxBatch) {
		objects, err := s.batch(ctx, client, endpoint, some)
		if err != nil {
			return err
		}
		paths := []string{"update-index", "--assume-unchanged", "--"} // or git would call the tree changed
		for _, p := range some {
			if err := s.download(ctx, client, root, p, objects[p.oid]); err != nil {
				return err
			}
			paths = append(paths, p.path)
		}
		if _, err := s.run(ctx, dir, paths...); err != nil {
			return err
		}
	}
	return nil
}

// pointers lists the files that are pointers and that .gitattributes gives to Git LFS.
func (s *session) pointers(ctx context.Context, dir string) ([]pointer, error) {
	if !mayUseLargeFiles(ctx, dir) {
		return nil, nil
	}
	uses, err := s.run(ctx, dir, "grep", "-l", "-I", "-e", `^[^#].*filter=lfs`, "--", ":(glob)**/.gitattributes")
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil || uses == "": // exit status 1: nothing found
		return nil, nil
	}
	list, err := s.run(ctx, dir, "grep", "-l", "-z", "-I", "-F", "-e", pointerStart)
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil: // exit status 1: nothing found
		return nil, nil
	case len(list) >= maxOutput:
		return nil, s.largeError(Refused, "it keeps too many files in Git LFS", "split the repository")
	}
	var found []pointer
	for some := range slices.Chunk(strings.Split(strings.Trim(list, "\x00"), "\x00"), maxBatch) {
		attributes, err := s.run(ctx, dir, append([]string{"check-attr", "-z", "filter", "--"}, some...)...)
		if err != nil {
			return nil, err
		}
		for triple := range slices.Chunk(strings.Split(attributes, "\x00"), 3) {
			if len(triple) < 3 || triple[2] != "lfs" {
				continue
			}
			if p, ok := readPointer(dir, triple[0]); ok {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// readPointer reads a small regular file as a pointer.
func readPointer(dir, path string) (pointer, bool) {
	name := filepath.Join(dir, path)
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxPointer {
		return pointer{}, false
	}
	text, err := os.ReadFile(name)
	if err != nil || !strings.HasPrefix(string(text), pointerStart+"\n") {
		return pointer{}, false
	}
	p := pointer{path: path, size: -1}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "oid":
			p.oid = strings.TrimPrefix(value, "sha256:")
		case "size":
			if p.size, err = strconv.ParseInt(value, 10, 64); err != nil {
				return pointer{}, false
			}
		}
	}
	return p, len(p.oid) == 2*sha256.Size && isCommit(p.oid) && p.size >= 0
}

// largeEndpoint is where the repository's large files are asked for: beside it, unless .lfsconfig names another
// place, which has to be as good as a repository's own address.
func (s *session) largeEndpoint(ctx context.Context, dir string) (string, error) {
	own := strings.TrimSuffix(s.target.url, "/") + "/info/lfs"
	if !strings.HasSuffix(s.target.url, ".git") {
		own = strings.TrimSuffix(s.target.url, "/") + ".git/info/lfs"
	}
	const name = ".lfsconfig"
	if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
		return own, nil //nolint:nilerr // there is none
	}
	for _, key := range []string{"lfs.url", "remote.origin.lfsurl"} {
		address, err := s.run(ctx, dir, "config", "--file", name, "--no-includes", "--get", key)
		if err != nil || strings.TrimSpace(address) == "" {
			continue // exit status 1: not set
		}
		t, err := s.checkPart(ctx, strings.TrimSuffix(address, "\n"))
		if err != nil {
			return "", fmt.Errorf("%s: %s: %w", name, key, err)
		}
		return strings.TrimSuffix(t.url, "/"), nil
	}
	return own, nil
}

// object is what a server says about one large file.
type object struct {
	OID     string `json:"oid"`
	Size    int64  `json:"size"`
	Actions struct {
		Download struct {
			Href   string            `json:"href"`
			Header map[string]string `json:"header"`
		} `json:"download"`
	} `json:"actions,omitzero"`
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error,omitzero"`
}

// batch asks where some large files are.
func (s *session) batch(ctx context.Context, client *http.Client, endpoint string, some []pointer) (map[string]object, error) {
	question := map[string]any{"operation": "download", "transfers": []string{"basic"}, "hash_algo": "sha256"}
	var wanted []object
	for _, p := range some {
		wanted = append(wanted, object{OID: p.oid, Size: p.size})
	}
	question["objects"] = wanted
	body, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("ask for large files: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/objects/batch", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask for large files: %w", err)
	}
	req.Header.Set("Content-Type", lfsType)
	req.Header.Set("Accept", lfsType)
	if strings.HasPrefix(endpoint, strings.TrimSuffix(strings.TrimSuffix(s.target.url, "/"), ".git")+".git/") {
		s.authorize(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, s.largeFault(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, s.largeStatus(resp.StatusCode)
	}
	var answer struct {
		Objects []object `json:"objects"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, s.largeError(Unreachable, "its server does not speak the protocol of Git LFS", "check that it keeps large files, then start the build again")
	}
	objects := map[string]object{}
	for _, o := range answer.Objects {
		objects[o.OID] = o
	}
	return objects, nil
}

// download puts one large file in the place of its pointer, if it is the one that the pointer means.
func (s *session) download(ctx context.Context, client *http.Client, root *os.Root, p pointer, o object) (err error) {
	href := o.Actions.Download.Href
	if href == "" {
		return s.largeError(NotFound, "the large file "+p.path+" is not on the server", "push it (git lfs push --all), then start the build again")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, nil)
	if err != nil {
		return s.largeError(Refused, "the server answers with an address that is none for the large file "+p.path, "ask the server's owner")
	}
	for name, value := range o.Actions.Download.Header {
		req.Header.Set(name, value)
	}
	if s.sameServer(req) && req.Header.Get("Authorization") == "" {
		s.authorize(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		return s.largeFault(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s.largeStatus(resp.StatusCode)
	}
	file, err := root.OpenFile(p.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("write a large file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(resp.Body, p.size+1))
	if err != nil {
		return s.largeFault(ctx, err)
	}
	if n != p.size || hex.EncodeToString(sum.Sum(nil)) != p.oid {
		return s.largeError(Refused, "the server has other bytes for the large file "+p.path+" than its pointer means", "push it again (git lfs push --all)")
	}
	return nil
}
