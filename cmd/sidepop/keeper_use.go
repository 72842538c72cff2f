package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/mta"
	"sidepop/pop3/wire"
)

// detectTime bounds how long the tools of an MTA may take at the start. They take
// less than a tenth of a second, but the machine may be starting too.
const detectTime = 20 * time.Second

// detect finds out about the MTA, except in a trial, which has nothing to do with it.
func (k *keeper) detect() {
	if k.sentences != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), detectTime)
	defer cancel()
	k.found, k.mute = mta.Detect(ctx)
}

// unknownPlace: an MTA that can't be asked is all that says where mail is. A guess
// might show empty mailboxes, and clients would take all mail for new later.
func unknownPlace(c *config.Config, mute error) error {
	return config.Problems{c.Problem("mailbox", fmt.Sprintf("the mail server can't be asked where it delivers: %v", mute)).
		WithRemedy("correct what it complains of, or set mailbox in the configuration")}
}

// reload makes another configuration hold: what the supervisor asks for in a line,
// or the file. One that can't be used changes nothing.
func (k *keeper) reload(line []byte) {
	next, held, number, err := k.nextConfig(line)
	if err == nil {
		if k.found == nil || k.found.Name == "" { // what was found keeps itself current
			k.detect()
		}
		err = k.use(next)
	}
	k.answer(number, held, err)
	if err == nil {
		k.know()
	}
}

// nextConfig gives the configuration with what holds only from a start on as it
// was then.
func (k *keeper) nextConfig(line []byte) (next *config.Config, held []string, number int, err error) {
	if line == nil {
		if next, err = config.Read(k.file); err == nil {
			held = next.HoldOver(k.started)
		}
	} else {
		var s snapshot
		if s, err = parseSnapshot(line); err == nil {
			number = s.Number
			next, held, err = s.parse(s.Asked)
		}
	}
	if err == nil {
		err = next.Check(os.Geteuid())
	}
	return next, held, number, err
}

// use makes a configuration hold, or, with an error, leaves everything as it is.
func (k *keeper) use(next *config.Config) (err error) {
	if k.mute != nil {
		if next.Mailbox == "" {
			return unknownPlace(next, k.mute)
		}
		k.log.Fault(fmt.Errorf("find out about the MTA: %w", k.mute))
	}
	certificates, err := k.openCertificates(next)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			certificates.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), detectTime)
	defer cancel()
	accounts, err := newAccounts(ctx, next, k.found, &k.helpers, k.events.Accounts)
	if err != nil {
		return err
	}
	// Logins that begin before the end may be found right by what held until now.
	backend := newBackend(next, accounts, lasting{k.guard.Anew(), &k.sessions, k.index, k.salts, k.events})
	if err := k.push(next, certificates, backend); err != nil {
		return err
	}
	if k.certificates != nil {
		k.certificates.Close()
	}
	k.config, k.certificates, k.backend = next, certificates, backend
	k.helpers.retain(next)
	k.tellAccounts()
	k.guard.Set(guardOptions(next, accounts))
	k.server.Allow(wireConnections(next))
	k.server.AllowSilence(next.Limits.Idle + wire.LongestTransfer)
	k.sessions.Allow(next.Limits.SessionsPerUser, next.Limits.LoginDelay)
	k.server.SetBackend(timed{backend, k.figures})
	return nil
}

// tellAccounts logs who can log in, and where their mail is.
func (k *keeper) tellAccounts() {
	name := "none"
	if k.found != nil && k.found.Name != "" {
		name = k.found.Name
	}
	var sources []string
	for _, b := range k.backend.accounts.Chain {
		sources = append(sources, b.Name)
	}
	k.log.Found(name, k.backend.accounts.places.template(), sources)
	if k.backend.accounts.pam != nil && k.config.Mailbox == "" && name != "none" {
		if local := k.found.Local(); !local.Maildir {
			k.log.NoMaildirs(name, local.Setting, local.File)
		}
	}
}

func guardOptions(c *config.Config, a *accounts) auth.GuardOptions {
	return auth.GuardOptions{
		FailureDelay: c.Auth.FailureDelay,
		CacheTime:    c.Auth.CacheTime,
		Files:        a.files,
		Account:      a.name,
		Allow:        c.Auth.Allow,
		Deny:         c.Auth.Deny,
		UserNetworks: c.Auth.UserNetworks,
	}
}

// know has the mailboxes of all accounts that can be listed watched and counted
// before anybody logs in.
func (k *keeper) know() {
	k.unknow()
	ctx, cancel := context.WithCancel(context.Background())
	k.forget = cancel
	a := k.backend.accounts
	k.knowing.Go(func() { k.knowMailboxes(ctx, a) })
}

// unknow ends what know has begun.
func (k *keeper) unknow() {
	if k.forget != nil {
		k.forget()
	}
	k.knowing.Wait()
}

func (k *keeper) knowMailboxes(ctx context.Context, a *accounts) {
	know := func(account *auth.Account) {
		if ctx.Err() != nil {
			return
		}
		if path, owner, err := a.places.of(account); err == nil {
			k.index.Know(path, owner)
		}
	}
	a.each(know)
}
