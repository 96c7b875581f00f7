package farm

import (
	"context"
	"errors"
	"fmt"

	"github.com/modfarm/modfarm/module"
)

// confirm refuses a submission whose ref names another commit by now. The commit is what gets built in any case.
func (f *Farm) confirm(ctx context.Context, s Submission) error {
	if s.Confirm == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	token := s.Token
	if token == "" {
		var err error
		if token, err = f.mintedToken(ctx, s.OrgID, s.Repo); err != nil {
			return err
		}
	}
	commit, err := f.Source.Resolve(ctx, s.Repo, s.Confirm, token)
	switch {
	case errors.Is(err, module.ErrNotFound):
		return fmt.Errorf("%w: %s of %s is not there any more, and the build would be of commit %s: push the tag again, and run its workflow anew",
			module.ErrConflict, s.Confirm, s.Repo, short(s.Ref))
	case err != nil && final(err):
		return err
	case err != nil:
		return fmt.Errorf("%w: whether %s still names commit %s cannot be told, because %s does not answer (%w): try again in a moment",
			module.ErrUnavailable, s.Confirm, short(s.Ref), s.Repo, err)
	case commit != s.Ref:
		return fmt.Errorf("%w: %s of %s was moved: the build would be of commit %s and it names %s now; a version never changes, so tag that commit with a new one",
			module.ErrConflict, s.Confirm, s.Repo, short(s.Ref), short(commit))
	}
	return nil
}
