//go:build cgo && linux

package main

import (
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"sidepop/auth/helper"
)

// admit asks for somebody who needs no password.
func admit(t testing.TB, p *helper.Pool, service, user, remote string) helper.Answer {
	t.Helper()
	l := &helper.Login{Service: service, User: user}
	if remote != "" {
		l.Remote = netip.MustParseAddr(remote)
	}
	a, err := p.Admit(t.Context(), l)
	if err != nil {
		t.Errorf("%s, %s: %v", service, user, err)
	}
	return a
}

// TestAdmit is about real accounts and modules, and nobody's password.
func TestAdmit(t *testing.T) {
	p, events := open(t, nil)
	cases := []struct {
		service, user, remote string
		want                  helper.Outcome
		message               string // in one of the messages
	}{
		{service: "sidepop", user: "joe", want: helper.Accepted},
		// A password that nobody can give is no matter.
		{service: "sidepop", user: "locked", want: helper.Accepted},
		{service: "sidepop", user: "starred", want: helper.Accepted},
		{service: "sidepop", user: "empty", want: helper.Accepted},
		{service: "sidepop", user: "expired", want: helper.Denied, message: "account has expired"},
		{service: "plain", user: "expired", want: helper.AccountExpired, message: "account has expired"},
		{service: "plain", user: "aged", want: helper.PasswordExpired},
		{service: "plain", user: "nobodythere", want: helper.Denied},
		{service: "permit", user: "joe", want: helper.Accepted},
		{service: "permit", user: "nobodythere", want: helper.Denied, message: `"nobodythere" has no entry`},
		{service: "access", user: "joe", remote: "198.51.100.7", want: helper.Accepted},
		{service: "access", user: "joe", remote: "192.0.2.9", want: helper.Denied},
		{service: "access", user: "other", want: helper.Denied},
		{service: "missing", user: "joe", want: helper.Permanent, message: "make the file /etc/pam.d/missing"},
		{service: "auth only", user: "joe", want: helper.Permanent, message: "has not got both"},
		{service: "auth-temp", user: "joe", want: helper.Accepted}, // modules for passwords are not asked
		{service: "acct-temp", user: "joe", want: helper.Temporary},
		{service: "new-password", user: "joe", want: helper.BrokenPrompt, message: `"New password: "`},
		{service: "items-account", user: "joe", remote: "192.0.2.9", want: helper.Accepted, message: "rhost=192.0.2.9\nruser=joe\ntty=pop3"},
	}
	var done sync.WaitGroup
	for _, c := range cases {
		done.Go(func() {
			a := admit(t, p, c.service, c.user, c.remote)
			if said := strings.Join(a.Messages, "\n"); a.Outcome != c.want || !strings.Contains(said, c.message) {
				t.Errorf("%s, %s: got %v, %q, want %v, %q", c.service, c.user, a.Outcome, a.Messages, c.want, c.message)
			}
			if a.Outcome == helper.Accepted && (a.Account.Name != c.user || a.Account.UID < 1000) {
				t.Errorf("%s: got the account %+v", c.user, a.Account)
			}
		})
	}
	done.Wait()
	if _, died := events.all(); len(died) > 0 {
		t.Errorf("died: %q", died)
	}
}

// TestAdmitNoLogin: a machine that takes no logins takes none without a password.
func TestAdmitNoLogin(t *testing.T) {
	p, _ := open(t, nil)
	if err := os.WriteFile("/run/nologin", []byte("going down for tea\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove("/run/nologin")
	if a := admit(t, p, "nologin", "joe", ""); a.Outcome != helper.NoLogin || !strings.Contains(strings.Join(a.Messages, "\n"), "going down for tea") {
		t.Errorf("got %v, %q", a.Outcome, a.Messages)
	}
}
