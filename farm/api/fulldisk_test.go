package api_test

import (
	"net/http"
	"strconv"
	"syscall"
	"testing"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/proto/wire"
)

// An upload that a full disk cuts off says so, and goes on where it was once there is room. The disk is
// really full: a file system of 512 KiB.
func TestUploadGoesOnAfterAFullDisk(t *testing.T) {
	t.Parallel()
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("this test mounts a small file system and may not: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	u := newUploader(t)
	folder, err := registry.NewFolder(small)
	if err != nil {
		t.Fatal(err)
	}
	u.farm.Registry.Blobs = folder
	t.Cleanup(func() { _ = folder.Close() }) // before the file system goes
	file := bigArchive(t, 2_000_000)
	begun := u.beginFile("1.0.0", file)
	path := wire.UploadPath(begun.ID)
	says := []string{"the disk of the farm's blob folder", "is full", "have its operator free some space"}
	u.want(http.StatusServiceUnavailable, http.MethodPut, path, file, nil, says...)
	res := u.want(http.StatusNoContent, http.MethodHead, path, nil, nil)
	at, err := strconv.Atoi(res.Header.Get(wire.HeaderOffset))
	if err != nil || at == 0 || at >= len(file) {
		t.Fatalf("%q of %d bytes are there", res.Header.Get(wire.HeaderOffset), len(file))
	}
	u.want(http.StatusConflict, http.MethodPost, wire.FinishPath(begun.ID), nil, nil, "send the rest")
	u.want(http.StatusNotFound, http.MethodGet, wire.DownloadPath("acme/widget", "1.0.0-linux-amd64"), nil, nil)

	if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	u.want(http.StatusNoContent, http.MethodPatch, path, file[at:], []string{wire.HeaderOffset, strconv.Itoa(at)})
	u.want(http.StatusOK, http.MethodPost, wire.FinishPath(begun.ID), nil, nil, hexDigest(file))
	if _, got := u.do(http.MethodGet, wire.DownloadPath("acme/widget", "1.0.0-linux-amd64"), nil); got != string(file) {
		t.Errorf("downloaded %d bytes of %d", len(got), len(file))
	}
}
