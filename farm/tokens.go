package farm

import (
	"context"
	"errors"
	"fmt"

	"github.com/modfarm/modfarm/module"
)

// Tokens mints checkout tokens for repositories that the farm itself was given access to.
type Tokens interface {
	// CheckoutToken returns a token that reads this one repository, for builds of an organization. Where the farm was
	// given no access for that organization, it is module.ErrNotFound.
	CheckoutToken(ctx context.Context, orgID, repo string) (string, error)
}

// checkoutToken is what reads the build's repository: the token that came with the build, or one that is minted for
// this job; "" when there is neither.
func (f *Farm) checkoutToken(ctx context.Context, rec *Record) (string, error) {
	if len(rec.Token) > 0 {
		token, err := f.Sealer.Open(rec.Token)
		if err != nil {
			return "", fmt.Errorf("%w: the checkout token cannot be opened because the farm's key changed; start the build again",
				module.ErrForbidden)
		}
		return string(token), nil
	}
	return f.mintedToken(ctx, rec.Build.OrgID, rec.Build.Repo)
}

// mintedToken is a token that the farm mints for a repository; "" when it has no access of its own.
func (f *Farm) mintedToken(ctx context.Context, orgID, repo string) (string, error) {
	if f.Tokens == nil || repo == "" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	token, err := f.Tokens.CheckoutToken(ctx, orgID, repo)
	if errors.Is(err, module.ErrNotFound) {
		return "", nil
	}
	return token, err
}
