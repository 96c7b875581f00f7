package client_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	published := w.farm.Publish(t, w.id, "1.0.0", "linux/any", "distro:debian")
	w.farm.Publish(t, w.id, "1.1.0", "linux/amd64")
	req := client.ResolveRequest{Module: w.id, Machine: module.Machine{Platform: arm64, Tags: []string{"cuda:12", "distro:debian"}}, Explain: true}
	got, err := w.user.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	ignore := cmp.Options{
		cmpopts.IgnoreUnexported(client.Resolution{}), cmpopts.IgnoreFields(client.ResolvedUpload{}, "URL", "Size", "PackageVersion", "PublishedAt"),
		cmp.Comparer(func(a, b module.Selector) bool { return a.String() == b.String() }),
	}
	one, two := published.Version, parse(t, "1.1.0")
	anyLinux := module.Platform{OS: "linux", Arch: "any"}
	want := client.Resolution{
		Module: w.id, Selector: module.Latest(), Platform: arm64, Tags: req.Machine.Tags,
		Upload: &client.ResolvedUpload{
			Version: one, Platform: anyLinux, Tags: []string{"distro:debian"}, PackageID: "acme/widget", SHA256: published.SHA256, Entrypoint: "run.sh",
		},
		Candidates: []client.ResolveCandidate{
			{Version: one, Platform: anyLinux, Tags: []string{"distro:debian"}},
			{Version: two, Platform: amd64, Tags: []string{}, Refused: module.RefusedPlatform, Reason: "is for linux/amd64, and the machine is linux/arm64"},
		},
	}
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Errorf("resolution (-want +got):\n%s", diff)
	}
	var file bytes.Buffer
	if err := w.user.Download(t.Context(), &file, got.Upload.Package(), nil); err != nil || int64(file.Len()) != got.Upload.Size {
		t.Errorf("download what was resolved: %d bytes of %d, %v", file.Len(), got.Upload.Size, err)
	}

	req.Known = &got
	again, err := w.user.Resolve(t.Context(), req)
	if err != nil || again.Upload != got.Upload {
		t.Errorf("the known answer is not taken: %v, %v", again, err)
	}
	req.Selector, req.Explain, req.Known = module.Exactly(two), false, nil
	_, err = w.user.Resolve(t.Context(), req)
	if !errors.Is(err, module.ErrNotFound) {
		t.Errorf("nothing fits: %v", err)
	}
	req.Machine.Platform = anyLinux
	_, err = w.user.Resolve(t.Context(), req)
	if faults, ok := errors.AsType[module.Faults](err); !ok || len(faults) != 1 || faults[0].Path != "platform" {
		t.Errorf("a wildcard: %v", err)
	}
}

func parse(t *testing.T, s string) module.Version {
	t.Helper()
	v, err := module.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
