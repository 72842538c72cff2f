package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/mta"
	"sidepop/cmd/sidepop/internal/privilege"
	"sidepop/index"
)

// places says where accounts have their mail, and whose it is.
type places struct {
	mailbox string       // for accounts without their own; empty: where the MTA delivers
	found   *mta.MTA     // nil: nothing is known of it
	owner   *index.Owner // of accounts that don't say; nil: there is none
	self    *index.Owner // who reads all mail; nil: its owners do
	minimum uint32       // the least user id of an owner
	front   uint32       // of the role that talks to the network, as root
}

// newPlaces looks up who is named in a configuration. Found, if not nil, says
// where the mail is if that does not.
func newPlaces(c *config.Config, found *mta.MTA) (*places, error) {
	p := &places{mailbox: c.Mailbox, found: found, minimum: uint32(c.MinUID)}
	switch {
	case os.Geteuid() != 0:
		p.self = &index.Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	default:
		front, err := privilege.Lookup(c.User)
		if err != nil {
			return nil, err
		}
		p.front = uint32(front.UID)
		if c.MailUser == "" {
			break
		}
		id, err := privilege.Lookup(c.MailUser)
		if err != nil {
			return nil, err
		}
		p.owner = &index.Owner{UID: uint32(id.UID), GID: uint32(id.GID)}
		for _, g := range id.Groups {
			p.owner.Groups = append(p.owner.Groups, uint32(g))
		}
	}
	return p, nil
}

// template is where the mail of accounts is that don't say it themselves.
func (p *places) template() string {
	if p.mailbox != "" {
		return p.mailbox
	}
	if p.found != nil {
		if local := p.found.Local(); local.Maildir && local.Template != "" {
			return local.Template
		}
	}
	return config.DefaultMailbox
}

// of is where an account's mail is, and whose.
func (p *places) of(a *auth.Account) (path string, owner index.Owner, err error) {
	if owner, err = p.ownerOf(a); err != nil {
		return "", owner, err
	}
	if a.Maildir != "" {
		return filepath.Clean(a.Maildir), owner, nil
	}
	template := p.template()
	if a.Mail != "" {
		if template, err = maildirOf(a.Mail); err != nil {
			return "", owner, fmt.Errorf("mail setting of %s: %w", a.Name, err)
		}
	}
	path, err = a.Expand(template)
	if err != nil {
		return "", owner, fmt.Errorf("mailbox %s of %s: %w", template, a.Name, err)
	}
	if !filepath.IsAbs(path) {
		return "", owner, fmt.Errorf("mailbox %s of %s is %q, expected a path from /", template, a.Name, path)
	}
	// The index and its watch take one spelling of a path.
	return filepath.Clean(path), owner, nil
}

// ownerOf is whose an account's mail is. It is never a service's or root's.
func (p *places) ownerOf(a *auth.Account) (index.Owner, error) {
	switch {
	case p.self != nil && a.UID != nil && *a.UID != p.self.UID:
		return index.Owner{}, fmt.Errorf("the mail of %s belongs to user id %d, and sidepop reads all mail as user id %d: "+
			"start it as root", a.Name, *a.UID, p.self.UID)
	case p.self != nil:
		return *p.self, nil
	case a.UID == nil && p.owner == nil:
		return index.Owner{}, fmt.Errorf("whose the mail of %s is is not known: give the account a uid and a gid, or set mail_user in the configuration", a.Name)
	case a.UID == nil:
		return *p.owner, nil
	case a.GID == nil:
		return index.Owner{}, fmt.Errorf("%s has a uid and no gid: give both or none", a.Name)
	case *a.UID == 0 || *a.GID == 0:
		return index.Owner{}, fmt.Errorf("the mail of %s belongs to root, whose mail is never served", a.Name)
	case *a.UID == p.front:
		return index.Owner{}, fmt.Errorf("the mail of %s belongs to user id %d, as which sidepop talks to the network: give the mail another owner", a.Name, *a.UID)
	case *a.UID < p.minimum:
		return index.Owner{}, fmt.Errorf("the mail of %s belongs to user id %d, and that of ids below %d is not served: "+
			"lower minimum_uid in the configuration, if that is whose mail it should be", a.Name, *a.UID, p.minimum)
	}
	groups := a.Groups
	if !slices.Contains(groups, *a.GID) {
		groups = append(slices.Clip(groups), *a.GID)
	}
	return index.Owner{UID: *a.UID, GID: *a.GID, Groups: groups}, nil
}

// maildirOf is the inbox of a mail setting as Dovecot has it: a driver, a path
// and options, each after a colon (its documentation, "Mail location").
func maildirOf(setting string) (path string, err error) {
	driver, rest, ok := strings.Cut(setting, ":")
	if strings.ContainsAny(driver, "/~%") {
		driver, rest, ok = "maildir", setting, true // the driver may be left out
	}
	if driver != "maildir" || !ok {
		return "", fmt.Errorf("%q, expected maildir: and a path", setting)
	}
	path, options, _ := strings.Cut(rest, ":")
	for option := range strings.SplitSeq(options, ":") {
		if inbox, ok := strings.CutPrefix(option, "INBOX="); ok {
			path = inbox
		}
		if strings.HasPrefix(option, "CONTROL=") {
			return "", fmt.Errorf("%q: the lists of unique-ids are in another folder, where sidepop does not read them: "+
				"move dovecot-uidlist into the Maildir and leave CONTROL= out", setting)
		}
	}
	return path, nil
}
