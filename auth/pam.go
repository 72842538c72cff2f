package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"sidepop/auth/helper"
)

// PAMPool asks the process that has PAM and NSS; [helper.Pool] is one.
type PAMPool interface {
	Authenticate(ctx context.Context, l *helper.Login) (helper.Answer, error)
	Admit(ctx context.Context, l *helper.Login) (helper.Answer, error)
	Lookup(ctx context.Context, user string) (helper.Answer, error)
}

// PAMOptions say how system users log in.
type PAMOptions struct {
	Pool PAMPool

	// Service is the name of the PAM service, a file in /etc/pam.d.
	Service string

	// Session has credentials established and a session opened and closed at
	// each login, for modules that act then, such as pam_mkhomedir.
	Session bool

	// FoldCase takes a name in lower case that the system does not know as it
	// was typed, as local(8) of Postfix does with the addresses it delivers to.
	FoldCase bool

	// Local says whether a domain, in lower case, is one whose mail goes to
	// system users: then user@domain is the user before the "@". Nil: none is.
	// An error is a fault that may pass.
	Local func(ctx context.Context, domain string) (bool, error)

	// Said is told, for the log, what modules say to users who may log in, such as
	// that a password expires soon; nil: nobody is.
	Said func(user string, messages []string)
}

// PAM has the system's users: PAM says whether a password is right and whether its
// owner may log in, NSS what the account is. It implements [Source].
//
// The time that Verify takes tells who exists: whoever answers a client has to
// even it out.
type PAM struct{ options PAMOptions }

// NewPAM makes a source. Options without a pool or a service can't be used.
func NewPAM(o PAMOptions) *PAM { return &PAM{o} }

// Verify implements [Source]. A password is ErrCredentials until PAM has said that
// it is right: who is locked out does not learn it. Nobody logs in as root, right
// password or not.
func (p *PAM) Verify(ctx context.Context, l Login) (*Account, error) {
	if l.Proof != nil {
		return nil, fmt.Errorf("%w: PAM needs the password itself, which the client's mechanism does not send", ErrCredentials)
	}
	passwords, err := passwordForms(l.Password)
	if err != nil {
		return nil, err
	}
	names, err := p.names(ctx, l.User)
	if err != nil {
		return nil, err
	}
	user := names[0] // where nobody knows any: modules count and log who tries
	if len(names) > 1 {
		found, err := p.find(ctx, names)
		switch {
		case err == nil:
			user = found.Name
		case !errors.Is(err, ErrUnknown):
			return nil, err
		}
	}
	var account *Account
	for _, password := range passwords {
		account, err = p.authenticate(ctx, user, password, l)
		if !errors.Is(err, ErrCredentials) {
			break
		}
	}
	if err != nil {
		return nil, p.inService(err)
	}
	return account, nil
}

func (p *PAM) inService(err error) error {
	return fmt.Errorf("PAM service %s: %w", p.options.Service, err)
}

// Account implements [Source]. PAM is not asked: an account that nobody can log
// in to is found too.
func (p *PAM) Account(ctx context.Context, user string) (*Account, error) {
	names, err := p.names(ctx, user)
	if err != nil {
		return nil, err
	}
	account, err := p.find(ctx, names)
	if err != nil {
		return nil, err
	}
	return account, nil
}

// names gives those that a name as typed may be the system's as.
func (p *PAM) names(ctx context.Context, user string) ([]string, error) {
	if len(user) > MaxUserOctets {
		return nil, fmt.Errorf("%w: user name is longer than %d octets", ErrCredentials, MaxUserOctets)
	}
	local := user
	if strings.Contains(user, "@") {
		var domain string
		local, domain = splitUser(user)
		switch is, err := p.isLocal(ctx, strings.ToLower(domain)); {
		case err != nil:
			return nil, &fault{ErrTemporary, fmt.Errorf("whether %q is a domain of system users: %w", domain, err)}
		case !is:
			return nil, &fault{ErrCredentials, fmt.Errorf("%w: %q is not a domain of system users", ErrUnknown, domain)}
		}
	}
	names, err := nameForms(local)
	if err == nil && !p.options.FoldCase {
		names, err = userForms(local)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func (p *PAM) isLocal(ctx context.Context, domain string) (bool, error) {
	if p.options.Local == nil {
		return false, nil
	}
	return p.options.Local(ctx, domain)
}

// checkName refuses what no system user is called and modules might take for
// something else: a path, an option of a program that they start, more lines, or a
// name in a domain of a directory's that is not [PAMOptions].Local.
func checkName(name string) error {
	switch {
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("%w: user name begins with -", ErrCredentials)
	case strings.Contains(name, "/"):
		return fmt.Errorf("%w: user name holds /", ErrCredentials)
	case strings.Contains(name, "@"):
		return fmt.Errorf("%w: user name holds two @", ErrCredentials)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: user name holds a control character", ErrCredentials)
	}
	return nil
}

// find gives the account of the first name that the system knows.
func (p *PAM) find(ctx context.Context, names []string) (*Account, error) {
	for _, name := range names {
		a, err := p.options.Pool.Lookup(ctx, name)
		switch {
		case err != nil:
			return nil, poolError(err)
		case a.Outcome == helper.Found:
			return accountOf(&a.Account), nil
		case a.Outcome != helper.Unknown:
			return nil, outcomeError(a)
		}
	}
	return nil, fmt.Errorf("%w: the system has no user %q", ErrUnknown, names[0])
}

// authenticate asks PAM.
func (p *PAM) authenticate(ctx context.Context, user, password string, l Login) (*Account, error) {
	login := helper.Login{
		Service: p.options.Service, User: user, Password: helper.Secret(password), Remote: l.Remote,
		SetCred: p.options.Session, OpenSession: p.options.Session,
	}
	a, err := p.options.Pool.Authenticate(ctx, &login)
	login.Password.Wipe()
	return p.accepted(a, err)
}

// accepted gives the account of somebody whom PAM lets in.
func (p *PAM) accepted(a helper.Answer, err error) (*Account, error) {
	switch {
	case err != nil:
		return nil, poolError(err)
	case a.Outcome != helper.Accepted:
		return nil, outcomeError(a)
	case a.Account.UID == 0:
		return nil, errRoot
	}
	if len(a.Messages) > 0 && p.options.Said != nil {
		p.options.Said(a.Account.Name, a.Messages)
	}
	return accountOf(&a.Account), nil
}

// errRoot looks to a client as a wrong password: root's is not to be guessed here.
var errRoot = fmt.Errorf("%w: the account is root's, whose mail is never served", ErrDenied)

func accountOf(a *helper.Account) *Account {
	uid, gid := a.UID, a.GID
	account := &Account{Name: a.Name, UID: &uid, GID: &gid, Groups: a.Groups}
	if strings.HasPrefix(a.Home, "/") {
		account.Home = a.Home
	}
	return account
}

// poolError is the one place where an error of the pool becomes one of this package.
func poolError(err error) error {
	if errors.Is(err, helper.ErrRequest) {
		return &fault{ErrCredentials, err}
	}
	return &fault{ErrTemporary, err}
}

// kinds are what outcomes are to whoever logs in. What is missing is
// [ErrPermanent]. BrokenPrompt and Locked come from modules that may not have
// looked at the password, and a client must not learn from them who exists.
// NoLogin passes: the machine starts, or stops.
var kinds = map[helper.Outcome]error{
	helper.Credentials:     ErrCredentials,
	helper.Locked:          ErrCredentials,
	helper.BrokenPrompt:    ErrCredentials,
	helper.Denied:          ErrDenied,
	helper.AccountExpired:  ErrDenied,
	helper.PasswordExpired: ErrDenied,
	helper.NoLogin:         ErrTemporary,
	helper.Temporary:       ErrTemporary,
}

// outcomeError is the one place where an outcome becomes an error, with what the
// modules said for the log.
func outcomeError(a helper.Answer) error {
	kind, known := kinds[a.Outcome]
	if !known {
		kind = ErrPermanent
	}
	text := strings.Join(a.Messages, "; ")
	if text == "" {
		text = "the modules say nothing more"
	}
	if outcome := a.Outcome.String(); outcome != kind.Error() {
		text = outcome + ": " + text
	}
	if kind == ErrTemporary || kind == ErrPermanent {
		return &fault{kind, errors.New(text)}
	}
	return fmt.Errorf("%w: %s", kind, text)
}
