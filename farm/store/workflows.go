package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
)

// workflowText is what a key is bound to as it is stored; empty for none.
func workflowText(w *module.WorkflowRun) string {
	if w == nil {
		return ""
	}
	text, _ := json.Marshal(w) // plain values
	return string(text)
}

// workflowFrom reads it again. What cannot be read is an error: such a key must not pass for one that is bound to
// nothing.
func workflowFrom(text string) (*module.WorkflowRun, error) {
	if text == "" {
		return nil, nil // most keys are bound to nothing
	}
	var w module.WorkflowRun
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return nil, fmt.Errorf("read what a key is bound to: %w", err)
	}
	return &w, nil
}

// CreateWorkflowKey stores a key and that its proof is spent. Of two exchanges of one proof the second finds it spent,
// also when both come at once.
func (s *Store) CreateWorkflowKey(ctx context.Context, key account.Key, proof account.Proof) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := t.exec(ctx, "INSERT INTO spent_id_tokens (issuer, token_id, expires_at) VALUES (?, ?, ?) ON CONFLICT (issuer, token_id) DO NOTHING",
			proof.Issuer, proof.TokenID, millis(proof.ExpiresAt))
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: the id token is spent", module.ErrConflict)
		}
		if err == nil {
			err = t.orgExists(ctx, key.OrgID)
		}
		if err == nil {
			_, err = t.exec(ctx, insertKey, keyArgs(key)...)
		}
		return err
	})
}

// CollectExpired removes keys of workflow runs and spent tokens that have expired.
func (s *Store) CollectExpired(ctx context.Context, now time.Time) error {
	if _, err := s.exec(ctx, "DELETE FROM api_keys WHERE workflow <> '' AND expires_at < ?", millis(now)); err != nil {
		return err
	}
	_, err := s.exec(ctx, "DELETE FROM spent_id_tokens WHERE expires_at < ?", millis(now))
	return err
}
