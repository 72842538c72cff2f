package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/mta"
	"sidepop/index/store"
)

// server says which sidepop this is about.
func (c *checkup) server() {
	s := c.Section("sidepop")
	s.Fact("version", "%s", version())
	s.Fact("configuration", "%s", c.configuration())
	if c.config == nil {
		return
	}
	client, err := control.Dial(c.config.Index.StateDir)
	switch {
	case err == nil:
		_ = client.Close()
		c.keeper = c.keeperID()
		s.Fact("server", "running")
	case errors.Is(err, control.ErrStopped):
		s.Fact("server", "not running")
	default:
		s.Fact("server", "unknown")
		c.Miss("Whether a server runs with %s: %v.", c.config.Index.StateDir, err)
	}
}

// keeperID is the process id that a keeper leaves in its state folder.
func (c *checkup) keeperID() int {
	text, _ := os.ReadFile(filepath.Join(c.config.Index.StateDir, store.LockFile)) // others than its user can't
	id, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return id
}

// configuration names the file, and says whether there is one.
func (c *checkup) configuration() string {
	text, err := config.Text(c.file)
	switch {
	case err != nil || c.config == nil:
		return c.file + ", can't be used"
	case text == "":
		return "none, which is all right (" + c.file + ")"
	}
	return c.file
}

// mailServer says which MTA there is and where it delivers the mail of system
// users.
func (c *checkup) mailServer() {
	s := c.Section("Mail server")
	switch {
	case c.found == nil:
		s.Fact("name", "unknown: it can't be asked")
		return
	case c.found.Name == "":
		s.Fact("name", "none was found")
		if c.config == nil || c.config.Mailbox == "" {
			c.Warn("Install one (Debian: apt install postfix), or set mailbox in "+c.file+" to where the mail is that comes by other ways.",
				"There is no Postfix and no exim4: nothing that sidepop knows delivers mail here.")
		}
	default:
		s.Fact("name", "%s", strings.TrimSpace(c.found.Name+" "+c.found.Version))
		c.active(s)
		s.Fact("system users", "%s", c.localDelivery())
		for _, other := range c.local.Others {
			s.Fact("perhaps elsewhere", "%s", other)
		}
	}
	for _, other := range c.found.Found {
		s.Fact("note", "%s", other)
	}
}

// active says whether the MTA runs.
func (c *checkup) active(s *check.Section) {
	if c.found.Active {
		s.Fact("state", "running")
		return
	}
	s.Fact("state", "not running")
	c.Warn("systemctl enable --now "+mtaUnit(c.found.Name), "%s is not running: no mail arrives.", c.found.Name)
}

// mtaUnit is the service of an MTA as Debian names it.
func mtaUnit(name string) string {
	if name == mta.Exim {
		return "exim4"
	}
	return "postfix"
}

// localDelivery says in words where the mail of system users is delivered.
func (c *checkup) localDelivery() string {
	d := &c.local
	kind := "not to Maildirs"
	switch {
	case d.Maildir && d.Template != "":
		kind = "Maildir " + d.Template
	case d.Maildir:
		kind = "Maildirs"
	case d.Template != "":
		kind = "file " + d.Template
	}
	return kind + " (" + d.Setting + " in " + d.File + ")"
}

// mailboxes says where sidepop looks for mail, and whether that is where it is
// delivered.
func (c *checkup) mailboxes() {
	s := c.Section("Mailboxes")
	all := places{mailbox: c.config.Mailbox, found: c.found}
	s.Fact("place", "%s (%s)", all.template(), c.decider())
	if c.accounts != nil {
		for _, p := range c.tables {
			if maps := p.Parameter("virtual_mailbox_maps"); maps != "" {
				s.Fact("virtual", "%s below %s, of Postfix in %s", maps, cmp.Or(p.Parameter("virtual_mailbox_base"), "/"), p.ConfigDir())
			}
		}
	}
	if c.config.MailUser != "" {
		s.Fact("owner", "%s, of accounts without a user id (mail_user in %s)", c.config.MailUser, c.file)
	}
	s.Fact("least user id", "%d (minimum_uid)", c.config.MinUID)
	if c.found != nil && c.found.Name != "" && c.servesSystem() {
		c.compareDelivery()
	}
}

// decider is the setting because of which mailboxes are where they are.
func (c *checkup) decider() string {
	switch {
	case c.config.Mailbox != "":
		return "mailbox in " + c.file
	case c.found != nil && c.local.Maildir && c.local.Template != "":
		return c.local.Setting + " in " + c.local.File
	}
	return "the default: nothing else is known"
}

// servesSystem says whether system users' mail is served from where local
// delivery should put it.
func (c *checkup) servesSystem() bool {
	switch {
	case c.accounts == nil:
		return c.config.Auth.Sources == nil || slices.Contains(c.config.Auth.Sources, config.SourcePAM)
	case c.pam != nil:
		return true
	}
	serves := false
	c.each(func(a *auth.Account) { serves = serves || a.Mail == "" && isSystem(a) })
	return serves && inHome(c.places.template())
}

// isSystem says whether an account is one of the system's, and so of those that
// local delivery knows.
func isSystem(a *auth.Account) bool {
	if a.UID == nil {
		return false
	}
	u, err := user.Lookup(a.Name)
	return err == nil && u.Uid == fmt.Sprint(*a.UID)
}

// compareDelivery finds out whether system users' mail arrives where it is looked
// for.
func (c *checkup) compareDelivery() {
	d, mailbox, takers := &c.local, c.config.Mailbox, c.takers()
	switch {
	case mailbox != "" && len(takers) > 0: // to where takers bring it, it is to be hoped
	case !d.Maildir:
		c.Error(c.maildirRemedy(), "%s does not deliver the mail of system users to Maildirs, which are all that sidepop serves: %s.",
			c.found.Name, c.localDelivery())
	case len(takers) > 0:
		c.Warn(c.maildirRemedy(), "%s hands the mail of system users to another program (%s in %s), so that it may not come to %s.",
			c.found.Name, strings.Join(takers, ", "), d.File, d.Template)
	case d.Template == "" && mailbox == "":
		c.Error("Set mailbox in "+c.file+` to that place, such as mailbox = "~/Maildir".`,
			"%s delivers the mail of system users to Maildirs, and where these are can't be told from its configuration: %s.", c.found.Name, d.Setting)
	case mailbox != "" && d.Template != "" && plainTemplate(mailbox) != plainTemplate(d.Template):
		c.Error(c.mailboxRemedy(),
			"sidepop looks for mail in %s (mailbox in %s), and %s delivers the mail of system users to %s (%s).",
			mailbox, c.file, c.found.Name, d.Template, d.Setting)
	}
}

// mailboxRemedy is what to do where mailbox is not where system users' mail goes.
func (c *checkup) mailboxRemedy() string {
	remedy := "Take mailbox out of " + c.file + "."
	if c.accounts != nil && c.passwd != nil && c.pam != nil {
		remedy = fmt.Sprintf("If only users of %s have mail here, set sources = [\"passwd\"] in the table [auth] in %s. Otherwise take mailbox out of it, and give those users a home or userdb_mail.",
			c.config.Auth.PasswdFile, c.file)
	}
	return fmt.Sprintf("%s If mail is brought to %s by another way, change %s in %s.", remedy, c.config.Mailbox, c.local.Setting, c.local.File)
}

// takers are the parameters of Postfix that hand all mail of system users to
// something else than local(8)'s own delivery.
func (c *checkup) takers() (names []string) {
	if c.found.Postfix == nil {
		return nil
	}
	for _, other := range c.local.Others {
		if name, _, _ := strings.Cut(other, " "); slices.Contains([]string{"local_transport", "mailbox_transport", "mailbox_command"}, name) {
			names = append(names, name)
		}
	}
	return names
}

// plainTemplate is the one spelling of a template.
func plainTemplate(t string) string {
	if rest, ok := strings.CutPrefix(t, "%h"); ok {
		t = "~" + rest
	}
	return filepath.Clean(t)
}

// maildirRemedy is how the MTA is made to deliver to Maildirs.
func (c *checkup) maildirRemedy() string {
	d := &c.local
	switch {
	case c.found.Name == mta.Postfix:
		return c.postfixRemedy()
	case filepath.Base(d.File) == "update-exim4.conf.conf":
		return fmt.Sprintf("Set dc_localdelivery='maildir_home' in %s, then: update-exim4.conf && systemctl reload exim4", d.File)
	}
	return fmt.Sprintf("Let it deliver to Maildirs, such as $home/Maildir with maildir_format in exim's transport (%s).", d.File)
}

// postfixRemedy is that of Postfix: what local(8) asks before home_mailbox has to
// go.
func (c *checkup) postfixRemedy() string {
	option := ""
	if p := c.found.Postfix; p != nil && p.ConfigDir() != "/etc/postfix" {
		option = "-c " + p.ConfigDir() + " "
	}
	before, reset := "", ""
	if takers := strings.Join(c.takers(), " "); takers != "" {
		reset = fmt.Sprintf("postconf %s-X %s && ", option, takers)
		before = fmt.Sprintf("If the mail comes to Maildirs so, set mailbox in %s to these. Otherwise: ", c.file)
	}
	return fmt.Sprintf("%s%spostconf %s-e 'home_mailbox = Maildir/' && postfix %sreload", before, reset, option, option)
}
