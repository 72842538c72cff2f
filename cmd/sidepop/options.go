package main

import (
	"os"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/privilege"
	"sidepop/index"
	"sidepop/pop3"
)

// events is what sidepop tells of: a log for `sidepop serve`, sentences for
// `sidepop try`.
type events interface {
	pop3.Events
	index.Events
	certs.Events
	loginEvents
	Accounts(err error)
}

// indexOptions is the same for everybody who opens an index: what is stored
// depends on it.
func indexOptions(c *config.Config, told index.Events) index.Options {
	return index.Options{
		Measure:     pop3.Measure,
		Scheme:      c.UIDL,
		XUIDL:       c.XUIDL,
		ListsBefore: c.ListsBefore,
		State:       c.Index.StateDir,
		Watch:       c.Index.Watch,
		CommitDelay: c.Index.CommitDelay,
		CommitCount: c.Index.CommitCount,
		Keep:        c.Index.KeepTime,
		MarkSeen:    c.Index.MarkSeen,
		Events:      told,
		As:          actAs(),
	}
}

// actAs is how files are used with the rights of the user whom they belong to;
// nil where this process is not root, and its own rights are all there is.
func actAs() func(index.Owner, func() error) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return func(o index.Owner, f func() error) error { return privilege.As(o.UID, o.GID, o.Groups, f) }
}
