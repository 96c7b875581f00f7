package registry_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	build "github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

func (f *farm) delete(t *testing.T, m registry.Module, target registry.Target) error {
	t.Helper()
	_, err := f.Delete(t.Context(), f.acme.ID, m.ID(), target, "key-1")
	return err
}

func TestADeletedNumberIsNeverUsedAgain(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		m := f.module(t, "widget")
		v1 := f.release(t, m, "1.0.0", "a", nil)
		f.publish(t, v1)
		f.publish(t, f.release(t, m, "2.0.0", "b", nil))
		if err := f.delete(t, m, registry.Target{Version: v1.Version}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"2.0.0"}, f.versions(t, m)); diff != "" {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
		for name, rel := range map[string]module.Release{
			"the same bytes":   v1,
			"other bytes":      f.release(t, m, "1.0.0", "c", nil),
			"another platform": f.release(t, m, "1.0.0", "d", onARM64),
		} {
			err := f.Publish(t.Context(), []module.Release{rel})
			if !errors.Is(err, module.ErrConflict) {
				t.Errorf("%s: %v, want ErrConflict", name, err)
			}
			mustContain(t, err, "1.0.0", "was deleted on "+time.Now().UTC().Format("2006-"), "key-1", "choose a new version")
		}
		if err := f.delete(t, m, registry.Target{Version: v1.Version}); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		if _, err := f.Deprecate(t.Context(), f.acme.ID, m.ID(), v1.Version, "key-1", "why"); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("deprecated after it was deleted: %v", err)
		}
	})
}

func TestDeleteOnePlatform(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		m := f.module(t, "widget")
		amd := f.release(t, m, "1.0.0", "a", nil)
		f.publish(t, amd)
		f.publish(t, f.release(t, m, "1.0.0", "b", onARM64))
		f.publish(t, f.release(t, m, "1.0.0", "c", func(rel *module.Release) { rel.Tags = []string{"cuda:true"} }))
		gone, err := f.Delete(t.Context(), f.acme.ID, m.ID(), registry.Target{Version: amd.Version, Platform: linuxAMD64()}, "key-1")
		if err != nil || len(gone) != 2 {
			t.Fatalf("%d releases are gone, error %v; want both of linux/amd64", len(gone), err)
		}
		err = f.Publish(t.Context(), []module.Release{amd})
		if !errors.Is(err, module.ErrConflict) {
			t.Errorf("published again: %v", err)
		}
		mustContain(t, err, "1.0.0", "linux/amd64", "was deleted on", "choose a new version")
		// What was not deleted can still be added to.
		f.publish(t, f.release(t, m, "1.0.0", "d", func(rel *module.Release) { rel.Platform = module.Platform{OS: "linux", Arch: "arm32v7"} }))
		err = f.delete(t, m, registry.Target{Version: amd.Version, Platform: linuxAMD64()})
		if !errors.Is(err, module.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		mustContain(t, err, "linux/amd64", "it has")
		// With its last upload the version goes.
		for _, p := range []module.Platform{linuxARM64(), {OS: "linux", Arch: "arm32v7"}} {
			if err := f.delete(t, m, registry.Target{Version: amd.Version, Platform: p}); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.versions(t, m); len(got) != 0 {
			t.Errorf("versions %v", got)
		}
		err = f.Publish(t.Context(), []module.Release{f.release(t, m, "1.0.0", "e", func(rel *module.Release) { rel.Platform = module.Platform{OS: "any", Arch: "any"} })})
		if !errors.Is(err, module.ErrConflict) {
			t.Errorf("published into a version that is gone: %v", err)
		}
	})
}

func TestDeleteAModule(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		m := f.module(t, "widget")
		rel := f.release(t, m, "1.0.0", "a", nil)
		f.publish(t, rel)
		if err := f.delete(t, m, registry.Target{}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Module(t.Context(), registry.ForFarm(), m.ID()); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("the module is found: %v", err)
		}
		if list, err := f.Modules(t.Context(), f.acme.ID); err != nil || len(list) != 0 {
			t.Errorf("the module is listed: %v, %v", list, err)
		}
		if err := f.Publish(t.Context(), []module.Release{rel}); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("published into it: %v", err)
		}
		// The name is free for its organization; the numbers stay used.
		again := f.module(t, "Widget")
		if again.Visibility != module.VisibilityPrivate || again.Name != "Widget" {
			t.Errorf("made again: %+v", again)
		}
		if got := f.versions(t, again); len(got) != 0 {
			t.Errorf("versions came back: %v", got)
		}
		rel.ID = again.ID()
		if err := f.Publish(t.Context(), []module.Release{rel}); !errors.Is(err, module.ErrConflict) {
			t.Errorf("a number came back with the name: %v", err)
		}
		f.publish(t, f.release(t, again, "1.0.1", "b", nil))
		events, err := f.Events(t.Context(), f.acme.ID, again.ID(), 10)
		if err != nil || len(events) != 1 || events[0].Action != registry.ActionDeleted || events[0].Detail != "the module with 1 uploads" {
			t.Errorf("events %+v, error %v", events, err)
		}
	})
}

func TestInUse(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		f.Now = func() time.Time { return now }
		m := f.module(t, "widget")
		v1, v2 := f.release(t, m, "1.0.0", "a", nil), f.release(t, m, "2.0.0", "b", nil)
		f.publish(t, v1)
		f.publish(t, v2)
		accounts := &account.Accounts{Store: f.store, Secret: account.NewFarmKey()}
		truck, _, err := accounts.CreateKey(t.Context(), f.acme.ID, account.KeySpec{Name: "truck-7", Role: account.RoleMachine})
		if err != nil {
			t.Fatal(err)
		}
		person := registry.Consumer{OrgID: f.acme.ID, KeyID: uuid.NewString()}
		machine := registry.Consumer{OrgID: f.acme.ID, KeyID: truck.ID, Machine: true}
		stranger := registry.Consumer{OrgID: f.plain.ID, KeyID: uuid.NewString()}

		// A person of the organization who looks at it is no use.
		f.Used(t.Context(), person, v1)
		f.Used(t.Context(), machine, v2)
		err = f.delete(t, m, registry.Target{Version: v2.Version})
		if !errors.Is(err, module.ErrConflict) {
			t.Errorf("deleted while a machine uses it: %v", err)
		}
		mustContain(t, err, "acme:widget@2.0.0", "truck-7", "2026-11-01", "linux/amd64", "modfarm module deprecate acme:widget@2.0.0")
		now = now.Add(24 * time.Hour)
		f.Used(t.Context(), stranger, v2)
		f.Used(t.Context(), machine, v2)
		err = f.delete(t, m, registry.Target{})
		mustContain(t, err, "truck-7, another organization", "2026-11-02", "modfarm module deprecate acme:widget`")
		if strings.Contains(err.Error(), f.plain.ID) || strings.Contains(err.Error(), "Plain") {
			t.Errorf("%v names the other organization", err)
		}
		if err := f.delete(t, m, registry.Target{Version: v2.Version, Platform: linuxARM64()}); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("an absent platform: %v", err)
		}
		if err := f.delete(t, m, registry.Target{Version: v1.Version}); err != nil {
			t.Errorf("a version that nobody uses: %v", err)
		}
		usage, err := f.Usage(t.Context(), []string{m.Key})
		if want := (registry.Usage{Machines: 1, Orgs: 2, OtherOrgs: 1}); err != nil || usage[m.Key] != want {
			t.Errorf("usage %+v, want %+v, error %v", usage[m.Key], want, err)
		}
		now = now.Add(31 * 24 * time.Hour)
		if err := f.delete(t, m, registry.Target{}); err != nil {
			t.Errorf("31 days later: %v", err)
		}
	})
}

func TestABuildUnderWayKeepsItsModule(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		m := f.module(t, "widget")
		f.publish(t, f.release(t, m, "1.0.0", "a", nil))
		f.publish(t, f.release(t, m, "2.0.0", "b", nil))
		rec := &build.Record{Build: build.Build{
			ID: uuid.NewString(), OrgID: f.acme.ID, Module: m.ID(), Version: version(t, "1.0.0"), CreatedAt: time.Now(),
		}}
		if _, _, err := f.store.AddBuild(t.Context(), rec, func([]*build.Record) string { return "" }); err != nil {
			t.Fatal(err)
		}
		for _, target := range []registry.Target{{}, {Version: version(t, "1.0.0")}} {
			err := f.delete(t, m, target)
			if !errors.Is(err, module.ErrConflict) {
				t.Errorf("%+v: %v, want ErrConflict", target, err)
			}
			mustContain(t, err, rec.Build.ID, "1.0.0", "modfarm module build cancel "+rec.Build.ID)
		}
		if err := f.delete(t, m, registry.Target{Version: version(t, "2.0.0")}); err != nil {
			t.Errorf("another version: %v", err)
		}
		if err := f.store.Update(t.Context(), rec.Build.ID, func(r *build.Record) error { r.Build.EndedAt = time.Now(); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := f.delete(t, m, registry.Target{}); err != nil {
			t.Errorf("after the build ended: %v", err)
		}
	})
}

func TestWhatOthersUseStaysVisible(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		f.Now = func() time.Time { return now }
		m := f.module(t, "widget")
		rel := f.release(t, m, "1.0.0", "a", nil)
		f.publish(t, rel)
		become := func(v module.Visibility) error {
			_, err := f.UpdateModule(t.Context(), f.acme.ID, m.ID(), registry.Update{Visibility: v})
			return err
		}
		if err := become(module.VisibilityPublic); err != nil {
			t.Fatal(err)
		}
		f.Used(t.Context(), registry.Consumer{OrgID: f.acme.ID, KeyID: "own", Machine: true}, rel)
		if err := become(module.VisibilityPrivate); err != nil {
			t.Errorf("only the own organization uses it: %v", err)
		}
		if err := become(module.VisibilityPublicUnlisted); err != nil {
			t.Fatal(err)
		}
		f.Used(t.Context(), registry.Consumer{OrgID: f.plain.ID, KeyID: "other"}, rel)
		err := become(module.VisibilityPrivate)
		if !errors.Is(err, module.ErrConflict) {
			t.Errorf("went private under its users: %v", err)
		}
		mustContain(t, err, "visibility", `"private"`, "another organization", "public_unlisted")
		if err := become(module.VisibilityPublic); err != nil {
			t.Errorf("from unlisted to listed: %v", err)
		}
		now = now.Add(31 * 24 * time.Hour)
		if err := become(module.VisibilityPrivate); err != nil {
			t.Errorf("31 days later: %v", err)
		}
	})
}
