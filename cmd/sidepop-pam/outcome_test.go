//go:build cgo && linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/msteinert/pam/v2"

	"sidepop/auth/helper"
)

// Codes of Linux-PAM: from PAM_BAD_ITEM on they are not of modules, whose are all
// listed.
const lastOfModules, lastCode = 28, 31

// TestOutcomes: every code in every phase. None means that a password is right,
// and before it was found right none says something about its owner.
func TestOutcomes(t *testing.T) {
	for code := pam.Error(1); code <= lastCode; code++ {
		if _, listed := meanings[code]; !listed && code <= lastOfModules {
			t.Errorf("code %d (%v) is not listed", int(code), code)
		}
		for p, possible := range map[phase][]helper.Outcome{
			starting:       {helper.Temporary, helper.Permanent},
			authenticating: {helper.Credentials, helper.Locked, helper.BrokenPrompt, helper.Temporary, helper.Permanent},
			afterwards: {helper.Denied, helper.NoLogin, helper.AccountExpired, helper.PasswordExpired, helper.Locked,
				helper.BrokenPrompt, helper.Temporary, helper.Permanent},
		} {
			if got := outcomeOf(code, p); !slices.Contains(possible, got) {
				t.Errorf("%v (%d) in phase %d: %v", code, int(code), p, got)
			}
		}
	}
}

// TestMeanings: the codes that matter most.
func TestMeanings(t *testing.T) {
	for _, c := range []struct {
		err                                  error
		starting, authenticating, afterwards helper.Outcome
	}{
		{pam.ErrAuth, helper.Temporary, helper.Credentials, helper.Denied},
		{pam.ErrUserUnknown, helper.Temporary, helper.Credentials, helper.Denied},
		{pam.ErrPermDenied, helper.Temporary, helper.Credentials, helper.Denied},
		{pam.ErrMaxtries, helper.Temporary, helper.Locked, helper.Locked},
		{pam.ErrAcctExpired, helper.Temporary, helper.Credentials, helper.AccountExpired},
		{pam.ErrNewAuthtokReqd, helper.Temporary, helper.Credentials, helper.PasswordExpired},
		{pam.ErrConv, helper.Temporary, helper.BrokenPrompt, helper.BrokenPrompt},
		{pam.ErrAuthinfoUnavail, helper.Temporary, helper.Temporary, helper.Temporary},
		{pam.ErrModuleUnknown, helper.Permanent, helper.Permanent, helper.Permanent},
		{pam.ErrAbort, helper.Temporary, helper.Temporary, helper.Temporary},
		{pam.Error(1000), helper.Temporary, helper.Temporary, helper.Temporary},
		{fmt.Errorf("%w: wrapped", pam.ErrAuth), helper.Temporary, helper.Credentials, helper.Denied},
		{errors.New("another error"), helper.Temporary, helper.Temporary, helper.Temporary},
	} {
		for p, want := range map[phase]helper.Outcome{starting: c.starting, authenticating: c.authenticating, afterwards: c.afterwards} {
			if got := outcomeOf(c.err, p); got != want {
				t.Errorf("%v in phase %d: got %v, want %v", c.err, p, got, want)
			}
		}
	}
}
