package archive_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

func TestReadFiles(t *testing.T) {
	t.Parallel()
	data := makeArchive(t,
		file("./meta.json", "top"), file("sub/meta.json", "below"), file("sub/big", "0123456789"), symlink("link", "meta.json"))
	read := func(most int64, names ...string) (map[string][]byte, error) {
		return archive.ReadFiles(t.Context(), bytes.NewReader(data), names, most, archive.Limits{})
	}
	got, err := read(9, "meta.json", "sub/meta.json", "link", "absent")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"meta.json": []byte("top"), "sub/meta.json": []byte("below")}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	var refused *archive.Refused
	if _, err := read(9, "sub/big"); !errors.As(err, &refused) || !errors.Is(err, module.ErrInvalid) {
		t.Errorf("a file that is too big: %v", err)
	}
	if _, err := archive.ReadFiles(t.Context(), bytes.NewReader(data[:len(data)/2]), []string{"absent"}, 9, archive.Limits{}); !errors.As(err, &refused) {
		t.Errorf("half an archive: %v", err)
	}
}
