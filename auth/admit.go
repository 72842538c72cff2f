package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// admitter is a [Source] with more to say about somebody whom it need not know the
// secret of.
type admitter interface {
	Admit(ctx context.Context, user string, remote netip.Addr) (*Account, error)
}

// Admit finds the account of a user whom something else than a source has proved to
// be that, such as a bearer token, and who logs in from an address. What a source
// forbids otherwise than by a password holds. The error is as that of Verify; a user
// who has no account is [ErrCredentials].
func (c Chain) Admit(ctx context.Context, user string, remote netip.Addr) (*Account, error) {
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

// Admit is [PAM.Account] for somebody who logs in without the password: nobody does
// as root. PAM, whose modules want one, is not asked, so that what it alone knows, such
// as that an account has expired, holds for passwords only.
func (p *PAM) Admit(ctx context.Context, user string, _ netip.Addr) (*Account, error) {
	account, err := p.Account(ctx, user)
	if err == nil && *account.UID == 0 {
		return nil, errRoot
	}
	return account, err
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
