package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrUnknown says that a source has no such user.
var ErrUnknown = errors.New("no such user")

// Account implements [Source]. The name is looked up as that of a login is. An
// account that nobody can log in to is found too. The error wraps
// [ErrCredentials] for what can't be a name.
func (p *Passwd) Account(_ context.Context, user string) (*Account, error) {
	rec, _, err := p.lookUp(user)
	if err != nil {
		return nil, err
	}
	return &rec.account, nil
}

// lookUp finds the record of a user, and where it is.
func (p *Passwd) lookUp(user string) (rec record, where string, err error) {
	names, err := nameForms(user)
	if err != nil {
		return record{}, "", err
	}
	domain := ""
	if p.perDomain() {
		_, domain = splitUser(strings.ToLower(user))
		names = withLocalParts(names)
	}
	users, err := p.table(domain)
	switch {
	case err != nil:
		return record{}, "", err
	case users == nil:
		return record{}, "", fmt.Errorf("%s: %w: there is no file for the domain %q", p.path, ErrUnknown, domain)
	}
	found, ok := users.find(names)
	if !ok {
		return record{}, "", fmt.Errorf("%s: %w: %q", users.path, ErrUnknown, user)
	}
	where = fmt.Sprintf("%s:%d", users.path, found.number)
	rec, err = parseLine(found.text)
	if err == nil {
		if p.perDomain() && !strings.Contains(rec.account.Name, "@") {
			rec.account.Name += "@" + domain
		}
		err = rec.account.expandHome()
	}
	if err != nil {
		return record{}, "", fmt.Errorf("%s: %w: %w", where, ErrPermanent, err)
	}
	return rec, where, nil
}

// Accounts calls f with every account of a file for all users, in no order.
// Lines that give none are left out. With a file for each domain there is
// nobody: which domains there are is not known.
func (p *Passwd) Accounts(f func(*Account)) error {
	if p.perDomain() {
		return nil
	}
	users, err := p.table("")
	if err != nil {
		return err
	}
	for _, l := range users.users {
		if rec, err := parseLine(l.text); err == nil && rec.account.expandHome() == nil {
			f(&rec.account)
		}
	}
	return nil
}
