//go:build cgo && linux

package main

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/msteinert/pam/v2"
	"golang.org/x/sys/unix"

	"sidepop/auth/helper"
)

// terminal is PAM_TTY: rules of pam_access and pam_time can name it.
const terminal = "pop3"

// transaction is one login as PAM sees it.
type transaction struct {
	asks     *helper.Login
	messages []string // for the log

	asked  bool   // modules were given the password
	prompt string // by which it was asked for
	refuse bool   // modules asked for something else
}

// say adds a message for the log.
func (t *transaction) say(format string, values ...any) {
	if len(t.messages) < helper.MaxMessages {
		t.messages = append(t.messages, fmt.Sprintf(format, values...))
	}
}

// login checks the password and the account. The user is the account's name as the
// modules have it, who may change it.
func (t *transaction) login(hashing *gate) (outcome helper.Outcome, user string) {
	return t.run(func(p *pam.Transaction) helper.Outcome {
		if outcome := t.authenticate(p, hashing); outcome != helper.Accepted {
			return outcome
		}
		if outcome := t.account(p); outcome != helper.Accepted {
			return outcome
		}
		return t.session(p)
	})
}

// admit checks the account alone, for somebody who has proved otherwise who they are.
func (t *transaction) admit() (outcome helper.Outcome, user string) { return t.run(t.account) }

// run begins a transaction, has PAM asked, and ends it.
func (t *transaction) run(ask func(*pam.Transaction) helper.Outcome) (outcome helper.Outcome, user string) {
	p, err := pam.Start(t.asks.Service, t.asks.User, t)
	if err != nil {
		return t.fault("pam_start", err), ""
	}
	defer func() { _ = p.End() }()
	if err := t.describe(p); err != nil {
		return t.fault("pam_set_item", err), ""
	}
	if outcome := ask(p); outcome != helper.Accepted {
		return outcome, ""
	}
	if user, err = p.GetItem(pam.User); err != nil {
		return t.fault("pam_get_item", err), ""
	}
	return helper.Accepted, user
}

// describe tells modules about the client. A connection without an address has
// no PAM_RHOST: that is how pam_access knows a local login.
func (t *transaction) describe(p *pam.Transaction) error {
	items := map[pam.Item]string{pam.Tty: terminal, pam.Ruser: t.asks.User}
	if t.asks.Remote.IsValid() {
		items[pam.Rhost] = t.asks.Remote.String()
	}
	for item, value := range items {
		if err := p.SetItem(item, value); err != nil {
			return err
		}
	}
	return nil
}

// authenticate asks whether the password is right.
func (t *transaction) authenticate(p *pam.Transaction, hashing *gate) helper.Outcome {
	leave := hashing.enter(unix.Gettid())
	err := p.Authenticate(pam.DisallowNullAuthtok)
	leave()
	switch {
	case err != nil && t.refuse:
		return helper.BrokenPrompt
	case err != nil:
		return t.outcomeOf("pam_authenticate", err, authenticating)
	case !t.asked:
		// pam_unix does so, with nullok, for accounts without a password.
		t.say("the modules let the user in without asking for the password: any would do, so none is right")
		return helper.Credentials
	}
	t.refuse = false // the module was an optional one
	return helper.Accepted
}

// account asks whether the user may log in.
func (t *transaction) account(p *pam.Transaction) helper.Outcome {
	if err := p.AcctMgmt(0); err != nil {
		return t.refused("pam_acct_mgmt", err)
	}
	return helper.Accepted
}

// session makes credentials and opens a session, and undoes both, as far as they
// are asked for: for the sake of modules that act then.
func (t *transaction) session(p *pam.Transaction) helper.Outcome {
	if t.asks.SetCred {
		if err := p.SetCred(pam.EstablishCred); err != nil {
			return t.refused("pam_setcred", err)
		}
		defer func() { _ = p.SetCred(pam.DeleteCred) }()
	}
	if t.asks.OpenSession {
		if err := p.OpenSession(0); err != nil {
			return t.refused("pam_open_session", err)
		}
		if err := p.CloseSession(0); err != nil {
			t.say("pam_close_session: %v", err) // nothing depends on it
		}
	}
	return helper.Accepted
}

// fault is the outcome of a call that says nothing about the user.
func (t *transaction) fault(call string, err error) helper.Outcome {
	return t.outcomeOf(call, err, starting)
}

// refused is the outcome of a call after it was proved who the user is.
func (t *transaction) refused(call string, err error) helper.Outcome {
	if t.refuse {
		return helper.BrokenPrompt
	}
	return t.outcomeOf(call, err, afterwards)
}

func (t *transaction) outcomeOf(call string, err error, p phase) helper.Outcome {
	t.say("%s: %v", call, err)
	return outcomeOf(err, p)
}

var errPrompt = errors.New("asked for something else than the password")

// RespondPAM is the conversation with modules. It implements
// [pam.ConversationHandler]; the library refuses binary prompts itself.
func (t *transaction) RespondPAM(style pam.Style, message string) (string, error) {
	switch style {
	case pam.TextInfo, pam.ErrorMsg:
		if message != "" {
			t.say("%s", message)
		}
		return "", nil
	case pam.PromptEchoOff:
		// The same question again has the same answer, such as from two
		// modules that both ask for it. Another one asks for a one-time
		// code or a new password.
		if len(t.asks.Password) > 0 && (!t.asked || message == t.prompt) {
			t.asked, t.prompt = true, message
			return t.password(), nil
		}
	}
	// A prompt for the login name does not come: PAM has it from the start.
	t.refuse = true
	t.say("a module asked %q, which a mail program cannot answer", message)
	return "", errPrompt
}

// password gives the password without another copy of it, which nobody could
// overwrite: the library makes one for the module, and the module's end frees it.
func (t *transaction) password() string {
	return unsafe.String(unsafe.SliceData(t.asks.Password), len(t.asks.Password))
}
