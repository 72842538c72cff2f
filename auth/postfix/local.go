package postfix

import (
	"path/filepath"
	"strings"
)

// Delivery is where local(8) puts the mail of system users. It is not all: an
// alias and a user's .forward file come before everything here.
type Delivery struct {
	// Template is a path with variables: ~ is the user's home, %u the name, and
	// %% a percent sign. It has no final slash.
	Template string

	// Maildir says that it is one; else it is a file in mbox format.
	Maildir bool

	// Setting is the parameter that decides, as in main.cf: "home_mailbox = Maildir/".
	Setting string

	// File is the main.cf where it stands, or would.
	File string

	// Others are the parameters that come before it, in local(8)'s order, as in
	// main.cf. Each may put the mail of some or all users elsewhere.
	Others []string
}

// Local gives local(8)'s delivery. While main.cf cannot be read it is the one
// from before.
func (p *Postfix) Local() Delivery {
	v := p.latest().values
	d := Delivery{File: filepath.Join(p.configDir, "main.cf")}
	if transport, _, _ := strings.Cut(v["local_transport"], ":"); transport != "local" {
		d.Others = append(d.Others, setting(v, "local_transport"))
	}
	for _, name := range []string{"mailbox_transport_maps", "mailbox_transport", "mailbox_command_maps", "mailbox_command"} {
		if v[name] != "" {
			d.Others = append(d.Others, setting(v, name))
		}
	}
	home, spool := v["home_mailbox"], v["mail_spool_directory"]
	// A Maildir in either place comes before a file in the home folder.
	d.Maildir = strings.HasSuffix(home, "/") || strings.HasSuffix(spool, "/")
	if strings.HasSuffix(home, "/") || home != "" && !d.Maildir {
		d.Setting = setting(v, "home_mailbox")
		d.Template = "~" + clean("/"+escape(home))
	} else {
		d.Setting = setting(v, "mail_spool_directory")
		d.Template = clean(escape(spool) + "/%u")
	}
	return d
}

func setting(values map[string]string, name string) string { return name + " = " + values[name] }

func escape(path string) string { return strings.ReplaceAll(path, "%", "%%") }
