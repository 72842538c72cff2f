// Package mta finds out which mail server delivers on this machine, and what that
// means for sidepop: where system users' mail is, and which domains are theirs.
//
// Invariants:
//   - A server that runs is taken before one that is only installed, and what
//     decided between several is said in [MTA.Found].
//   - A machine without a server that sidepop can read is no error: then
//     [MTA.Name] is empty and Found says which settings stand in for one.
//   - Nothing is changed, locked or connected to: it takes the tools of the mail
//     servers, files and /proc.
package mta

import (
	"context"
	"errors"
	"fmt"

	"sidepop/auth/postfix"
)

// The names of mail servers whose configuration is read.
const (
	Postfix = "Postfix"
	Exim    = "exim"
)

// ErrNone is a question about mail to a machine without a mail server whose
// configuration sidepop reads.
var ErrNone = errors.New("no Postfix and no exim was found on this machine")

// Delivery is where the mail of system users goes.
type Delivery struct {
	// Template is a path in sidepop's variables, such as ~/Maildir or /var/mail/%u;
	// "" where the mail is handed on, or the mail server alone can tell.
	Template string

	Maildir bool     // false: a file (mbox), or handed on
	Setting string   // what decides, as the mail server's configuration has it
	File    string   // where to change that
	Others  []string // what may put mail elsewhere before, in the mail server's order
}

// MTA is what was found out about the delivery of mail. Its methods may be called
// from many goroutines at once, and heed what has changed since.
type MTA struct {
	Name    string // Postfix, Exim, or "" for none
	Version string
	Active  bool // its daemon runs, as far as this process can see

	// Postfix is the instance when Name is that, for virtual mailboxes; else nil.
	Postfix *postfix.Postfix

	// Found are remarks for a person: why this one was taken, what else there is,
	// or what to set where there is none.
	Found []string

	server server
}

// server is what is known of every mail server that is installed. The packages
// of each implement it.
type server interface {
	Version() string
	Files() []string
	LocalDomain(ctx context.Context, domain string) (bool, error)
	Local() Delivery
	Certificate() (certificate, key string)
}

// Certificate is the files, in PEM, that the mail server shows to its clients;
// empty: it has none, or none with a plain path.
func (m *MTA) Certificate() (certificate, key string) {
	if m.server == nil {
		return "", ""
	}
	return m.server.Certificate()
}

// Local says where the mail of system users goes; without a mail server it is
// empty.
func (m *MTA) Local() Delivery {
	if m.server == nil {
		return Delivery{}
	}
	return m.server.Local()
}

// LocalDomain says whether mail to a domain is for system users. The error is
// ErrNone or that of the mail server's package, whose documentation says what it
// takes in a process without rights.
func (m *MTA) LocalDomain(ctx context.Context, domain string) (bool, error) {
	if m.server == nil {
		return false, ErrNone
	}
	return m.server.LocalDomain(ctx, domain)
}

// Files are the files of the mail server's whose change can change answers.
func (m *MTA) Files() []string {
	if m.server == nil {
		return nil
	}
	return m.server.Files()
}

// Detect finds the mail server. It is an error if the one to be taken cannot be
// asked, which its package says why. As root it has to be called before rights are given up, since exim does
// not start without them at first; what it returns serves on, through changes of
// the mail server's configuration too.
func Detect(ctx context.Context) (*MTA, error) {
	return thisMachine.detect(ctx)
}

// detect chooses among those that are installed.
func (m machine) detect(ctx context.Context) (*MTA, error) {
	var all []*candidate
	if m.postfix.installed() {
		all = append(all, m.findPostfix(ctx))
	}
	if m.exim.installed() {
		all = append(all, m.findExim(ctx))
	}
	if len(all) == 0 {
		return &MTA{Found: []string{m.none()}}, nil
	}
	best, reason := choose(all, m.sendmail())
	if best.fault != nil {
		return nil, fmt.Errorf("%s: %w", best.name, best.fault)
	}
	found := &MTA{
		Name: best.name, Version: best.server.Version(), Active: best.active,
		Postfix: best.postfix, Found: best.remarks, server: best.server,
	}
	for _, other := range all {
		if other != best {
			found.Found = append(found.Found, fmt.Sprintf("%s is installed too%s: %s was taken, since %s",
				other.name, other.state(), best.name, reason))
		}
	}
	return found, nil
}
