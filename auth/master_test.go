package auth

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestMasters(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/users", "joe:{PLAIN}pw:1000:1000::/home/joe\nlocked:!:1001:1001\nadmin:{PLAIN}own:1002:1002\nbad:{NO}x\n")
	put(t, dir+"/masters", "admin:{PLAIN}pencil\nfrom:{PLAIN}pencil::::::allow_nets=192.0.2.1\noff:{PLAIN}pencil::::::nologin\n")
	users := NewPasswd(dir+"/users", func(error) {})
	with := &Masters{Chain: Chain{{Name: "passwd", Source: users}}, Users: NewPasswd(filepath.Join(dir, "masters"), noWarning(t))}
	without := &Masters{Chain: with.Chain}
	for _, c := range []struct {
		identity, user, password string
		want                     error
		name                     string
	}{
		{"joe", "admin", "pencil", nil, "joe"},
		{"JOE", "admin", "pencil", nil, "joe"},
		{"locked", "admin", "pencil", nil, "locked"},
		{"joe", "admin", "own", ErrCredentials, ""}, // of the account with that name
		{"joe", "admin", "pw", ErrCredentials, ""},
		{"joe", "joe", "pw", nil, "joe"},
		{"", "joe", "pw", nil, "joe"},
		{"", "admin", "own", nil, "admin"},
		{"", "admin", "pencil", ErrCredentials, ""}, // no account of its own
		{"admin", "admin", "pencil", ErrCredentials, ""},
		{"nobody", "admin", "pencil", ErrDenied, ""},
		{"bad", "admin", "pencil", ErrPermanent, ""},
		{"admin", "joe", "pw", ErrCredentials, ""}, // no master
		{"joe", "off", "pencil", ErrDenied, ""},
		{"joe", "from", "pencil", ErrDenied, ""},
	} {
		l := Login{User: c.user, Password: c.password, Identity: c.identity}
		account, err := with.Verify(t.Context(), l)
		if !errors.Is(err, c.want) || (account == nil) != (c.want != nil) || account != nil && account.Name != c.name {
			t.Errorf("%q as %q: %+v, %v; want %v", c.user, c.identity, account, err, c.want)
		}
		account, err = without.Verify(t.Context(), l)
		if l.AsOther() && (account != nil || !errors.Is(err, ErrDenied)) {
			t.Errorf("%q as %q without masters: %+v, %v", c.user, c.identity, account, err)
		}
		if c.password != "pencil" {
			continue
		}
		var proved *Account
		e := begin(with, SCRAMOptions{Kind: SCRAMSHA256}, &proved)
		if err := converse(e, newSCRAMClient(t, SCRAMSHA256, c.user, c.password, c.identity, nil)); !errors.Is(err, c.want) || (proved == nil) != (c.want != nil) {
			t.Errorf("%q as %q by SCRAM: %+v, %v; want %v", c.user, c.identity, proved, err, c.want)
		}
	}
}

// A login that is remembered is so for one identity.
func TestMastersAreRemembered(t *testing.T) {
	m := newMemory()
	keys := make(map[loginKey]bool)
	for _, l := range []Login{{User: "a", Password: "pw"}, {User: "a", Identity: "a", Password: "pw"}, {User: "a", Identity: "b", Password: "pw"}, {User: "b", Identity: "a", Password: "pw"}} {
		keys[m.key(l)] = true
	}
	if len(keys) != 4 {
		t.Errorf("%d keys of 4 logins", len(keys))
	}
}
