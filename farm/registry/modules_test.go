package registry_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

func TestCreateModule(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			tests := []struct {
				name, org, module string
				want              error
			}{
				{"plain", f.acme.ID, "widget", nil},
				{"again", f.acme.ID, "widget", module.ErrConflict},
				{"in capitals", f.acme.ID, "Widget", module.ErrConflict},
				{"same name elsewhere", f.plain.ID, "widget", nil},
				{"longest", f.acme.ID, strings.Repeat("a", 200), nil},
				{"too long", f.acme.ID, strings.Repeat("a", 201), module.ErrInvalid},
				{"empty", f.acme.ID, "", module.ErrInvalid},
				{"leading dash", f.acme.ID, "-a", module.ErrInvalid},
				{"with a colon", f.acme.ID, "a:b", module.ErrInvalid},
				{"a path", f.acme.ID, "../a", module.ErrInvalid},
				{"no organization", uuid.NewString(), "widget", module.ErrNotFound},
				{"organization with NUL", "a\x00b", "widget", module.ErrNotFound},
			}
			for _, tt := range tests {
				m, err := f.CreateModule(t.Context(), tt.org, tt.module)
				if !errors.Is(err, tt.want) || (err == nil && m.Name != tt.module) {
					t.Errorf("%s: module %q, error %v, want %v", tt.name, m.Name, err, tt.want)
				}
			}
		})
	}
}

func TestOneOfManyCreatesAModule(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			var made atomic.Int32
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					_, err := f.CreateModule(t.Context(), f.acme.ID, "widget")
					switch {
					case err == nil:
						made.Add(1)
					case !errors.Is(err, module.ErrConflict):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if made.Load() != 1 {
				t.Errorf("%d created the module, want 1", made.Load())
			}
		})
	}
}

func TestModulesAreFoundByNamespaceAndOrganization(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			want := f.module(t, "widget")
			for _, prefix := range []string{"acme", f.acme.ID, strings.ToUpper(f.acme.ID)} {
				got, err := f.Module(t.Context(), registry.ForOrg(f.acme.ID), module.ID{Namespace: prefix, Name: "widget"})
				if err != nil {
					t.Errorf("%s: %v", prefix, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", prefix, diff)
				}
			}
			if want.ID().String() != "acme:widget" {
				t.Errorf("id %q, want acme:widget", want.ID())
			}
			m, err := f.CreateModule(t.Context(), f.plain.ID, "thing")
			if err != nil || m.ID().String() != f.plain.ID+":thing" {
				t.Errorf("id of an organization without namespace: %q, %v", m.ID(), err)
			}
			list, err := f.Modules(t.Context(), f.acme.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]registry.Module{want}, list); diff != "" {
				t.Errorf("modules of acme (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrivateModulesAreInvisibleToOthers(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			f.publish(t, f.release(t, m, "1.0.0", "a", nil))
			missing := module.ID{Namespace: "acme", Name: "gadget"}
			for name, viewer := range map[string]registry.Viewer{"other": registry.ForOrg(f.plain.ID), "nobody": {}} {
				_, hidden := f.Module(t.Context(), viewer, m.ID())
				_, absent := f.Module(t.Context(), viewer, missing)
				if !errors.Is(hidden, module.ErrNotFound) || strings.ReplaceAll(hidden.Error(), "widget", "gadget") != absent.Error() {
					t.Errorf("%s: hidden %v, absent %v: the two must read alike", name, hidden, absent)
				}
				if _, err := f.Versions(t.Context(), viewer, m.ID()); !errors.Is(err, module.ErrNotFound) {
					t.Errorf("%s lists versions: %v", name, err)
				}
				if _, err := f.Lookup(t.Context(), viewer, registry.Query{Package: "acme/widget", Version: "1.0.0-linux-amd64"}); !errors.Is(err, module.ErrNotFound) {
					t.Errorf("%s looks up a package: %v", name, err)
				}
				if _, err := f.UpdateModule(t.Context(), f.plain.ID, m.ID(), registry.Update{}); !errors.Is(err, module.ErrNotFound) {
					t.Errorf("%s updates: %v, want ErrNotFound, never forbidden", name, err)
				}
			}
			if _, err := f.UpdateModule(t.Context(), f.acme.ID, m.ID(), registry.Update{Visibility: module.VisibilityPublicUnlisted}); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Module(t.Context(), registry.Viewer{}, m.ID()); err != nil {
				t.Errorf("public module: %v", err)
			}
			if _, err := f.UpdateModule(t.Context(), f.plain.ID, m.ID(), registry.Update{}); !errors.Is(err, module.ErrForbidden) {
				t.Errorf("another organization updates a public module: %v, want ErrForbidden", err)
			}
		})
	}
}

func TestUpdateModule(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			markdown := "# Widget"
			update := registry.Update{
				Visibility: module.VisibilityPublic,
				Markdown:   &markdown,
				Metadata: registry.Metadata{
					URL: "https://git.example/acme/widget", Description: "Reads a widget", Entrypoint: "./bin/run.sh", FirstRun: "first.sh",
					Models: []registry.Model{{
						API: "rdk:component:sensor", Model: "acme:widget:indoor", Description: "short",
						Markdown: "long", SupportedHardware: []string{"pi"},
					}},
					Apps: []registry.App{{Name: "dash", Type: "single_machine", Entrypoint: "dist/index.html", FragmentIDs: []string{"f"}, Heading: "h"}},
				},
			}
			got, err := f.UpdateModule(t.Context(), f.acme.ID, m.ID(), update)
			if err != nil {
				t.Fatal(err)
			}
			want := m
			want.Visibility, want.Metadata, want.UpdatedAt = module.VisibilityPublic, update.Metadata, got.UpdatedAt
			want.Metadata.Markdown = markdown
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			stored, err := f.Module(t.Context(), registry.Viewer{}, m.ID())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, stored); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			// Another update without visibility and markdown keeps both and replaces the rest.
			got, err = f.UpdateModule(t.Context(), f.acme.ID, m.ID(), registry.Update{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(registry.Metadata{Markdown: markdown}, got.Metadata); diff != "" || got.Visibility != module.VisibilityPublic {
				t.Errorf("second update, visibility %q (-want +got):\n%s", got.Visibility, diff)
			}
		})
	}
}

func TestUpdateModuleSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			_, err := f.UpdateModule(t.Context(), f.acme.ID, m.ID(), registry.Update{
				Visibility: "secret",
				Metadata: registry.Metadata{
					URL: "ssh://git@example/widget", Description: "a\x00b", Entrypoint: "../run", FirstRun: "/bin/sh",
					Models: []registry.Model{
						{API: "sensor", Model: "acme:widget:a"},
						{API: "rdk:component:sensor", Model: "rdk:widget:b"},
						{API: "rdk:component:sensor", Model: "other:widget:c", Description: strings.Repeat("ä", 101)},
						{API: "rdk:component:sensor", Model: "acme:widget:d", Description: strings.Repeat("ä", 100)},
						{API: "rdk:component:sensor", Model: "acme:widget:d"},
					},
					Apps: []registry.App{{Name: "a b", Type: "web"}},
				},
			})
			faults, _ := errors.AsType[module.Faults](err)
			var got []string
			for _, fault := range faults {
				got = append(got, fault.Path)
			}
			want := []string{
				"visibility", "url", "description", "entrypoint", "first_run",
				"models[0].api", "models[1].model", "models[2].model", "models[2].description", "models[4]",
				"apps[0].name", "apps[0].type", "apps[0].entrypoint",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("faults of %v (-want +got):\n%s", err, diff)
			}
			stored, err := f.Module(t.Context(), registry.ForFarm(), m.ID())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, stored); diff != "" {
				t.Errorf("a refused update changed the module (-before +after):\n%s", diff)
			}
		})
	}
}

func TestPublicNeedsANamespace(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m, err := f.CreateModule(t.Context(), f.plain.ID, "widget")
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range []module.Visibility{module.VisibilityPublic, module.VisibilityPublicUnlisted} {
				_, err := f.UpdateModule(t.Context(), f.plain.ID, m.ID(), registry.Update{Visibility: v})
				if !errors.Is(err, module.ErrInvalid) {
					t.Errorf("%s: %v, want ErrInvalid", v, err)
				}
				mustContain(t, err, "namespace", "private")
			}
			// Without a namespace there is no rule for the models' either, but for rdk.
			_, err = f.UpdateModule(t.Context(), f.plain.ID, m.ID(), registry.Update{
				Visibility: module.VisibilityPrivate,
				Metadata:   registry.Metadata{Models: []registry.Model{{API: "rdk:component:sensor", Model: "anything:a:b"}}},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
