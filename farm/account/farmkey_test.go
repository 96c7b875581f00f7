package account_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
)

func TestFarmKeyFileIsMadeOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "farm.key")
	const many = 12
	keys := make([]account.FarmKey, many)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			key, err := account.LoadFarmKey(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	for _, key := range keys {
		if key.Reveal() != keys[0].Reveal() {
			t.Fatal("processes that started together have different farm keys")
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o, want 0600", info.Mode().Perm())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files beside the key, error %v, want the key alone", len(entries), err)
	}
}

func TestFarmKeyFileTrouble(t *testing.T) {
	t.Parallel()
	good := account.NewFarmKey().Reveal()
	tests := map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable by others": {good, 0o644, "chmod 600"},
		"readable by group":  {good, 0o640, "chmod 600"},
		"empty":              {"", 0o600, "backup"},
		"half":               {good[:20], 0o600, "backup"},
		"no key":             {"hello", 0o600, "backup"},
		"too long":           {good + good, 0o600, "backup"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "farm.key")
			if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := account.LoadFarmKey(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one with %q and the path", err, tt.want)
			}
			if err != nil && tt.text != "" && strings.Contains(err.Error(), tt.text) {
				t.Errorf("the error repeats the key: %v", err)
			}
			after, readErr := os.ReadFile(path)
			if readErr != nil || string(after) != tt.text {
				t.Errorf("the file was changed to %q (%v)", after, readErr)
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		t.Parallel()
		if _, err := account.LoadFarmKey(t.TempDir()); err == nil {
			t.Error("a folder was read as a key")
		}
	})
}

func TestParseFarmKey(t *testing.T) {
	t.Parallel()
	key := account.NewFarmKey()
	parsed, err := account.ParseFarmKey("  " + key.Reveal() + "\n")
	if err != nil || parsed.Reveal() != key.Reveal() {
		t.Errorf("round trip: %v", err)
	}
	inHex, err := account.ParseFarmKey(strings.Repeat("ab", 32))
	if err != nil || inHex.IsZero() {
		t.Errorf("hex: %v", err)
	}
	for _, text := range []string{"", "x", strings.Repeat("ab", 31), "YWJj"} {
		if _, err := account.ParseFarmKey(text); !errors.Is(err, module.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", text, err)
		}
	}
}

func TestFarmKeyHidesItself(t *testing.T) {
	t.Parallel()
	key := account.NewFarmKey()
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("start", "key", key)
	fmt.Fprintf(&out, "%v %+v %#v %s %v", key, key, key, key, struct{ K account.FarmKey }{key})
	root, err := base64.StdEncoding.DecodeString(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	raw := strings.Trim(fmt.Sprintf("%v", root), "[]")
	if text := out.String(); strings.Contains(text, key.Reveal()) || strings.Contains(text, raw) {
		t.Errorf("the key shows: %s", text)
	}
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	key := account.NewFarmKey()
	plain := []byte("ghp_token")
	sealed, err := key.Seal("checkout-token", plain, []byte("build 1"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, plain) {
		t.Error("the secret stands in the sealed value")
	}
	got, err := key.Open("checkout-token", sealed, []byte("build 1"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain, got); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	again, err := key.Seal("checkout-token", plain, []byte("build 1"))
	if err != nil || bytes.Equal(again, sealed) {
		t.Errorf("sealing twice gave the same bytes (%v)", err)
	}
	refused := func(name string, k account.FarmKey, purpose string, sealed []byte, context string) {
		t.Helper()
		if _, err := k.Open(purpose, sealed, []byte(context)); !errors.Is(err, module.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	refused("another purpose", key, "webhook", sealed, "build 1")
	refused("another context", key, "checkout-token", sealed, "build 2")
	refused("another farm", account.NewFarmKey(), "checkout-token", sealed, "build 1")
	refused("nothing", key, "checkout-token", nil, "build 1")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		refused(fmt.Sprintf("changed at %d", i), key, "checkout-token", changed, "build 1")
		refused(fmt.Sprintf("cut at %d", i), key, "checkout-token", sealed[:i], "build 1")
	}
}

func TestSealer(t *testing.T) {
	t.Parallel()
	sealer := account.NewFarmKey().Sealer("checkout-token")
	sealed, err := sealer.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := sealer.Open(sealed); err != nil || len(plain) != 0 {
		t.Errorf("an empty secret came back as %q, error %v", plain, err)
	}
}
