package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Login is an attempt to log in with a password, or with a proof in its place.
type Login struct {
	User     string // as the client gave it
	Password string
	Proof    *Proof     // not nil: it counts, and not Password
	Remote   netip.Addr // the client; the zero value where the connection has no address

	// Identity is the SASL authorization identity (RFC 4422, section 3.4.1): as
	// whom User wants to log in, "" as itself. [Masters] heeds it, and they alone.
	Identity string
}

// Source has accounts. Its methods may be called from many goroutines at once.
type Source interface {
	// Verify finds the account of a user and says whether the password is right.
	// An error wraps one of the Err values of this package about logins; it is
	// [ErrCredentials] too where the source has no such user.
	Verify(ctx context.Context, l Login) (*Account, error)

	// Account finds the account of a user without a secret, for commands of the
	// operator: a client must not learn who exists. The error wraps [ErrUnknown]
	// where there is none, [ErrTemporary] or [ErrPermanent].
	Account(ctx context.Context, user string) (*Account, error)
}

// Binding is a source in a [Chain].
type Binding struct {
	Name   string // for the log: passwd, pam, virtual
	Source Source

	// Domains are those of the names that the source is asked for, in lower
	// case; "" stands for names without one. Nil: it is asked for every name.
	Domains []string
}

// Serves says whether the source is asked for a name.
func (b *Binding) Serves(user string) bool {
	_, domain := splitUser(user)
	return b.Domains == nil || slices.Contains(b.Domains, strings.ToLower(domain))
}

// Chain asks several sources in order: the first that finds a password right
// decides. So a user may be in several of them, with a password in each.
type Chain []Binding

// Verify implements [Source]. Where no source finds the password right, a fault
// of one of them counts more than the refusal of another: it might have been the
// one. A password that is right, with a login that is not allowed, ends the search.
func (c Chain) Verify(ctx context.Context, l Login) (*Account, error) {
	return c.ask(l.User, func(s Source) (*Account, error) { return s.Verify(ctx, l) })
}

// Account implements [Source].
func (c Chain) Account(ctx context.Context, user string) (*Account, error) {
	return c.ask(user, func(s Source) (*Account, error) { return s.Account(ctx, user) })
}

// ask asks those sources that serve a user.
func (c Chain) ask(user string, ask func(Source) (*Account, error)) (*Account, error) {
	var refusals, faults []error
	for i := range c {
		b := &c[i]
		if !b.Serves(user) {
			continue
		}
		account, err := ask(b.Source)
		switch {
		case err == nil:
			return account, nil
		case errors.Is(err, ErrDenied):
			return nil, fmt.Errorf("%s: %w", b.Name, err)
		case errors.Is(err, ErrCredentials), errors.Is(err, ErrUnknown):
			refusals = append(refusals, fmt.Errorf("%s: %w", b.Name, err))
		default:
			faults = append(faults, fmt.Errorf("%s: %w", b.Name, err))
		}
	}
	switch {
	case len(faults) > 0:
		return nil, all(faults)
	case len(refusals) > 0:
		return nil, all(refusals)
	}
	_, domain := splitUser(user)
	return nil, &fault{ErrCredentials, fmt.Errorf("%w: no source of accounts serves the domain %q", ErrUnknown, domain)}
}

// all are the answers of several sources, in one line for the log.
type all []error

func (a all) Error() string {
	texts := make([]string, len(a))
	for i, err := range a {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (a all) Unwrap() []error { return a }
