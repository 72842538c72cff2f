package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"sidepop/auth"
	"sidepop/auth/postfix"
	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/privilege"
)

// probeDomain is one that nobody has (RFC 2606, section 2): tables are asked for it
// to find out whether they answer.
const probeDomain = "sidepop.invalid"

// logins says who can log in.
func (c *checkup) logins(ctx context.Context) {
	s := c.Section("Accounts")
	if c.accounts != nil {
		for i, b := range c.Chain {
			s.Fact(fmt.Sprintf("%d. %s", i+1, b.Name), "%s", c.describe(&b))
			switch b.Name {
			case config.SourcePasswd:
				c.passwdFile(s)
			case config.SourcePAM:
				c.askPAM(ctx)
			}
		}
		c.probeTables(ctx)
		c.virtualUsers()
	}
	c.absentees(ctx, s)
	if c.accounts != nil {
		c.mechanisms(s)
	}
	if c.config.Auth.Plaintext {
		c.Warn("Take plaintext out of the table [auth] in "+c.file+". Clients that know TLS need no other setting.",
			"auth.plaintext is on: passwords can cross the network so that others can read them.")
	}
}

// mechanisms says how clients can log in.
func (c *checkup) mechanisms(s *check.Section) {
	b := newBackend(c.config, c.accounts, lasting{})
	for i, where := range []string{"log in where others can read", "log in with TLS, or from here"} {
		o := b.offers()[i]
		ways := o.SASL
		if o.APOP {
			ways = append([]string{"APOP"}, ways...)
		}
		if o.Password {
			ways = append([]string{"USER"}, ways...)
		}
		if len(ways) == 0 {
			ways = []string{"not at all"}
		}
		s.Fact(where, "%s", strings.Join(ways, ", "))
	}
	if file := c.config.Auth.MasterUsers; file != "" {
		s.Fact("master users", "those of %s, as anybody", file)
	}
}

// absentees says why sources are not asked that could be.
func (c *checkup) absentees(ctx context.Context, s *check.Section) {
	if c.config.Auth.Sources != nil {
		return
	}
	a := c.accounts
	if a == nil {
		a = &accounts{config: c.config}
		a.tables, _ = virtualTables(ctx, c.config, c.found) // open has told
	}
	for _, source := range config.Sources {
		if reason := a.absent(source); reason != "" {
			s.Fact("not asked: "+source, "%s", reason)
		}
	}
}

// describe says in words what a source is.
func (c *checkup) describe(b *auth.Binding) string {
	a, text := c.config.Auth, ""
	switch b.Name {
	case config.SourcePasswd:
		text = "the file " + a.PasswdFile
		if strings.Contains(a.PasswdFile, "%d") {
			text = "a file for each domain, " + a.PasswdFile
		}
	case config.SourceVirtual:
		text = "Postfix's virtual mailboxes, with passwords in " + c.passwordTables()
	case config.SourcePAM:
		helper, _ := helperProgram(c.config) // or it would be absent
		text = fmt.Sprintf("system users, through PAM with %s (%s)", pamFile(c.config), helper)
	}
	if b.Domains != nil {
		text += ", only for " + strings.Join(b.Domains, ", ")
	}
	if b.Name == config.SourcePAM {
		text += "; " + c.localDomains()
	}
	return text
}

// localDomains says with which domains a system user may log in.
func (c *checkup) localDomains() string {
	switch given := c.config.Auth.PAMDomains; {
	case len(given) > 0:
		return "with an address in " + strings.Join(given, ", ") + " (auth.pam_domains)"
	case given == nil && c.found != nil && c.found.Postfix != nil:
		return "with an address in Postfix's mydestination (" + c.found.Postfix.Parameter("mydestination") + ")"
	case given == nil && c.found != nil && c.found.Name != "":
		return "with an address in a local domain of " + c.found.Name
	}
	return "with names without a domain"
}

// passwdFile counts the users of a passwd file, and those who have no mailbox.
func (c *checkup) passwdFile(s *check.Section) {
	users, astray := 0, 0
	var first error
	err := c.passwd.Accounts(func(a *auth.Account) {
		users++
		if _, _, err := c.places.of(a); err != nil {
			if astray++; first == nil {
				first = err
			}
		}
	})
	switch {
	case strings.Contains(c.config.Auth.PasswdFile, "%d"):
		return // who is in them is not known
	case c.hidden(c.config.Auth.PasswdFile):
		return
	case errors.Is(err, auth.ErrTemporary):
		return // folders says so
	case err != nil:
		c.Error("", "The passwd file can't be used: %v", err)
		return
	}
	s.Fact("users", "%s, %s", plural(int64(users), "user"), plural(int64(len(c.warned)), "malformed line"))
	for _, err := range c.warned {
		c.Warn("Correct that line: sidepop.toml(5) shows the format.", "%v", err)
	}
	switch {
	case users == 0:
		c.Warn("Add users: name:hash, a line each. \"sidepop auth hash\" makes a hash.", "No user is in %s.", c.config.Auth.PasswdFile)
	case astray == users:
		c.Error("", "No user of %s has a mailbox: %v", c.config.Auth.PasswdFile, first)
	case astray > 0:
		c.Warn("\"sidepop check USER\" says it for each.", "%d of %d users of %s have no mailbox, the first because: %v",
			astray, users, c.config.Auth.PasswdFile, first)
	}
}

// hidden says whether a file is one that this user may not read, though the server
// may.
func (c *checkup) hidden(path string) bool {
	if c.root || path == "" || !forbidden(path) {
		return false
	}
	c.Miss("%s, which user id %d may not read.", path, os.Geteuid())
	return true
}

// askPAM finds out whether the helper works, with a name that every system has, and
// whether the MTA can say which domains are local.
func (c *checkup) askPAM(ctx context.Context) {
	if _, err := c.pam.Account(ctx, "root"); err != nil && !errors.Is(err, auth.ErrUnknown) {
		path, _ := helperProgram(c.config) // or PAM would not be asked
		c.Error("Start it by hand, to see what it says: "+path+" --version", "The PAM helper does not answer: %v", err)
	}
	if c.config.Auth.PAMDomains != nil || c.found == nil || c.found.Name == "" {
		return
	}
	if _, err := c.found.LocalDomain(ctx, probeDomain); err != nil {
		c.Warn("Name the domains in auth.pam_domains in "+c.file+".",
			"%s can't say which domains are local, so that system users can't log in with an address: %v", c.found.Name, err)
	}
}

// probeTables finds out whether Postfix's tables can be asked, if logins need them.
func (c *checkup) probeTables(ctx context.Context) {
	byAddress := c.passwd != nil && c.config.Mailbox == ""
	asked := slices.ContainsFunc(c.Chain, func(b auth.Binding) bool { return b.Name == config.SourceVirtual })
	for _, p := range c.tables {
		if !asked && !byAddress {
			continue
		}
		privilege.WithoutOverride(func() { c.probe(ctx, p, asked) })
	}
}

// probe looks for what nobody has in the tables of one Postfix.
func (c *checkup) probe(ctx context.Context, p *postfix.Postfix, passwords bool) {
	const remedy = "Make the table (postmap), or have its database answer. The keeper reads tables as root, without root's right to pass over permissions" +
		", and uses databases on this machine alone, unless auth.network is on."
	if _, err := auth.HasVirtual(ctx, p, probeDomain); err != nil {
		c.Error(remedy, "Postfix's virtual domains (%s in %s) can't be looked up: %v", p.Parameter("virtual_mailbox_domains"), p.ConfigDir(), err)
	}
	if _, err := p.Mailbox(ctx, "nobody@"+probeDomain); err != nil && !errors.Is(err, postfix.ErrUnknown) {
		c.Error(remedy, "Postfix's virtual mailboxes (%s in %s) can't be looked up: %v", p.Parameter("virtual_mailbox_maps"), p.ConfigDir(), err)
	}
	if !passwords {
		return
	}
	if err := c.probePasswords(ctx, p); err != nil {
		c.Error(remedy, "The passwords of virtual users (%s in %s) can't be looked up: %v", c.passwordTables(), c.file, err)
	}
}

// probePasswords looks an address up in the tables of passwords.
func (c *checkup) probePasswords(ctx context.Context, p *postfix.Postfix) error {
	passwords, err := p.Table(c.config.Auth.PasswordMaps)
	if err != nil {
		return err
	}
	_, _, _, err = passwords.LookupAddress(ctx, "nobody@"+probeDomain)
	return err
}

// virtualUsers is about virtual mailboxes that nobody can log in to, and about
// whose they are.
func (c *checkup) virtualUsers() {
	for _, p := range c.tables {
		if p.Parameter("virtual_mailbox_maps") == "" {
			continue
		}
		if c.passwd == nil && c.config.Auth.PasswordMaps == "" {
			c.Warn("Set auth.password_maps or auth.passwd_file in "+c.file+".",
				"Postfix in %s has virtual mailboxes (%s), and sidepop knows no passwords for them.", p.ConfigDir(), p.Parameter("virtual_mailbox_maps"))
		}
		id, ok := strings.CutPrefix(strings.TrimSpace(p.Parameter("virtual_uid_maps")), "static:")
		if uid, err := strconv.Atoi(id); ok && err == nil && uid < c.config.MinUID {
			c.Error(fmt.Sprintf("Set minimum_uid = %d in %s.", uid, c.file),
				"Virtual mailboxes belong to user id %d (virtual_uid_maps), and mail of ids below minimum_uid = %d is not served.", uid, c.config.MinUID)
		}
	}
}
