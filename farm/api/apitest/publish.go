package apitest

import (
	"bytes"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// Publish makes an upload of a module of the farm public, without a build. Its archive holds a script.
func (f *Farm) Publish(tb testing.TB, id module.ID, version, platform string, tags ...string) module.Release {
	tb.Helper()
	v, err := module.ParseVersion(version)
	must(tb, err)
	p, err := module.ParsePlatform(platform)
	must(tb, err)
	data := Archive(tb, Member{Name: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\n# " + version + " " + platform + "\n")})
	report, err := f.Registry.Receive(tb.Context(), bytes.NewReader(data), archive.Expect{Entrypoint: "run.sh", Platform: p})
	must(tb, err)
	rel := module.Release{ID: id, Version: v, Platform: p, Tags: tags, SHA256: report.SHA256, Entrypoint: "run.sh"}
	must(tb, f.Registry.Publish(tb.Context(), []module.Release{rel}))
	return rel
}
