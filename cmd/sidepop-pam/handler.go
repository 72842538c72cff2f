//go:build cgo && linux

package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"sidepop/auth/helper"
)

// handler answers the keeper's requests. It implements [helper.Handler].
type handler struct {
	services services
	hashing  gate
	identity identity
}

func newHandler() (*handler, error) {
	s, err := findServices()
	if err != nil {
		return nil, err
	}
	return &handler{services: s, hashing: newGate(runtime.GOMAXPROCS(0)), identity: currentIdentity()}, nil
}

// Authenticate implements [helper.Handler].
func (h *handler) Authenticate(l *helper.Login) helper.Answer {
	return h.ask(l, func(t *transaction) (helper.Outcome, string) { return t.login(&h.hashing) })
}

// Admit implements [helper.Handler]. Nothing is hashed.
func (h *handler) Admit(l *helper.Login) helper.Answer { return h.ask(l, (*transaction).admit) }

// ask runs a PAM transaction in a thread of its own.
func (h *handler) ask(l *helper.Login, run func(*transaction) (helper.Outcome, string)) helper.Answer {
	if err := h.services.check(l.Service); err != nil {
		return helper.Answer{Outcome: helper.Permanent, Messages: []string{err.Error()}}
	}
	answer := make(chan helper.Answer, 1)
	go func() {
		// Never unlocked, so the thread ends with the goroutine.
		runtime.LockOSThread()
		answer <- h.transact(l, run)
	}()
	return <-answer
}

// transact runs one PAM transaction and finds the account it is about.
func (h *handler) transact(l *helper.Login, run func(*transaction) (helper.Outcome, string)) helper.Answer {
	t := &transaction{asks: l}
	outcome, user := run(t)
	h.identity.check()
	if outcome != helper.Accepted {
		return helper.Answer{Outcome: outcome, Messages: t.messages}
	}
	account, found, err := lookup(user)
	switch {
	case err != nil:
		outcome = helper.Temporary
		t.say("%v", err)
	case !found:
		outcome = helper.Denied
		t.say("PAM lets the user in, and %q has no entry in the system's accounts (getent passwd): "+
			"without it nobody knows whose the mail is", user)
	}
	return helper.Answer{Outcome: outcome, Account: account, Messages: t.messages}
}

// Lookup implements [helper.Handler].
func (h *handler) Lookup(user string) helper.Answer {
	account, found, err := lookup(user)
	switch {
	case err != nil:
		return helper.Answer{Outcome: helper.Temporary, Messages: []string{err.Error()}}
	case !found:
		return helper.Answer{Outcome: helper.Unknown}
	}
	return helper.Answer{Outcome: helper.Found, Account: account}
}

// identity is whose process this is.
type identity struct {
	real, effective, saved int
	group                  int
}

func currentIdentity() identity {
	var i identity
	i.real, i.effective, i.saved = unix.Getresuid()
	i.group = unix.Getegid()
	return i
}

// check ends the process where a module has changed its identity: setuid(3)
// changes all threads, and modules in them would come to other results. The
// keeper starts another process, and what was under way fails temporarily.
func (i identity) check() {
	if now := currentIdentity(); now != i {
		fmt.Fprintf(os.Stderr, "sidepop-pam: a module of the PAM service has changed the process from user id %d, group id %d to %d, %d: "+
			"take it out of the service's file\n", i.effective, i.group, now.effective, now.group)
		os.Exit(exitFailure)
	}
}
