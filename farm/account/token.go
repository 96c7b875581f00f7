package account

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

// tokenPrefix marks a token and the format that follows it.
const tokenPrefix = "mft1_"

// IssueToken returns an opaque token that stands for an authenticated caller.
// It needs no row, never ages out (clients on the wire do not retry a call that
// failed for an old token) and dies with its key. The same caller always gets
// the same token. p must come from Authenticate or VerifyToken.
func (a *Accounts) IssueToken(p Principal) string {
	id, err := uuid.Parse(p.KeyID)
	if err != nil {
		return "" // no Principal of ours: the empty token is refused everywhere
	}
	payload := append(id[:], a.Secret.mac(purposeToken, p.KeyID, string(p.hash))...)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(payload)
}

// VerifyToken tells who a token stands for. Forged tokens, and those whose key
// was deleted, rotated or has expired, wrap module.ErrUnauthorized; a failing database does not.
func (a *Accounts) VerifyToken(ctx context.Context, token string) (Principal, error) {
	keyID, mac, ok := splitToken(token)
	if !ok {
		return Principal{}, errBadToken()
	}
	key, org, err := a.Store.KeyOrg(ctx, keyID)
	switch {
	case errors.Is(err, module.ErrNotFound):
		key = Key{}
	case err != nil:
		return Principal{}, fmt.Errorf("look up key: %w", err)
	}
	return a.admit(key, org, errBadToken(), func(known []byte) bool {
		return hmac.Equal(mac, a.Secret.mac(purposeToken, keyID, string(known)))
	})
}

func splitToken(token string) (keyID string, mac []byte, ok bool) {
	rest, found := strings.CutPrefix(token, tokenPrefix)
	if !found || len(rest) > maxSecret {
		return "", nil, false
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(payload) != len(uuid.UUID{})+macBytes {
		return "", nil, false
	}
	id := uuid.UUID(payload[:16])
	return id.String(), payload[16:], true
}

func errBadToken() error {
	return fmt.Errorf("%w: this login is not valid here, or its key was deleted: log in again", module.ErrUnauthorized)
}
