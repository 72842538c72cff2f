package mta

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sidepop/auth/exim"
	"sidepop/auth/postfix"
)

// machine is where a mail server is looked for.
type machine struct {
	root    string // its root folder
	postfix postfixPackage
	exim    eximPackage
}

// postfixInstance is what is used here of [postfix.Postfix].
type postfixInstance interface {
	server
	ConfigDir() string
	Parameter(name string) string
	real() *postfix.Postfix
}

// eximServer is what is used here of [exim.Exim].
type eximServer interface {
	server
	PIDFile() string
}

type postfixPackage struct {
	installed func() bool
	open      func(ctx context.Context, dir string) (postfixInstance, error)
}

type eximPackage struct {
	installed func() bool
	open      func(ctx context.Context) (eximServer, error)
}

// thisMachine is the one that the process runs on.
var thisMachine = machine{
	root: "/",
	postfix: postfixPackage{
		installed: func() bool { _, ok := postfix.Find(); return ok },
		open: func(ctx context.Context, dir string) (postfixInstance, error) {
			p, err := postfix.Open(ctx, postfix.Options{ConfigDir: dir})
			if err != nil {
				return nil, err
			}
			return realPostfix{p}, nil
		},
	},
	exim: eximPackage{
		installed: func() bool { _, ok := exim.Find(); return ok },
		open: func(ctx context.Context) (eximServer, error) {
			e, err := exim.Open(ctx, exim.Options{})
			if err != nil {
				return nil, err
			}
			return realExim{e}, nil
		},
	},
}

type realPostfix struct{ *postfix.Postfix }

func (p realPostfix) Local() Delivery        { return Delivery(p.Postfix.Local()) }
func (p realPostfix) real() *postfix.Postfix { return p.Postfix }

type realExim struct{ *exim.Exim }

func (e realExim) Local() Delivery { return Delivery(e.Exim.Local()) }

// path is that of a file of the machine.
func (m machine) path(absolute string) string { return filepath.Join(m.root, absolute) }

// sendmailPath is the program that others give mail to (Linux Standard Base,
// "sendmail").
const sendmailPath = "/usr/sbin/sendmail"

// owners are mail servers by the name of what sendmailPath is a link to, without
// the "sendmail." of those that update-alternatives(1) chooses from.
var owners = map[string]string{
	"exim4":         Exim, // on Debian
	"exim":          Exim,
	"postfix":       Postfix,
	"sendmail":      "sendmail",
	"smtpctl":       "OpenSMTPD",
	"opensmtpd":     "OpenSMTPD",
	"courier":       "Courier",
	"nullmailer":    "nullmailer",
	"msmtp":         "msmtp",
	"ssmtp":         "sSMTP",
	"esmtp":         "esmtp",
	"esmtp-wrapper": "esmtp",
	"dma":           "dma",
}

// marks tell programs apart that are named sendmail, by what stands in them.
var marks = []struct{ part, name string }{
	{"/postdrop", Postfix}, // which it runs
	{"submit.cf", "sendmail"},
}

// maxProgramOctets is how much of a program is searched; sendmail's is 1 MB.
const maxProgramOctets = 8 << 20

// sendmail is the name of the mail server whose sendmail is in force; "" if there
// is none, or one that is not known.
func (m machine) sendmail() string {
	path, err := filepath.EvalSymlinks(m.path(sendmailPath))
	if err != nil {
		return ""
	}
	if base := filepath.Base(path); base != filepath.Base(sendmailPath) {
		if name, ok := owners[strings.TrimPrefix(base, "sendmail.")]; ok {
			return name
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxProgramOctets))
	if err != nil {
		return ""
	}
	for _, o := range marks {
		if bytes.Contains(content, []byte(o.part)) {
			return o.name
		}
	}
	return ""
}

// none says what to do on a machine without a mail server that sidepop can read.
func (m machine) none() string {
	name := m.sendmail()
	what := "neither Postfix nor exim is installed"
	if name != "" {
		what += "; " + sendmailPath + " is " + name + "'s, whose configuration sidepop does not read"
	}
	return what + `: set mailbox to where mail is delivered, such as mailbox = "~/Maildir", if that is not where it is looked for already`
}
