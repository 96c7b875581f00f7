package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

// world is a farm for one test.
type world struct {
	t *testing.T
	*farm
}

// onEach runs test with a farm on each database.
func onEach(t *testing.T, test func(w world)) {
	t.Helper()
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			test(world{t, newFarm(t, servers.Open(t, dialect))})
		})
	}
}

func version(t *testing.T, s string) module.Version {
	t.Helper()
	v, err := module.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// versions lists a module's versions, "!" behind the deprecated ones.
func (f *farm) versions(t *testing.T, m registry.Module) []string {
	t.Helper()
	versions, err := f.Versions(t.Context(), registry.ForFarm(), m.ID())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range versions {
		text := v.Version.String()
		if !v.Deprecated.IsZero() {
			text += "! " + v.Deprecated.Why
		}
		got = append(got, text)
	}
	return got
}

func TestDeprecateAndBack(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		m := f.module(t, "widget")
		for _, v := range []string{"1.0.0", "1.1.0", "2.0.0-rc.1"} {
			f.publish(t, f.release(t, m, v, v, nil))
		}
		latest := func() string {
			t.Helper()
			rel, err := f.Lookup(t.Context(), registry.ForFarm(), registry.Query{Package: "acme/widget", Version: "latest-linux-amd64"})
			if err != nil {
				t.Fatal(err)
			}
			return rel.Version.String()
		}
		if got := latest(); got != "1.1.0" {
			t.Errorf("latest is %s before", got)
		}
		d, err := f.Deprecate(t.Context(), f.acme.ID, m.ID(), version(t, "1.1.0"), "key-1", " loses data; use 1.0.0 ")
		if err != nil || d.Why != "loses data; use 1.0.0" || d.At.IsZero() {
			t.Fatalf("deprecation %+v, error %v", d, err)
		}
		if diff := cmp.Diff([]string{"1.0.0", "1.1.0! loses data; use 1.0.0", "2.0.0-rc.1"}, f.versions(t, m)); diff != "" {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
		if got := latest(); got != "1.0.0" {
			t.Errorf("latest is %s while 1.1.0 is deprecated", got)
		}
		if _, err := f.Lookup(t.Context(), registry.ForFarm(), registry.Query{Package: "acme/widget", Version: "1.1.0-linux-amd64"}); err != nil {
			t.Errorf("a deprecated version by its name: %v", err)
		}
		// Another platform may still join, and the deprecation stays.
		f.publish(t, f.release(t, m, "1.1.0", "1.1.0 arm", onARM64))
		if err := f.Undeprecate(t.Context(), f.acme.ID, m.ID(), version(t, "1.1.0"), "key-2"); err != nil {
			t.Fatal(err)
		}
		if got := latest(); got != "1.1.0" {
			t.Errorf("latest is %s after", got)
		}

		if _, err := f.Deprecate(t.Context(), f.acme.ID, m.ID(), module.Version{}, "key-1", "use acme:gadget"); err != nil {
			t.Fatal(err)
		}
		// Metadata that is updated later does not take it back.
		if _, err := f.UpdateModule(t.Context(), f.acme.ID, m.ID(), registry.Update{Visibility: module.VisibilityPublic, By: "key-3"}); err != nil {
			t.Fatal(err)
		}
		got, err := f.Module(t.Context(), registry.ForFarm(), m.ID())
		if err != nil || got.Deprecated.Why != "use acme:gadget" || got.Visibility != module.VisibilityPublic {
			t.Errorf("module %+v, error %v", got, err)
		}
		if err := f.Undeprecate(t.Context(), f.acme.ID, m.ID(), module.Version{}, "key-1"); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Module(t.Context(), registry.ForFarm(), m.ID()); err != nil || !got.Deprecated.IsZero() {
			t.Errorf("module %+v, error %v", got, err)
		}

		events, err := f.Events(t.Context(), f.acme.ID, m.ID(), 0)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]bool{}
		for _, e := range events {
			if e.At.IsZero() {
				t.Errorf("event without a time: %+v", e)
			}
			said[strings.Join([]string{e.Actor, string(e.Action), e.Version.String(), e.Detail}, "|")] = true
		}
		want := map[string]bool{
			"key-1|deprecated|1.1.0|loses data; use 1.0.0": true, "key-2|undeprecated|1.1.0|": true,
			"key-1|deprecated||use acme:gadget": true, "key-3|visibility||private to public": true, "key-1|undeprecated||": true,
		}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestDeprecateRefuses(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		m := f.module(t, "widget")
		f.publish(t, f.release(t, m, "1.0.0", "a", nil))
		public := f.module(t, "open")
		if _, err := f.UpdateModule(t.Context(), f.acme.ID, public.ID(), registry.Update{Visibility: module.VisibilityPublic}); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name    string
			org     string
			id      module.ID
			version string
			why     string
			want    error
			says    []string
		}{
			{"without a message", f.acme.ID, m.ID(), "1.0.0", " ", module.ErrInvalid, []string{"message", "empty", "say why"}},
			{"message of two lines", f.acme.ID, m.ID(), "1.0.0", "a\nb", module.ErrInvalid, []string{"message", "one line"}},
			{"message of 1001 characters", f.acme.ID, m.ID(), "1.0.0", strings.Repeat("ä", 1001), module.ErrInvalid, []string{"message", "1001", "1000"}},
			{"version that does not exist", f.acme.ID, m.ID(), "9.9.9", "why", module.ErrNotFound, []string{"acme:widget", "9.9.9", "it has 1.0.0"}},
			{"another organization's private module", f.plain.ID, m.ID(), "1.0.0", "why", module.ErrNotFound, []string{"acme:widget", "check the id"}},
			{"another organization's public module", f.plain.ID, public.ID(), "", "why", module.ErrForbidden, []string{"acme:open", "another organization", "use a key"}},
		}
		for _, tt := range tests {
			var v module.Version
			if tt.version != "" {
				v = version(t, tt.version)
			}
			_, err := f.Deprecate(t.Context(), tt.org, tt.id, v, "key-1", tt.why)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
			mustContain(t, err, tt.says...)
		}
		if diff := cmp.Diff([]string{"1.0.0"}, f.versions(t, m)); diff != "" {
			t.Errorf("a refused deprecation changed something (-want +got):\n%s", diff)
		}
		if events, err := f.Events(t.Context(), f.acme.ID, m.ID(), 0); err != nil || len(events) != 0 {
			t.Errorf("events %v, error %v", events, err)
		}
	})
}
