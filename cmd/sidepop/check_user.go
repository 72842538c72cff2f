package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/privilege"
)

// user follows one name from the login to the mail.
func (c *checkup) user(ctx context.Context, name string) {
	if c.config == nil {
		return
	}
	c.detect(ctx)
	if c.open(ctx); c.accounts == nil {
		return
	}
	account, source := c.findAccount(ctx, name)
	if account == nil {
		return
	}
	c.fit()
	c.describeAccount(account, source)
	c.networks(name, account)
	s := c.Section("Mailbox")
	if !c.root && account.UID != nil && int(*account.UID) != os.Geteuid() {
		s.Fact("path", "not looked at")
		c.Miss("The mailbox of %s, whose mail belongs to user id %d. Run this as root.", account.Name, *account.UID)
		return
	}
	path, owner, err := c.places.of(account)
	if err != nil {
		s.Fact("path", "none")
		c.Error("", "There is no mail for %s: %v", account.Name, err)
		return
	}
	s.Fact("path", "%s (%s)", path, c.deciderOf(ctx, account))
	s.Fact("owner", "user id %d, group id %d", owner.UID, owner.GID)
	c.maildir(s, path, &owner)
	c.delivery(ctx, name, account, path, source == config.SourcePAM || isSystem(account))
}

// findAccount asks each source for a name, as a login does, and gives the account
// of the first that has it.
func (c *checkup) findAccount(ctx context.Context, name string) (found *auth.Account, source string) {
	s := c.Section("Login as " + name)
	for _, b := range c.Chain {
		if !b.Serves(name) {
			s.Fact(b.Name, "not asked: it is only for %s", strings.Join(b.Domains, ", "))
			continue
		}
		account, err := c.ask(ctx, &b, name)
		switch {
		case err == nil && found == nil:
			found, source = account, b.Name
			s.Fact(b.Name, "has the account %s: %s", account.Name, c.describe(&b))
		case err == nil:
			s.Fact(b.Name, "has an account %s too, for logins with the password that is there", account.Name)
		case errors.Is(err, auth.ErrUnknown), errors.Is(err, auth.ErrCredentials):
			s.Fact(b.Name, "does not have it: %v", err)
		case errors.Is(err, auth.ErrPermanent):
			s.Fact(b.Name, "has it, but it can't be used: %v", err)
			c.Error("", "%s can't log in through %s: %v", name, b.Name, err)
		default:
			s.Fact(b.Name, "can't be asked: %v", err)
			c.Error("", "%s can't log in while %s can't be asked: %v", name, b.Name, err)
		}
	}
	if found == nil && c.Status() != check.StatusError {
		c.Error(c.addRemedy(ctx, name), "No source of accounts has %s: nobody can log in with that name.", name)
	}
	return found, source
}

// ask asks a source with the rights that the keeper has. PAM's helper has its own.
func (c *checkup) ask(ctx context.Context, b *auth.Binding, name string) (account *auth.Account, err error) {
	ask := func() { account, err = b.Source.Account(ctx, name) }
	if b.Name == config.SourcePAM {
		ask()
	} else {
		privilege.WithoutOverride(ask)
	}
	return account, err
}

// addRemedy is what may be wrong with a name that nobody has.
func (c *checkup) addRemedy(ctx context.Context, name string) string {
	domain := domainOf(name)
	for _, p := range c.tables {
		if has, err := auth.HasVirtual(ctx, p, domain); domain != "" && err == nil && has {
			where := "where those of the others are"
			if c.passwd == nil && c.config.Auth.PasswordMaps == "" {
				where = "in a table, and name that in auth.password_maps in " + c.file
			}
			return fmt.Sprintf("%s is a virtual domain of Postfix in %s: give the address a password %s.", domain, p.ConfigDir(), where)
		}
	}
	if domain != "" && c.pam != nil {
		if c.found == nil || c.found.Name == "" {
			return "Log in without the domain, or name it in auth.pam_domains in " + c.file + "."
		}
		local, err := c.found.LocalDomain(ctx, domain)
		if err != nil {
			return fmt.Sprintf("Whether %s is local to %s can't be found out: %v", domain, c.found.Name, err)
		}
		if !local {
			return fmt.Sprintf("%s is no local domain of %s: log in without it, or name it in auth.pam_domains in %s.", domain, c.found.Name, c.file)
		}
	}
	return "See whether the name is right, and add the user where the others are."
}

// domainOf is what comes after the last "@" of a name, in lower case; "" without one.
func domainOf(name string) string {
	at := strings.LastIndexByte(name, '@')
	if at < 0 {
		return ""
	}
	return strings.ToLower(name[at+1:])
}

// describeAccount says what is known of an account.
func (c *checkup) describeAccount(a *auth.Account, source string) {
	s := c.Section("Account")
	s.Fact("name", "%s", a.Name)
	if a.UID != nil {
		s.Fact("user id", "%d", *a.UID)
	}
	if a.GID != nil {
		s.Fact("group id", "%d", *a.GID)
	}
	if len(a.Groups) > 0 {
		s.Fact("groups", "%s", strings.Trim(fmt.Sprint(a.Groups), "[]"))
	}
	if a.Home != "" {
		s.Fact("home", "%s", a.Home)
	}
	if a.Mail != "" {
		s.Fact("mail setting", "%s", a.Mail)
	}
	if source == config.SourcePAM {
		for _, h := range systemHints(a.Name) {
			s.Fact("hint", "%s", h)
		}
	}
}

// networks says from where an account can log in, if that is not everywhere.
func (c *checkup) networks(name string, a *auth.Account) {
	o := c.config.Auth
	var facts []check.Fact
	if !o.Allow.IsEmpty() {
		facts = append(facts, check.Fact{Name: "only from", Text: "auth.allow in " + c.file})
	}
	if !o.Deny.IsEmpty() {
		facts = append(facts, check.Fact{Name: "not from", Text: "auth.deny in " + c.file})
	}
	for _, key := range []string{name, a.Name} {
		fact := check.Fact{Name: "only from", Text: fmt.Sprintf("%q of auth.user_networks in %s", networkRule(o.UserNetworks, key), c.file)}
		if networkRule(o.UserNetworks, key) != "" && !slices.Contains(facts, fact) {
			facts = append(facts, fact)
		}
	}
	if len(facts) > 0 {
		c.Section("Networks").Facts = facts
	}
}

// networkRule is the key of the rule for a name; "" is none.
func networkRule(rules map[string]auth.Networks, name string) string {
	for _, want := range []string{name, "@" + domainOf(name)} {
		for key := range rules {
			if strings.EqualFold(key, want) {
				return key
			}
		}
	}
	return ""
}

// deciderOf is the setting because of which an account's mail is where it is.
func (c *checkup) deciderOf(ctx context.Context, a *auth.Account) string {
	switch {
	case a.Maildir != "":
		for _, p := range c.tables {
			if m, err := p.Mailbox(ctx, a.Name); err == nil {
				return entryOf(m)
			}
		}
		return "Postfix's virtual mailboxes"
	case a.Mail != "":
		return "the mail setting of the account"
	}
	return c.decider()
}
