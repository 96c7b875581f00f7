package registry_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store"
	"github.com/modfarm/modfarm/module"
)

// farm is a registry on real parts, with two organizations.
type farm struct {
	*registry.Registry
	store *store.Store
	dir   string // of the blobs
	acme  account.Org
	plain account.Org // without a namespace
}

func newFarm(t *testing.T, s *store.Store) *farm {
	t.Helper()
	dir := t.TempDir()
	folder, err := registry.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	})
	accounts := &account.Accounts{Store: s, Secret: account.NewFarmKey()}
	f := &farm{Registry: &registry.Registry{Store: s, Blobs: folder}, store: s, dir: dir}
	acme, err := accounts.CreateOrg(t.Context(), "Acme", "acme")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := accounts.CreateOrg(t.Context(), "Plain", "")
	if err != nil {
		t.Fatal(err)
	}
	f.acme, f.plain = acme.Org, plain.Org
	return f
}

// module makes a module of the organization acme with a valid update applied.
func (f *farm) module(t *testing.T, name string) registry.Module {
	t.Helper()
	m, err := f.CreateModule(t.Context(), f.acme.ID, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// blob stores a row for bytes that only the database knows, and returns their digest.
func (f *farm) blob(t *testing.T, content string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	now := time.Now().UTC().Truncate(time.Millisecond)
	_, err := f.store.PutBlob(t.Context(), registry.Blob{
		SHA256: digest, Key: uuid.NewString(), Size: int64(len(content)), CRC32C: 0xfedcba98,
		TarSHA256: strings.Repeat("0", 64), CreatedAt: now, ReceivedAt: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// release is one for linux/amd64 of commit "c1" unless change says otherwise.
func (f *farm) release(t *testing.T, m registry.Module, version, content string, change func(*module.Release)) module.Release {
	t.Helper()
	v, err := module.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	rel := module.Release{
		ID: m.ID(), Version: v, Platform: linuxAMD64(), Commit: strings.Repeat("c1", 20),
		BuildID: uuid.NewString(), Strategy: "native", SHA256: f.blob(t, content), Entrypoint: "bin/run",
	}
	if change != nil {
		change(&rel)
	}
	return rel
}

func (f *farm) publish(t *testing.T, releases ...module.Release) {
	t.Helper()
	if err := f.Publish(t.Context(), releases); err != nil {
		t.Fatal(err)
	}
}

func linuxAMD64() module.Platform { return module.Platform{OS: "linux", Arch: "amd64"} }
func linuxARM64() module.Platform { return module.Platform{OS: "linux", Arch: "arm64"} }

func onARM64(rel *module.Release)   { rel.Platform = linuxARM64() }
func ofCommit2(rel *module.Release) { rel.Commit = strings.Repeat("c2", 20) }
func uploaded(rel *module.Release)  { rel.Commit, rel.BuildID, rel.Strategy = "", "", "" }

// files lists every file under a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// failing is a reader that yields content and then an error.
type failing struct {
	content *bytes.Reader
	err     error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.content.Len() > 0 {
		return f.content.Read(p)
	}
	return 0, f.err
}

func mustContain(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
