package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"sidepop/auth/postfix"
)

// Virtual has the users of Postfix's virtual mailboxes: who logs in with an
// address gets the mail that virtual(8) delivers to it.
//
// Which forms of passwords there are is known only from those that logins have
// needed since the start.
type Virtual struct {
	instances []virtualInstance

	mu     sync.Mutex
	clear  bool                // a password was kept as it is
	shapes [scrams]scramShapes // of passwords that are of use, each once
}

// virtualInstance is one Postfix, and the passwords as its tables have them.
type virtualInstance struct {
	*postfix.Postfix
	passwords *postfix.Table
}

// NewVirtual asks instances of Postfix in their order: the first that has an
// address's domain among its virtual ones decides. Passwords names tables, as
// main.cf does, that give a field of the kind of a passwd file's for an address.
// It fails where these can't be tables.
func NewVirtual(instances []*postfix.Postfix, passwords string) (*Virtual, error) {
	v := &Virtual{}
	for kind := range v.shapes {
		v.shapes[kind] = make(scramShapes)
	}
	for _, p := range instances {
		t, err := p.Table(passwords)
		if err != nil {
			return nil, fmt.Errorf("virtual users: %w", virtualError(err))
		}
		v.instances = append(v.instances, virtualInstance{p, t})
	}
	return v, nil
}

// Verify implements [Source]. An address that is not there takes as long as one
// with a password of the kind that sidepop makes.
func (v *Virtual) Verify(ctx context.Context, l Login) (*Account, error) {
	match, err := l.match()
	if err != nil {
		return nil, err
	}
	i, name, field, err := v.find(ctx, l.User)
	if errors.Is(err, ErrUnknown) {
		const locked = "!"
		if _, _, err := matchField(ctx, locked, match); err != nil {
			return nil, err
		}
		return nil, &fault{ErrCredentials, err}
	}
	if err != nil {
		return nil, err
	}
	right, s, err := matchField(ctx, field, match)
	if err != nil {
		return nil, fmt.Errorf("password of %s: %w", name, err)
	}
	v.note(s)
	if !right {
		return nil, fmt.Errorf("%s: %w", name, ErrCredentials)
	}
	return i.account(ctx, name)
}

// note remembers in which form a password is.
func (v *Virtual) note(s secret) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear = v.clear || s.clear != ""
	for kind := range SCRAM(scrams) {
		shape, ok := s.shape(kind)
		if ok && len(v.shapes[kind]) < maxShapes {
			v.shapes[kind][shape] = 1
		}
	}
}

// maxShapes bounds what is remembered: tables have secrets of a few kinds.
const maxShapes = 100

// Holds says whether passwords are kept in a form: [None] or [Some], as far as
// logins have needed them.
func (v *Virtual) Holds(f Form) Extent {
	v.mu.Lock()
	defer v.mu.Unlock()
	kind, isSCRAM := f.scram()
	if isSCRAM && len(v.shapes[kind]) > 0 || f == FormClear && v.clear {
		return Some
	}
	return None
}

// scramSecret implements [keysSource]. Decoys are like those passwords that logins have
// needed since the start: a table can't be asked for all.
func (v *Virtual) scramSecret(ctx context.Context, q keysQuery) (*secret, scramShapes, error) {
	_, _, field, err := v.find(ctx, q.user)
	if err != nil && !errors.Is(err, ErrUnknown) {
		return nil, nil, err
	}
	var s *secret
	if err == nil {
		if parsed, err := parseSecret(field); err == nil { // else it is of this user alone
			v.note(parsed)
			s = parsed.useful(q.kind)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return s, maps.Clone(v.shapes[q.kind]), nil
}

// Account implements [Source].
func (v *Virtual) Account(ctx context.Context, user string) (*Account, error) {
	i, name, _, err := v.find(ctx, user)
	if err != nil {
		return nil, err
	}
	return i.account(ctx, name)
}

// find finds the instance that has an address, the address as its table spells it,
// and the password field.
func (v *Virtual) find(ctx context.Context, user string) (i *virtualInstance, name, field string, err error) {
	names, err := nameForms(user)
	if err != nil {
		return nil, "", "", err
	}
	_, domain := splitUser(user)
	if !isHostName(strings.ToLower(domain)) {
		return nil, "", "", fmt.Errorf("%w: %q is not an address", ErrUnknown, user)
	}
	if i, err = v.instance(ctx, strings.ToLower(domain)); err != nil {
		return nil, "", "", err
	}
	for _, form := range names {
		value, key, ok, err := i.passwords.LookupAddress(ctx, form)
		if err != nil {
			return nil, "", "", fmt.Errorf("passwords of virtual users: %w", virtualError(err))
		}
		if ok {
			return i, key, value, nil
		}
	}
	return nil, "", "", fmt.Errorf("%w: %q has no password", ErrUnknown, user)
}

// instance is the one that has a domain.
func (v *Virtual) instance(ctx context.Context, domain string) (*virtualInstance, error) {
	for i := range v.instances {
		has, err := HasVirtual(ctx, v.instances[i].Postfix, domain)
		if err != nil {
			return nil, err
		}
		if has {
			return &v.instances[i], nil
		}
	}
	return nil, fmt.Errorf("%w: %s is none of Postfix's virtual domains", ErrUnknown, domain)
}

// account is that of an address with a mailbox.
func (i *virtualInstance) account(ctx context.Context, address string) (*Account, error) {
	a := &Account{Name: address}
	if err := Locate(ctx, i.Postfix, a); err != nil {
		return nil, err
	}
	return a, nil
}

// HasVirtual says whether Postfix delivers mail for a domain to virtual mailboxes:
// one that is local too is not among these. An error wraps [ErrTemporary] or
// [ErrPermanent].
func HasVirtual(ctx context.Context, p *postfix.Postfix, domain string) (bool, error) {
	has, err := p.LocalDomain(ctx, domain)
	if err != nil {
		return false, fmt.Errorf("local domains: %w", virtualError(err))
	}
	if has {
		return false, nil
	}
	if has, err = p.VirtualDomain(ctx, domain); err != nil {
		return false, fmt.Errorf("virtual domains: %w", virtualError(err))
	}
	return has, nil
}

// Locate gives an account with an address as its name the Maildir to which
// virtual(8) delivers mail for it, and the ids as which it does. Where Postfix hands
// virtual users' mail to something else, which alone knows where it is, the account
// stays as it is. An error wraps [ErrTemporary] or [ErrPermanent]: that there is no
// such mailbox is a fault of the configuration for somebody who can log in.
func Locate(ctx context.Context, p *postfix.Postfix, a *Account) error {
	if transport, _, _ := strings.Cut(p.Parameter("virtual_transport"), ":"); transport != "virtual" {
		return nil
	}
	m, err := p.Mailbox(ctx, a.Name)
	switch {
	case errors.Is(err, postfix.ErrUnknown):
		return &fault{ErrPermanent, fmt.Errorf("no virtual mailbox: %w", err)}
	case err != nil:
		return fmt.Errorf("mailbox of %s: %w", a.Name, virtualError(err))
	case !m.Maildir:
		return &fault{ErrPermanent, fmt.Errorf("mail for %s is delivered to the file %s, not to a Maildir: let the entry of %s in %s end in a slash",
			a.Name, m.Path, m.Key, m.Map)}
	}
	a.Maildir, a.UID, a.GID = m.Path, &m.UID, &m.GID
	return nil
}

// virtualError is the one place where an error of package postfix becomes one of
// this package.
func virtualError(err error) error {
	kind := ErrPermanent
	if errors.Is(err, postfix.ErrTemporary) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		kind = ErrTemporary
	}
	return &fault{kind, err}
}
