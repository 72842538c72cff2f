package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/xdg-go/scram"
)

// Masters is all accounts, and the master users, who may log in as others: with
// their own password, and with the other's name as the authorization identity of
// SASL. It implements [Source].
type Masters struct {
	Chain

	// Users are the master users; nil: there are none. They are nobody's accounts
	// unless they are in the chain too.
	Users *Passwd
}

// Verify implements [Source]. The account is the other's: whether that could log in
// by itself does not matter.
func (m *Masters) Verify(ctx context.Context, l Login) (*Account, error) {
	if !l.AsOther() {
		return m.Chain.Verify(ctx, l)
	}
	if m.Users == nil {
		return nil, fmt.Errorf("%w: the authorization identity is not the user's own name, and there are no master users", ErrDenied)
	}
	if _, err := m.Users.Verify(ctx, l); err != nil {
		return nil, fmt.Errorf("master users: %w", err)
	}
	account, err := m.Account(ctx, l.Identity)
	if errors.Is(err, ErrUnknown) || errors.Is(err, ErrCredentials) {
		return nil, fmt.Errorf("%w: as whom a master user wants to log in: %w", ErrDenied, err)
	}
	return account, err
}

// AsOther says whether a login is one as somebody else.
func (l *Login) AsOther() bool { return l.Identity != "" && l.Identity != l.User }

// scramKeys gives the keys for a login with an authorization identity. A name that is
// another of an account's, and nobody's for its source, is answered as that account's
// own is, and takes as long as one that is somebody's. Fault is that of a source, for
// whose users the proof is not right.
func (m *Masters) scramKeys(ctx context.Context, q keysQuery, identity string) (keys scram.StoredCredentials, fault, err error) {
	source := m.Chain
	if l := (Login{User: q.user, Identity: identity}); l.AsOther() && m.Users != nil {
		source = Chain{{Name: "master users", Source: m.Users}}
	}
	keys, known, fault, err := source.scramKeys(ctx, q)
	if err != nil || q.name == q.user {
		return keys, fault, err
	}
	q.user = q.name
	decoy, _, _, err := source.scramKeys(ctx, q)
	if err != nil || known {
		return keys, fault, err
	}
	return unprovable(decoy), fault, nil
}
