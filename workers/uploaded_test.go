package workers_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// packSource packs files as a client does that uploads them.
func packSource(t *testing.T, files map[string]string) (source []byte, digest string) {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	for name, text := range files {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg, ModTime: time.Unix(1_600_000_000, 0)}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(buf.Bytes())
	return buf.Bytes(), hex.EncodeToString(sum[:])
}

// TestUploadedSource builds what was uploaded, in its folder, with modes kept and the time of its newest file.
func TestUploadedSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	source, digest := packSource(t, map[string]string{"sensor/make.sh": "#!/bin/sh\n" + makeOut + "\n", "shared/lib": "x"})
	w.farm.change(func() { w.farm.sources = map[string][]byte{digest: source} })
	uploaded := func(a *client.Assignment) {
		a.Build.Repo, a.Build.Commit, a.Build.Workdir, a.Token = "", digest, "sensor", ""
	}
	id := w.submit(uploaded, module.BuildSpec{Build: "env | grep SOURCE_DATE_EPOCH; cat ../shared/lib; ./make.sh"}, map[string]string{"of": "no use"})
	if got := w.outcome(id); got.Kind != client.OutcomeDone {
		t.Fatalf("outcome %+v\n%s", got, w.farm.log(id))
	}
	log := w.farm.log(id)
	for _, want := range []string{"[Fetch source]fetching the uploaded source " + digest, "SOURCE_DATE_EPOCH=1600000000\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the log:\n%s", want, log)
		}
	}

	w.farm.change(func() { w.farm.sources = nil })
	id = w.submit(uploaded, module.BuildSpec{Build: "true"}, map[string]string{"of": "no use at all"})
	if got := w.outcome(id); got.Kind != client.OutcomeFailed || !strings.Contains(got.Reason, "upload it again") {
		t.Errorf("source that is gone: %+v", got)
	}
}
