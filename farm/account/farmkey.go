package account

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/modfarm/modfarm/module"
)

const (
	farmKeyBytes = 32
	macBytes     = sha256.Size
	// sealVersion leads every sealed value, so that the format can change.
	sealVersion = 1

	purposeAPIKey      = "api-key"
	purposeToken       = "token"
	purposeFingerprint = "fingerprint"
)

// FarmKey is the one secret of a farm: API keys are hashed and secrets at rest
// are sealed under keys derived from it, one for each purpose. The zero value
// is no key and panics on use. It never shows itself in text or logs.
type FarmKey struct{ root []byte }

// NewFarmKey returns a random farm key.
func NewFarmKey() FarmKey {
	root := make([]byte, farmKeyBytes)
	rand.Read(root) // never fails: crypto/rand ends the process instead
	return FarmKey{root: root}
}

// ParseFarmKey reads the text form: 32 bytes in base64 (standard or URL
// alphabet) or hex. Errors wrap module.ErrInvalid and never repeat the text.
func ParseFarmKey(text string) (FarmKey, error) {
	text = strings.TrimSpace(text)
	decoders := []func(string) ([]byte, error){
		base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString, hex.DecodeString,
	}
	for _, decode := range decoders {
		if root, err := decode(text); err == nil && len(root) == farmKeyBytes {
			return FarmKey{root: root}, nil
		}
	}
	return FarmKey{}, fmt.Errorf("%w: a farm key is 32 random bytes in base64: make one with `openssl rand -base64 32`", module.ErrInvalid)
}

// Reveal returns the text form that ParseFarmKey reads. It is the secret.
func (k FarmKey) Reveal() string { return base64.StdEncoding.EncodeToString(k.root) }

// IsZero reports whether k is no key.
func (k FarmKey) IsZero() bool { return len(k.root) == 0 }

// Fingerprint names the key without giving it away: eight hex digits.
func (k FarmKey) Fingerprint() string { return hex.EncodeToString(k.mac(purposeFingerprint)[:4]) }

// String hides the key.
func (k FarmKey) String() string { return "farm key (hidden)" }

// GoString hides the key from %#v.
func (k FarmKey) GoString() string { return k.String() }

// LogValue hides the key from slog.
func (k FarmKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// SubKey is a secret of its own for a purpose, such as "github-links": 32 bytes from which the farm key cannot be told.
func (k FarmKey) SubKey(purpose string) []byte { return k.derive("use/" + purpose) }

// derive returns the sub-key of one purpose.
func (k FarmKey) derive(purpose string) []byte {
	if k.IsZero() {
		//nolint:forbidigo // everybody knows the key that a farm without one would hash with
		panic("account: use of a zero FarmKey; load one first")
	}
	key, err := hkdf.Key(sha256.New, k.root, nil, "modfarm/v1/"+purpose, farmKeyBytes)
	if err != nil {
		panic("account: derive a sub-key: " + err.Error()) //nolint:forbidigo // fails for absurd lengths only
	}
	return key
}

// mac is HMAC-SHA-256 over parts, each led by its length so that no two lists
// of parts read the same.
func (k FarmKey) mac(purpose string, parts ...string) []byte {
	h := hmac.New(sha256.New, k.derive(purpose))
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// Seal encrypts plain with AES-256-GCM under the sub-key of a purpose. context
// is authenticated but not stored: Open must be given the same, so a sealed
// value moved to another row does not open.
func (k FarmKey) Seal(purpose string, plain, context []byte) ([]byte, error) {
	aead, err := k.aead(purpose)
	if err != nil {
		return nil, err
	}
	return aead.Seal([]byte{sealVersion}, nil, plain, context), nil
}

// Open reverses Seal. A value that was changed, sealed for another purpose or
// context, or under another farm key wraps module.ErrInvalid.
func (k FarmKey) Open(purpose string, sealed, context []byte) ([]byte, error) {
	aead, err := k.aead(purpose)
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, errSealed(purpose, errors.New("unknown format"))
	}
	plain, err := aead.Open(nil, nil, sealed[1:], context)
	if err != nil {
		return nil, errSealed(purpose, err)
	}
	return plain, nil
}

func errSealed(purpose string, cause error) error {
	return fmt.Errorf("%w: a sealed %s does not open (%w): it was changed, or sealed under another farm key", module.ErrInvalid, purpose, cause)
}

func (k FarmKey) aead(purpose string) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.derive("seal/" + purpose))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", purpose, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", purpose, err)
	}
	return aead, nil
}

// Sealer seals and opens secrets of one purpose.
type Sealer struct {
	key     FarmKey
	purpose string
}

// Sealer returns the sealer of a purpose, such as "checkout-token".
func (k FarmKey) Sealer(purpose string) Sealer { return Sealer{key: k, purpose: purpose} }

// Seal encrypts plain.
func (s Sealer) Seal(plain []byte) ([]byte, error) { return s.key.Seal(s.purpose, plain, nil) }

// Open decrypts what Seal made; errors wrap module.ErrInvalid.
func (s Sealer) Open(sealed []byte) ([]byte, error) { return s.key.Open(s.purpose, sealed, nil) }
