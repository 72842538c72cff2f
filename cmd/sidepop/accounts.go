package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"sidepop/auth"
	"sidepop/auth/oauth"
	"sidepop/auth/postfix"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/mta"
)

// accounts is who can log in, and where their mail is, as one configuration and
// this machine's MTA have it.
type accounts struct {
	auth.Masters
	places *places
	tokens *oauth.Validator   // nil: tokens are not taken
	passwd *auth.Passwd       // nil: there is no file
	pam    *auth.PAM          // nil: it is not asked
	tables []*postfix.Postfix // with virtual mailboxes
	local  domainFunc         // whether a domain is one of system users; nil: none is
	config *config.Config

	certificates *auth.Certificates // of clients; nil: there are none
}

// newAccounts joins the sources that a configuration asks for, or that there are.
// Found is nil where nothing was looked for.
func newAccounts(ctx context.Context, c *config.Config, found *mta.MTA, h *helpers, warn func(error)) (*accounts, error) {
	a := &accounts{config: c}
	var err error
	if a.places, err = newPlaces(c, found); err != nil {
		if unfit := c.Check(os.Geteuid()); unfit != nil {
			return nil, unfit // which says what to do
		}
		return nil, err
	}
	if c.TLS.ClientCA != "" || c.Listen.ProxyCertificates {
		if a.certificates, err = auth.OpenCertificates(c.TLS.ClientCA, c.Auth.CertificateUsers); err != nil {
			return nil, config.Problems{c.Problem("tls.client_ca", err.Error())}
		}
	}
	if a.tables, err = virtualTables(ctx, c, found); err != nil {
		return nil, err
	}
	for _, name := range config.Sources {
		if c.Auth.Sources == nil && a.absent(name) == "" {
			err = a.add(name, found, h, warn)
		}
	}
	for _, name := range c.Auth.Sources {
		if reason := a.absent(name); reason != "" {
			return nil, config.Problems{c.Problem("auth.sources", fmt.Sprintf("%q can't be asked: %s", name, reason))}
		}
		err = errors.Join(err, a.add(name, found, h, warn))
	}
	if c.Auth.MasterUsers != "" {
		a.Masters.Users = auth.NewPasswd(c.Auth.MasterUsers, warn)
	}
	if err == nil {
		err = a.nobody()
	}
	if err == nil && c.Auth.Tokens() {
		options := c.Auth.OAuth
		options.Warn = warn
		a.tokens, err = oauth.New(options)
	}
	return a, err
}

// nobody is the problem of a configuration without any source.
func (a *accounts) nobody() error {
	c := a.config
	if c.Auth.Sources != nil || slices.ContainsFunc(config.Sources, func(source string) bool { return a.absent(source) == "" }) {
		return nil
	}
	return config.Problems{c.Problem("auth", "nobody can log in: "+a.absent(config.SourcePAM)).
		WithRemedy("do so, or set passwd_file or password_maps in the table [auth] of the configuration")}
}

// absent says why a source can't be asked; "" if it can.
func (a *accounts) absent(source string) string {
	c := a.config.Auth
	switch {
	case source == config.SourcePasswd && c.PasswdFile == "":
		return "auth.passwd_file is not set"
	case source == config.SourceVirtual && c.PasswordMaps == "":
		return "auth.password_maps is not set"
	case source == config.SourceVirtual && len(a.tables) == 0:
		return "there is no Postfix"
	case source == config.SourcePAM:
		return pamAbsent(a.config)
	}
	return ""
}

// add puts a source at the end of the chain.
func (a *accounts) add(name string, found *mta.MTA, h *helpers, warn func(error)) error {
	c := a.config.Auth
	b := auth.Binding{Name: name}
	switch name {
	case config.SourcePasswd:
		a.passwd = auth.NewPasswd(c.PasswdFile, warn)
		b.Domains = c.PasswdDomains
		b.Source = a.passwd
		if a.config.Mailbox == "" && len(a.tables) > 0 {
			b.Source = located{a.passwd, a.tables}
		}
	case config.SourceVirtual:
		v, err := auth.NewVirtual(a.tables, c.PasswordMaps)
		if err != nil {
			return config.Problems{a.config.Problem("auth.password_maps", err.Error())}
		}
		b.Domains = c.VirtualDomains
		b.Source = v
	case config.SourcePAM:
		pool, err := h.pool(a.config)
		if err != nil {
			return err
		}
		a.local = localDomains(c.PAMDomains, found)
		a.pam = auth.NewPAM(auth.PAMOptions{
			Pool: h.counted(pool), Service: c.PAMService, Session: c.PAMSession, FoldCase: c.FoldCase,
			Local: a.local, Said: h.events.Said,
		})
		b.Source = a.pam
	}
	a.Chain = append(a.Chain, b)
	return nil
}

// domainFunc says whether a domain, in lower case, is of some kind.
type domainFunc func(ctx context.Context, domain string) (bool, error)

// localDomains says which domains' addresses are those of system users.
func localDomains(given []string, found *mta.MTA) domainFunc {
	switch {
	case given != nil:
		return func(_ context.Context, domain string) (bool, error) {
			return slices.Contains(given, strings.ToLower(domain)), nil
		}
	case found != nil && found.Name != "":
		return found.LocalDomain
	}
	return nil
}

// virtualTables opens the instances of Postfix that have virtual mailboxes.
func virtualTables(ctx context.Context, c *config.Config, found *mta.MTA) ([]*postfix.Postfix, error) {
	if c.Auth.Postfix == nil {
		if found == nil || found.Postfix == nil {
			return nil, nil
		}
		return []*postfix.Postfix{found.Postfix}, nil
	}
	var all []*postfix.Postfix
	for _, dir := range c.Auth.Postfix {
		p, err := postfix.Open(ctx, postfix.Options{ConfigDir: dir})
		if err != nil {
			return nil, config.Problems{c.Problem("auth.postfix", err.Error())}
		}
		all = append(all, p)
	}
	return all, nil
}

// located has the accounts of a passwd file, with the Maildirs of Postfix's virtual
// mailboxes where a line says nothing of its own.
type located struct {
	*auth.Passwd
	tables []*postfix.Postfix
}

// Verify implements [auth.Source].
func (l located) Verify(ctx context.Context, login auth.Login) (*auth.Account, error) {
	a, err := l.Passwd.Verify(ctx, login)
	return l.locate(ctx, a, err)
}

// Account implements [auth.Source].
func (l located) Account(ctx context.Context, user string) (*auth.Account, error) {
	a, err := l.Passwd.Account(ctx, user)
	return l.locate(ctx, a, err)
}

// Admit is for who needs no password what Verify is for others.
func (l located) Admit(ctx context.Context, user string, remote netip.Addr) (*auth.Account, error) {
	a, err := l.Passwd.Admit(ctx, user, remote)
	return l.locate(ctx, a, err)
}

func (l located) locate(ctx context.Context, a *auth.Account, err error) (*auth.Account, error) {
	if err != nil || a.Mail != "" || a.Home != "" {
		return a, err
	}
	_, domain, ok := strings.Cut(a.Name, "@")
	for i := 0; ok && i < len(l.tables); i++ {
		has, err := auth.HasVirtual(ctx, l.tables[i], domain)
		if err != nil {
			return nil, err
		}
		if has {
			return a, auth.Locate(ctx, l.tables[i], a)
		}
	}
	return a, nil
}

// name gives the one name of those that may be an account's, for failures to be
// counted by: Postfix's virtual users may log in with any extension, and system users
// with each domain that is the MTA's. It takes no look at accounts. Where a domain
// can't be told, the name stays as it is.
func (a *accounts) name(ctx context.Context, user string) string {
	if at := strings.LastIndexByte(user, '@'); at >= 0 && a.local != nil {
		if is, err := a.local(ctx, strings.ToLower(user[at+1:])); err == nil && is {
			return user[:at]
		}
	}
	return a.bare(user)
}

// bare is a name without an extension of Postfix's.
func (a *accounts) bare(user string) string {
	for _, p := range a.tables {
		user = p.Bare(user)
	}
	return user
}

// saltName gives the one name of those with which somebody may find the same secret for
// SCRAM, for the salts of who does not exist. System users have none, so that their
// domains do not count.
func (a *accounts) saltName(user string) string {
	if slices.ContainsFunc(a.Chain, func(b auth.Binding) bool { return b.Name == config.SourceVirtual }) {
		return a.bare(user)
	}
	return user
}

// each calls f with the accounts that can be listed: those of a passwd file for
// all users (with a file for each domain there is no list of them), and those of
// the system.
func (a *accounts) each(f func(*auth.Account)) {
	if a.passwd != nil {
		_ = a.passwd.Accounts(f) // a login tells what is wrong with the file
	}
	if a.pam != nil || inHome(a.places.template()) {
		_ = auth.SystemAccounts(auth.SystemFile, f)
	}
}

// inHome says that a template is that of a path in homes.
func inHome(template string) bool {
	return strings.HasPrefix(template, "~") || strings.HasPrefix(template, "%h")
}

// files are those whose change may change who can log in.
func (a *accounts) files() (all []string) {
	if a.passwd != nil {
		all = append(all, a.passwd.Files()...)
	}
	if a.Masters.Users != nil {
		all = append(all, a.Masters.Users.Files()...)
	}
	for _, p := range a.tables {
		all = append(all, p.Files()...)
	}
	if a.pam != nil {
		all = append(all, pamFiles()...)
	}
	return all
}
