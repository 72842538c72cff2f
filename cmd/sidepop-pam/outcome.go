//go:build cgo && linux

package main

import (
	"errors"
	"os"

	"github.com/msteinert/pam/v2"

	"sidepop/auth/helper"
)

// phase is where in a transaction a code was returned.
type phase int

const (
	starting       phase = iota // nothing was asked yet
	authenticating              // whether the password is right
	afterwards                  // it is, or something else has proved who the user is
)

// meanings are what the return codes of modules say about a login
// (pam(3), "RETURN VALUES"). Until pam_authenticate has succeeded none of them
// says that the password is right. What is missing is [helper.Temporary].
var meanings = map[pam.Error]struct{ authenticating, afterwards helper.Outcome }{
	pam.ErrAuth:             {helper.Credentials, helper.Denied},
	pam.ErrUserUnknown:      {helper.Credentials, helper.Denied},
	pam.ErrPermDenied:       {helper.Credentials, helper.Denied},
	pam.ErrAcctExpired:      {helper.Credentials, helper.AccountExpired},
	pam.ErrNewAuthtokReqd:   {helper.Credentials, helper.PasswordExpired},
	pam.ErrAuthtokExpired:   {helper.Credentials, helper.PasswordExpired},
	pam.ErrCredExpired:      {helper.Credentials, helper.PasswordExpired},
	pam.ErrMaxtries:         {helper.Locked, helper.Locked}, // pam_faillock: it has not looked at the password
	pam.ErrConv:             {helper.BrokenPrompt, helper.BrokenPrompt},
	pam.ErrOpen:             {helper.Permanent, helper.Permanent}, // of a module's file
	pam.ErrSymbol:           {helper.Permanent, helper.Permanent},
	pam.ErrModuleUnknown:    {helper.Permanent, helper.Permanent},
	pam.ErrNoModuleData:     {helper.Permanent, helper.Permanent},
	pam.ErrCredInsufficient: {helper.Permanent, helper.Permanent}, // modules may not read what they have to

	// Faults: of a directory server, of memory, of a module.
	pam.ErrAuthinfoUnavail:     {helper.Temporary, helper.Temporary},
	pam.ErrCredUnavail:         {helper.Temporary, helper.Temporary},
	pam.ErrCred:                {helper.Temporary, helper.Temporary},
	pam.ErrSession:             {helper.Temporary, helper.Temporary},
	pam.ErrService:             {helper.Temporary, helper.Temporary},
	pam.ErrSystem:              {helper.Temporary, helper.Temporary},
	pam.ErrBuf:                 {helper.Temporary, helper.Temporary},
	pam.ErrTryAgain:            {helper.Temporary, helper.Temporary},
	pam.ErrAbort:               {helper.Temporary, helper.Temporary},
	pam.ErrIgnore:              {helper.Temporary, helper.Temporary},
	pam.ErrAuthtok:             {helper.Temporary, helper.Temporary},
	pam.ErrAuthtokRecovery:     {helper.Temporary, helper.Temporary},
	pam.ErrAuthtokLockBusy:     {helper.Temporary, helper.Temporary},
	pam.ErrAuthtokDisableAging: {helper.Temporary, helper.Temporary},
}

// noLoginFiles are where pam_nologin(8) looks by default. The code that it
// returns is that of many modules.
var noLoginFiles = []string{"/run/nologin", "/etc/nologin"}

// outcomeOf is the one place where an error of PAM becomes an outcome.
func outcomeOf(err error, p phase) helper.Outcome {
	var code pam.Error
	if !errors.As(err, &code) {
		return helper.Temporary
	}
	meaning, known := meanings[code]
	outcome := meaning.afterwards
	if p == authenticating {
		outcome = meaning.authenticating
	}
	switch {
	case !known:
		return helper.Temporary
	case p == starting && outcome != helper.Permanent:
		return helper.Temporary // nobody was asked about the user
	case outcome == helper.Denied && machineRefuses():
		return helper.NoLogin
	}
	return outcome
}

func machineRefuses() bool {
	for _, name := range noLoginFiles {
		if _, err := os.Stat(name); err == nil {
			return true
		}
	}
	return false
}
