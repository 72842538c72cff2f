//go:build cgo && linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"sidepop/auth"
)

// TestSource: the accounts of package auth that are the system's.
func TestSource(t *testing.T) {
	p, _ := open(t, nil)
	source := auth.NewPAM(auth.PAMOptions{Pool: p, Service: "plain", FoldCase: true,
		Local: func(_ context.Context, domain string) (bool, error) { return domain == "host.example", nil }})
	for _, c := range []struct {
		user, password string
		want           string
		err            error
	}{
		{"joe", secret, "joe 1001 1001 /home/joe", nil},
		{"JOE@Host.Example", secret, "joe 1001 1001 /home/joe", nil},
		{"joe", "wrong", "", auth.ErrCredentials},
		{"joe@elsewhere.example", secret, "", auth.ErrUnknown},
		{"nobodythere", secret, "", auth.ErrCredentials},
		{"expired", secret, "", auth.ErrDenied},
		{"aged", secret, "", auth.ErrDenied},
		{"root", secret, "", auth.ErrDenied},
		{"root", "wrong", "", auth.ErrCredentials},
	} {
		a, err := source.Verify(t.Context(), auth.Login{User: c.user, Password: c.password})
		got := ""
		if a != nil {
			got = fmt.Sprint(a.Name, " ", *a.UID, " ", *a.GID, " ", a.Home)
		}
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s, %s: got %q, error %v, want %q, %v", c.user, c.password, got, err, c.want, c.err)
		}
	}
	for user, want := range map[string]error{
		"joe": nil, "JOE@Host.Example": nil, "locked": nil, "expired": auth.ErrDenied, "aged": auth.ErrDenied,
		"root": auth.ErrDenied, "nobodythere": auth.ErrUnknown,
	} {
		if a, err := source.Admit(t.Context(), user, netip.Addr{}); !errors.Is(err, want) || (a == nil) != (want != nil) {
			t.Errorf("%s without a password: %+v, error %v, want %v", user, a, err, want)
		}
	}
	missing := auth.NewPAM(auth.PAMOptions{Pool: p, Service: "missing"})
	if _, err := missing.Verify(t.Context(), auth.Login{User: "joe", Password: secret}); !errors.Is(err, auth.ErrPermanent) {
		t.Errorf("a service without a file: %v", err)
	}
	if _, err := missing.Admit(t.Context(), "joe", netip.Addr{}); !errors.Is(err, auth.ErrPermanent) {
		t.Errorf("a service without a file, without a password: %v", err)
	}
	if a, err := source.Account(t.Context(), "Locked@host.example"); err != nil || a.Name != "locked" {
		t.Errorf("got %+v, error %v", a, err)
	}
}
