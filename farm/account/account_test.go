package account_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/store"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

func newAccounts(t *testing.T, s *store.Store) *account.Accounts {
	t.Helper()
	return &account.Accounts{Store: s, Secret: account.NewFarmKey()}
}

func bootstrap(t *testing.T, a *account.Accounts) (account.Org, string, string) {
	t.Helper()
	org, id, secret, created, err := a.Bootstrap(t.Context(), "Acme Robotics", "acme")
	if err != nil || !created {
		t.Fatalf("Bootstrap: created %v, error %v", created, err)
	}
	return org, id, secret
}

func TestBootstrapHappensOnce(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			org, id, secret := bootstrap(t, a)
			p, err := a.Authenticate(t.Context(), id, secret)
			if err != nil {
				t.Fatal(err)
			}
			want := account.Principal{KeyID: id, KeyName: "first key", Org: org, Role: account.RoleOwner}
			if diff := cmp.Diff(want, p, cmpopts.IgnoreUnexported(account.Principal{})); diff != "" {
				t.Errorf("principal of the first key (-want +got):\n%s", diff)
			}
			again, id2, secret2, created, err := a.Bootstrap(t.Context(), "Other", "other")
			if err != nil || created || id2 != "" || secret2 != "" {
				t.Errorf("second Bootstrap: created %v, key %q, error %v", created, id2, err)
			}
			if diff := cmp.Diff(org, again); diff != "" {
				t.Errorf("organization of the second Bootstrap (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBootstrapByManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			const many = 16
			made := make(chan string, many)
			var wg sync.WaitGroup
			for range many {
				wg.Go(func() {
					_, id, _, created, err := a.Bootstrap(t.Context(), "Acme", "acme")
					if err != nil {
						t.Error(err)
					}
					if created {
						made <- id
					}
				})
			}
			wg.Wait()
			if len(made) != 1 {
				t.Errorf("%d starts made the first organization, want 1", len(made))
			}
			orgs, err := a.Orgs(t.Context())
			if err != nil || len(orgs) != 1 {
				t.Errorf("%d organizations, error %v, want 1", len(orgs), err)
			}
		})
	}
}

func TestBootstrapRefusesAnotherFarmKey(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			bootstrap(t, a)
			other := &account.Accounts{Store: a.Store, Secret: account.NewFarmKey()}
			_, _, _, _, err := other.Bootstrap(t.Context(), "Acme", "acme")
			if !errors.Is(err, module.ErrInvalid) || !strings.Contains(err.Error(), a.Secret.Fingerprint()) {
				t.Errorf("Bootstrap with another farm key: %v, want one that names the key %s", err, a.Secret.Fingerprint())
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			org, id, secret := bootstrap(t, a)
			other, otherSecret, err := a.CreateKey(t.Context(), org.ID, account.KeySpec{Name: "ci", Role: account.RolePublisher})
			if err != nil {
				t.Fatal(err)
			}
			tests := map[string]struct {
				id, secret string
				ok         bool
			}{
				"right":                {id, secret, true},
				"other right":          {other.ID, otherSecret, true},
				"secret of another":    {id, otherSecret, false},
				"unknown key":          {uuid.NewString(), secret, false},
				"empty secret":         {id, "", false},
				"empty id":             {"", secret, false},
				"secret cut short":     {id, secret[:len(secret)-1], false},
				"secret and more":      {id, secret + "x", false},
				"id in capitals":       {strings.ToUpper(id), secret, false},
				"id with NUL":          {id[:35] + "\x00", secret, false},
				"very long":            {id, strings.Repeat("x", 1<<20), false},
				"hash as secret":       {id, string(other.Hash), false},
				"id moved into secret": {id[:35], id[35:] + secret, false},
			}
			for name, tt := range tests {
				p, err := a.Authenticate(t.Context(), tt.id, tt.secret)
				if tt.ok && (err != nil || p.KeyID != tt.id) {
					t.Errorf("%s: %v, principal %v", name, err, p.KeyID)
				}
				if !tt.ok && (!errors.Is(err, module.ErrUnauthorized) || p.KeyID != "") {
					t.Errorf("%s: error %v, want ErrUnauthorized", name, err)
				}
			}
		})
	}
}

func TestSecretsAreNotStored(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			org, _, _ := bootstrap(t, a)
			key, secret, err := a.CreateKey(t.Context(), org.ID, account.KeySpec{Role: account.RoleReader})
			if err != nil {
				t.Fatal(err)
			}
			keys, err := a.Keys(t.Context(), org.ID)
			if err != nil || len(keys) != 2 {
				t.Fatalf("%d keys, error %v", len(keys), err)
			}
			at := slices.IndexFunc(keys, func(k account.Key) bool { return k.ID == key.ID })
			if at < 0 {
				t.Fatalf("the key is not in the list %v", keys)
			}
			stored := keys[at]
			if diff := cmp.Diff(key, stored); diff != "" {
				t.Errorf("stored key (-made +stored):\n%s", diff)
			}
			if strings.Contains(string(stored.Hash), secret) || len(stored.Hash) != 32 {
				t.Errorf("the hash has %d bytes and may hold the secret", len(stored.Hash))
			}
			if stored.Name != "key-"+key.ID {
				t.Errorf("default name %q", stored.Name)
			}
		})
	}
}

func TestTokensLiveAsLongAsTheirKey(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			org, _, _ := bootstrap(t, a)
			key, secret, err := a.CreateKey(t.Context(), org.ID, account.KeySpec{Name: "machine", Role: account.RoleMachine})
			if err != nil {
				t.Fatal(err)
			}
			p, err := a.Authenticate(t.Context(), key.ID, secret)
			if err != nil {
				t.Fatal(err)
			}
			token := a.IssueToken(p)
			later := &account.Accounts{Store: a.Store, Secret: a.Secret, Now: func() time.Time { return time.Now().AddDate(30, 0, 0) }}
			got, err := later.VerifyToken(t.Context(), token)
			if err != nil {
				t.Fatalf("after thirty years: %v", err)
			}
			if diff := cmp.Diff(p, got, cmpopts.IgnoreUnexported(account.Principal{})); diff != "" {
				t.Errorf("principal (-login +token):\n%s", diff)
			}
			if again := a.IssueToken(got); again != token {
				t.Errorf("token of the verified principal %q, want the same %q", again, token)
			}
			if err := a.DeleteKey(t.Context(), uuid.NewString(), key.ID); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("another organization deleted the key: %v", err)
			}
			if err := a.DeleteKey(t.Context(), org.ID, key.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := a.VerifyToken(t.Context(), token); !errors.Is(err, module.ErrUnauthorized) {
				t.Errorf("token of a deleted key: %v, want ErrUnauthorized", err)
			}
			if _, err := a.Authenticate(t.Context(), key.ID, secret); !errors.Is(err, module.ErrUnauthorized) {
				t.Errorf("deleted key: %v, want ErrUnauthorized", err)
			}
		})
	}
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	a := newAccounts(t, servers.Open(t, "sqlite"))
	_, id, secret := bootstrap(t, a)
	p, err := a.Authenticate(t.Context(), id, secret)
	if err != nil {
		t.Fatal(err)
	}
	token := a.IssueToken(p)
	other := &account.Accounts{Store: a.Store, Secret: account.NewFarmKey()}
	forged := map[string]string{
		"empty":             "",
		"prefix only":       "mft1_",
		"no prefix":         strings.TrimPrefix(token, "mft1_"),
		"key as token":      secret,
		"of another farm":   other.IssueToken(p),
		"of nobody":         a.IssueToken(account.Principal{KeyID: id}),
		"cut":               token[:len(token)-4],
		"longer":            token + "AAAA",
		"not base64":        token[:len(token)-1] + "!",
		"for no key at all": a.IssueToken(account.Principal{KeyID: uuid.NewString()}),
	}
	for i := len("mft1_"); i < len(token)-1; i++ {
		changed := []byte(token)
		changed[i] = map[bool]byte{true: 'B', false: 'A'}[changed[i] == 'A']
		forged["changed at "+string(rune('0'+i))] = string(changed)
	}
	for name, token := range forged {
		if _, err := a.VerifyToken(t.Context(), token); !errors.Is(err, module.ErrUnauthorized) {
			t.Errorf("%s: %v, want ErrUnauthorized", name, err)
		}
	}
}

func TestABrokenDatabaseIsNoWrongKey(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "farm.db"))
	if err != nil {
		t.Fatal(err)
	}
	a := &account.Accounts{Store: s, Secret: account.NewFarmKey()}
	_, id, secret := bootstrap(t, a)
	p, err := a.Authenticate(t.Context(), id, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(t.Context(), id, secret); err == nil || errors.Is(err, module.ErrUnauthorized) {
		t.Errorf("Authenticate: %v, want another error: the client would drop a good key", err)
	}
	if _, err := a.VerifyToken(t.Context(), a.IssueToken(p)); err == nil || errors.Is(err, module.ErrUnauthorized) {
		t.Errorf("VerifyToken: %v, want another error", err)
	}
}

func TestOrganizationNames(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			bootstrap(t, a)
			tests := map[string]struct {
				name, namespace string
				want            error
				faults          int
			}{
				"no namespace":       {"One", "", nil, 0},
				"no namespace again": {"One", "", nil, 0},
				"plain":              {"Two", "two-2_b", nil, 0},
				"taken":              {"Three", "acme", module.ErrConflict, 0},
				"taken in capitals":  {"Three", "ACME", module.ErrConflict, 0},
				"reserved":           {"Three", "rdk", module.ErrInvalid, 1},
				"reserved as Viam":   {"Three", "Viam", module.ErrInvalid, 1},
				"our own":            {"Three", "modfarm", module.ErrInvalid, 1},
				"with a colon":       {"Three", "a:b", module.ErrInvalid, 1},
				"leading dash":       {"Three", "-a", module.ErrInvalid, 1},
				"not ASCII":          {"Three", "äcme", module.ErrInvalid, 1},
				"a line break":       {"Three", "acme2\n", module.ErrInvalid, 1},
				"an id":              {"Three", uuid.NewString(), module.ErrInvalid, 1},
				"too long":           {"Three", strings.Repeat("a", 65), module.ErrInvalid, 1},
				"all at once":        {" ", "viam", module.ErrInvalid, 2},
				"control characters": {"a\x00b", "", module.ErrInvalid, 1},
			}
			for name, tt := range tests {
				made, err := a.CreateOrg(t.Context(), tt.name, tt.namespace)
				org := made.Org
				if !errors.Is(err, tt.want) || (tt.want == nil) != (org.ID != "") {
					t.Errorf("%s: organization %q, error %v, want %v", name, org.ID, err, tt.want)
				}
				if faults, _ := errors.AsType[module.Faults](err); len(faults) != tt.faults {
					t.Errorf("%s: %d faults, want %d: %v", name, len(faults), tt.faults, err)
				}
			}
		})
	}
}

func TestOrgByPrefix(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t, servers.Open(t, dialect))
			org, _, _ := bootstrap(t, a)
			for _, prefix := range []string{"acme", org.ID} {
				got, err := a.OrgByPrefix(t.Context(), prefix)
				if err != nil {
					t.Errorf("%s: %v", prefix, err)
				}
				if diff := cmp.Diff(org, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", prefix, diff)
				}
			}
			for _, prefix := range []string{"", "nobody", "ACME", uuid.NewString(), "a\x00b"} {
				if _, err := a.OrgByPrefix(t.Context(), prefix); !errors.Is(err, module.ErrNotFound) {
					t.Errorf("%q: %v, want ErrNotFound", prefix, err)
				}
			}
			if _, _, err := a.CreateKey(t.Context(), uuid.NewString(), account.KeySpec{Name: "k", Role: account.RoleOwner}); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("key for no organization: %v, want ErrNotFound", err)
			}
			if _, _, err := a.CreateKey(t.Context(), org.ID, account.KeySpec{Name: "k", Role: "king"}); !errors.Is(err, module.ErrInvalid) {
				t.Errorf("key with an unknown role: %v, want ErrInvalid", err)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	may := map[account.Role]string{
		account.RoleOwner:     "owner publisher reader machine",
		account.RolePublisher: "publisher reader machine",
		account.RoleReader:    "reader machine",
		account.RoleMachine:   "machine",
		"":                    "",
		"king":                "",
	}
	for role, want := range may {
		var got []string
		for _, other := range append(account.Roles(), "", "king") {
			p := account.Principal{Role: role}
			if p.May(other) {
				got = append(got, string(other))
			}
			if err := p.Require(other); (err == nil) != p.May(other) || (err != nil && !errors.Is(err, module.ErrForbidden)) {
				t.Errorf("%q requires %q: %v", role, other, err)
			}
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q may (-want +got):\n%s", role, diff)
		}
	}
}
