package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
)

// places says where accounts have their mail.
type places struct {
	mailbox string // for accounts without their own, as in the configuration
	uid     uint32 // who reads all mail: this process
}

func newPlaces(c *config.Config) places {
	return places{mailbox: c.Mailbox, uid: uint32(os.Geteuid())}
}

// of is where an account's mail is.
func (p places) of(a *auth.Account) (string, error) {
	if a.UID != nil && *a.UID != p.uid {
		return "", fmt.Errorf("the mail of %s belongs to user id %d, and sidepop reads all mail as user id %d: "+
			"set user in the configuration to that one, or leave the uid of the account empty", a.Name, *a.UID, p.uid)
	}
	template := p.mailbox
	if a.Mail != "" {
		var err error
		if template, err = maildirOf(a.Mail); err != nil {
			return "", fmt.Errorf("mail setting of %s: %w", a.Name, err)
		}
	}
	path, err := a.Expand(template)
	if err != nil {
		return "", fmt.Errorf("mailbox %s of %s: %w", template, a.Name, err)
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("mailbox %s of %s is %q, expected a path from /", template, a.Name, path)
	}
	// The index and its watch take one spelling of a path.
	return filepath.Clean(path), nil
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
