package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"sidepop/auth/helper"
)

// admitter is a [Source] with more to say about somebody whom it need not know the
// secret of.
type admitter interface {
	Admit(ctx context.Context, user string, remote netip.Addr) (*Account, error)
}

// Admit finds the account of a user whom something else than a source has proved to
// be that, such as a bearer token, and who logs in from an address. What a source
// forbids otherwise than by a password holds. A name that is an account's only when it
// is prepared as typed ones are is refused: who has proved it need not be the account's
// owner. The error is as that of Verify; a user who has no account is [ErrCredentials].
func (c Chain) Admit(ctx context.Context, user string, remote netip.Addr) (*Account, error) {
	if !isPrepared(user) {
		return nil, fmt.Errorf("%w: the name %q holds characters that stand for others (RFC 4013, section 2), and may be that of somebody else", ErrCredentials, user)
	}
	account, err := c.ask(user, func(s Source) (*Account, error) {
		if a, ok := s.(admitter); ok {
			return a.Admit(ctx, user, remote)
		}
		return s.Account(ctx, user)
	})
	if errors.Is(err, ErrUnknown) && !errors.Is(err, ErrTemporary) && !errors.Is(err, ErrPermanent) {
		return nil, fmt.Errorf("%w: %q has no account: %w", ErrCredentials, user, err)
	}
	return account, err
}

// Admit is [Passwd.Account] for somebody who logs in without the password: nologin
// and allow_nets hold. A password that is locked, such as "!", keeps nobody out who
// needs none.
func (p *Passwd) Admit(_ context.Context, user string, remote netip.Addr) (*Account, error) {
	rec, where, err := p.lookUp(user)
	if err != nil {
		return nil, err
	}
	if err := rec.forbids(remote); err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return &rec.account, nil
}

// Admit is [PAM.Account] for somebody who logs in without the password: PAM is asked
// whether the account may log in, by the rules of its modules for accounts alone, and
// nobody does as root. A password that is locked keeps nobody out who needs none, as
// with keys in ssh; one that has expired does, with modules that say so.
func (p *PAM) Admit(ctx context.Context, user string, remote netip.Addr) (*Account, error) {
	found, err := p.Account(ctx, user)
	switch {
	case err != nil:
		return nil, err
	case *found.UID == 0:
		return nil, errRoot
	}
	account, err := p.accepted(p.options.Pool.Admit(ctx, &helper.Login{Service: p.options.Service, User: found.Name, Remote: remote}))
	if err != nil {
		return nil, p.inService(err)
	}
	return account, nil
}

// forbids says what keeps a user out who has the right password.
func (r *record) forbids(remote netip.Addr) error {
	switch {
	case r.nologin:
		return fmt.Errorf("%w: nologin is set", ErrDenied)
	case !r.nets.IsEmpty() && !r.nets.Contains(remote):
		return fmt.Errorf("%w: allow_nets does not hold the client's address", ErrDenied)
	}
	return nil
}
