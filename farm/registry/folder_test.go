package registry_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

func newFolder(t *testing.T, dir string) *registry.Folder {
	t.Helper()
	folder, err := registry.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func upload(t *testing.T, folder *registry.Folder, content []byte) registry.Upload {
	t.Helper()
	u, err := folder.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(u, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet", "there")
	folder := newFolder(t, dir)
	u := upload(t, folder, []byte("bytes"))
	if got := files(t, filepath.Join(dir, "objects")); len(got) != 0 {
		t.Errorf("before Commit there are %q", got)
	}
	if err := u.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := u.Key()
	if err := u.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	object, err := folder.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(object.Content)
	if err != nil || string(content) != "bytes" || object.Size != 5 || object.ModTime.IsZero() {
		t.Errorf("content %q, size %d, stored at %v, error %v", content, object.Size, object.ModTime, err)
	}
	if err := object.Close(); err != nil {
		t.Error(err)
	}
	if _, err := folder.Open(t.Context(), key); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("a deleted key: %v, want ErrNotFound", err)
	}
	if err := folder.Delete(t.Context(), key); err != nil {
		t.Errorf("deleting twice: %v", err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestFolderAbort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	u := upload(t, newFolder(t, dir), []byte("bytes"))
	for range 2 {
		if err := u.Abort(); err != nil {
			t.Error(err)
		}
	}
	if _, err := u.Write([]byte("more")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Abort: %v, want os.ErrClosed", err)
	}
	if err := u.Commit(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Commit after Abort: %v, want os.ErrClosed", err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// An upload whose bytes another process removed in its last moment is not there, so that its sender begins anew.
func TestFolderCommitOfWhatIsGone(t *testing.T) {
	t.Parallel()
	folder := newFolder(t, t.TempDir())
	u := upload(t, folder, []byte("bytes"))
	if err := folder.Delete(t.Context(), u.Key()); err != nil {
		t.Fatal(err)
	}
	err := u.Commit(t.Context())
	if !errors.Is(err, module.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	mustContain(t, err, u.Key(), "send them again")
	if err := u.Abort(); err != nil {
		t.Error(err)
	}
}

func TestFolderOpensItsOwnKeysOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := newFolder(t, dir)
	u := upload(t, folder, []byte("secret"))
	defer u.Abort() //nolint:errcheck // the folder is removed with the test
	underWay := filepath.Base(files(t, dir)[0])
	if err := os.WriteFile(filepath.Join(dir, "farm.key"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", ".", "..", "../farm.key", "../../farm.key", "/etc/passwd", underWay, uuid.NewString(), strings.Repeat("../", 12)} {
		if _, err := folder.Open(t.Context(), key); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("%q: %v, want ErrNotFound", key, err)
		}
		if key == underWay {
			continue
		}
		if err := folder.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
	}
	if diff := cmp.Diff([]string{"farm.key", "tmp/" + underWay}, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestFolderKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := newFolder(t, dir)
	young := upload(t, folder, []byte("under way"))
	old := upload(t, folder, []byte("left behind"))
	stored := upload(t, folder, []byte("stored"))
	if err := errors.Join(young.Leave(), old.Leave(), stored.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	strange := filepath.Join(dir, "tmp", "strange")
	if err := os.WriteFile(strange, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	for _, name := range []string{strange, filepath.Join(dir, "tmp", old.Key()), filepath.Join(dir, "objects", stored.Key()[:2], stored.Key())} {
		if err := os.Chtimes(name, yesterday, yesterday); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	err := folder.Keys(t.Context(), time.Now().Add(-24*time.Hour), func(key string) error {
		got = append(got, key)
		return folder.Delete(t.Context(), key)
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{stored.Key(), old.Key()}, got); diff != "" {
		t.Errorf("old keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"tmp/" + young.Key(), "tmp/strange"}, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	readOnly := filepath.Join(dir, "read-only")
	if err := os.Mkdir(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	folders := []string{file, filepath.Join(file, "below"), "/proc/modfarm"}
	if os.Getuid() != 0 { // root writes everywhere
		folders = append(folders, readOnly)
	}
	for _, folder := range folders {
		_, err := registry.NewFolder(folder)
		if err == nil {
			t.Errorf("%s: no error", folder)
		}
		mustContain(t, err, folder, "make it writable", "--blobs")
	}
}

// A disk that is really full: a file system of 256 KiB.
func TestReceiveOnAFullDisk(t *testing.T) {
	t.Parallel()
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("this test mounts a small file system and may not: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	f := newFarm(t, servers.Open(t, "sqlite"))
	folder, err := registry.NewFolder(small)
	if err != nil {
		t.Fatal(err)
	}
	f.Blobs = folder
	body, _ := packed(t, 1<<20)
	_, err = f.Receive(t.Context(), bytes.NewReader(body), expect())
	if !errors.Is(err, module.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	mustContain(t, err, small, "full", "free some space")
	if got := files(t, small); len(got) != 0 {
		t.Errorf("left on the full disk: %q", got)
	}
	fits, _ := packed(t, 1000)
	if _, err := f.Receive(t.Context(), bytes.NewReader(fits), expect()); err != nil {
		t.Errorf("a small archive afterwards: %v", err)
	}
	if err := folder.Close(); err != nil {
		t.Error(err)
	}
}

// killMe is the environment variable that makes this test binary a farm that
// receives an archive into the folder it names, until it is killed.
const killMe = "REGISTRY_TEST_RECEIVE_INTO"

// A farm that is killed while an archive comes in leaves neither a row nor an
// object, and the next day's collection removes what was written.
func TestKilledInTheMiddleOfAnUpload(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(killMe); dir != "" {
		receiveUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledInTheMiddleOfAnUpload$")
	cmd.Env = append(os.Environ(), killMe+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	body, _ := packed(t, 4<<20)
	if _, err := stdin.Write(body[:len(body)/2]); err != nil { // returns once the other side has read most of it
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	blobs := filepath.Join(dir, "blobs")
	left := files(t, blobs)
	if len(left) != 1 || !strings.HasPrefix(left[0], "tmp/") {
		t.Fatalf("a killed farm left %q, want one file in tmp", left)
	}
	s := storetest.Reopen(t, filepath.Join(dir, "farm.db"))
	if _, err := s.Blob(t.Context(), digest(body)); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("row: %v, want ErrNotFound", err)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(filepath.Join(blobs, left[0]), yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	next := &registry.Registry{Store: s, Blobs: newFolder(t, blobs)}
	if done, err := next.Collect(t.Context()); err != nil || done.Strays != 1 {
		t.Errorf("collected %+v, %v", done, err)
	}
	if got := files(t, blobs); len(got) != 0 {
		t.Errorf("the next day's collection left %q", got)
	}
}

func receiveUntilKilled(t *testing.T, dir string) {
	t.Helper()
	// Not in a folder of this process: nobody would be left to remove it.
	s := storetest.Reopen(t, filepath.Join(dir, "farm.db"))
	f := &registry.Registry{Store: s, Blobs: newFolder(t, filepath.Join(dir, "blobs"))}
	_, err := f.Receive(t.Context(), os.Stdin, expect())
	t.Fatalf("Receive ended: %v", err)
}
