package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"sidepop/auth"
	"sidepop/auth/postfix"
	"sidepop/cmd/sidepop/internal/check"
)

// place is where the MTA delivers somebody's mail.
type place struct {
	path     string // of a Maildir; empty: it is none
	by       string // what decides that
	system   bool   // as that of a system user
	catchAll bool   // as that of whoever has no entry of his own in the domain
}

// delivery finds out whether the MTA puts a user's mail where it is looked for.
func (c *checkup) delivery(ctx context.Context, name string, a *auth.Account, path string, system bool) {
	if c.found == nil || c.found.Name == "" {
		return
	}
	s := c.Section("Delivery")
	to, unknown := c.delivered(ctx, a, system)
	switch {
	case unknown != "":
		s.Fact("to", "not known: %s", unknown)
	case to.path == "" && to.system:
		s.Fact("to", "not to a Maildir (%s)", to.by)
		c.Error(c.maildirRemedy(), "%s does not deliver %s's mail to a Maildir: %s.", c.found.Name, a.Name, to.by)
	case to.path == "":
		s.Fact("to", "not to a Maildir (%s)", to.by)
		c.Error("Let that entry end in a slash.", "%s does not deliver %s's mail to a Maildir: %s.", c.found.Name, a.Name, to.by)
	default:
		s.Fact("to", "%s (%s)", to.path, to.by)
		if to.path != path && !sameFolder(to.path, path) {
			c.Error(fmt.Sprintf("Let both be the same: change mailbox in %s, or %s.", c.file, to.by),
				"%s delivers %s's mail to %s, and sidepop looks for it in %s.", c.found.Name, a.Name, to.path, path)
		}
	}
	if to.system {
		c.elsewhere(s, a)
	}
	if to.catchAll {
		c.Warn("Give the address a mailbox of its own in virtual_mailbox_maps, or take its password away, unless that mail is meant for "+a.Name+".",
			"%s has no mailbox of its own and reads that of the whole domain's other mail: %s.", a.Name, to.by)
	}
	c.aliases(ctx, s, name)
}

// delivered is where the MTA puts a user's mail, or why that is unknown.
func (c *checkup) delivered(ctx context.Context, a *auth.Account, system bool) (to place, unknown string) {
	domain := domainOf(a.Name)
	for _, p := range c.tables {
		has, err := auth.HasVirtual(ctx, p, domain)
		switch {
		case domain == "":
		case err != nil:
			return to, err.Error()
		case has:
			return virtualPlace(ctx, p, a.Name)
		}
	}
	if !system {
		return to, "to " + c.found.Name + " it is neither a system user nor a virtual mailbox"
	}
	to = place{by: c.local.Setting + " in " + c.local.File, system: true}
	if !c.local.Maildir {
		return to, ""
	}
	if c.local.Template == "" {
		return to, "the configuration of " + c.found.Name + " does not tell (" + to.by + ")"
	}
	path, err := a.Expand(c.local.Template)
	if err != nil {
		return to, err.Error()
	}
	to.path = path
	return to, ""
}

// virtualPlace is where Postfix puts what comes for an address in a virtual domain.
func virtualPlace(ctx context.Context, p *postfix.Postfix, address string) (to place, unknown string) {
	if transport := p.Parameter("virtual_transport"); transport != "virtual" && !strings.HasPrefix(transport, "virtual:") {
		return to, "Postfix hands it on (virtual_transport = " + transport + ")"
	}
	m, err := p.Mailbox(ctx, address)
	if err != nil {
		return to, err.Error()
	}
	if to.by = entryOf(m); m.Maildir {
		to.path = m.Path
	}
	to.catchAll = strings.HasPrefix(m.Key, "@")
	return to, ""
}

// entryOf names the entry of a table that decides about a virtual mailbox.
func entryOf(m *postfix.Mailbox) string { return "the entry of " + m.Key + " in " + m.Map }

// elsewhere says what else may decide about a system user's mail.
func (c *checkup) elsewhere(s *check.Section, a *auth.Account) {
	for _, other := range c.local.Others {
		s.Fact("perhaps elsewhere", "%s", other)
	}
	for _, file := range []string{".forward", ".procmailrc", ".mailfilter"} {
		if path := filepath.Join(a.Home, file); a.Home != "" && exists(path) {
			s.Fact("perhaps elsewhere", "%s is there", path)
		}
	}
}
