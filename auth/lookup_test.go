package auth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccount has names beside the accounts that they find.
func TestAccount(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/passwd", `joe:{PLAIN}secret
Bob:{PLAIN}secret
off:{PLAIN}secret::::::nologin
near:{PLAIN}secret::::::allow_nets=192.0.2.0/24
locked:!
alias:{PLAIN}secret::::/home/%n:: user=real
bad:{PLAIN}secret:x
homeless:{PLAIN}secret::::/home/%d
`)
	put(t, dir+"/domains/example.org/users", "joe:!::::/home/%d/%n\nsue@example.org:{PLAIN}secret\n")
	one := NewPasswd(dir+"/passwd", func(error) {})
	many := NewPasswd(dir+"/domains/%d/users", noWarning(t))
	for _, tt := range []struct {
		p          *Passwd
		user       string
		name, home string
		err        error
		where      string
	}{
		{one, "joe", "joe", "", nil, ""},
		{one, "JOE", "joe", "", nil, ""},
		{one, "Bob", "Bob", "", nil, ""},
		{one, "bob", "", "", ErrUnknown, dir + `/passwd: no such user: "bob"`},
		{one, "off", "off", "", nil, ""},
		{one, "near", "near", "", nil, ""},
		{one, "locked", "locked", "", nil, ""},
		{one, "alias", "real", "/home/real", nil, ""},
		{one, "bad", "", "", ErrPermanent, dir + "/passwd:7: "},
		{one, "homeless", "", "", ErrPermanent, dir + "/passwd:8: "},
		{one, "nobody", "", "", ErrUnknown, dir + "/passwd: "},
		{one, "", "", "", ErrCredentials, "empty"},
		{one, "\xff", "", "", ErrCredentials, "UTF-8"},

		{many, "joe@example.org", "joe@example.org", "/home/example.org/joe", nil, ""},
		{many, "Joe@Example.ORG", "joe@example.org", "/home/example.org/joe", nil, ""},
		{many, "sue@example.org", "sue@example.org", "", nil, ""},
		{many, "joe@example.com", "", "", ErrUnknown, `the domain "example.com"`},
		{many, "joe@../domains/example.org", "", "", ErrUnknown, "the domain"},
		{many, "joe", "", "", ErrUnknown, `the domain ""`},
	} {
		a, err := tt.p.Account(t.Context(), tt.user)
		if tt.err == nil {
			if err != nil || a.Name != tt.name || a.Home != tt.home {
				t.Errorf("%q: %+v, %v", tt.user, a, err)
			}
			continue
		}
		if a != nil || !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.where) {
			t.Errorf("%q: %+v, %v; want %v: %s", tt.user, a, err, tt.err, tt.where)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: a secret is told: %v", tt.user, err)
		}
	}
	gone := NewPasswd(filepath.Join(dir, "none"), noWarning(t))
	if _, err := gone.Account(t.Context(), "joe"); !errors.Is(err, ErrTemporary) {
		t.Errorf("no file: %v", err)
	}
}

func TestAccounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("# users\nalice:{PLAIN}a::::/home/%n\nbroken:nothing\nlocked:!:::::/x\nbob:{PLAIN}b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	homes := map[string]string{}
	p := NewPasswd(path, func(error) {})
	if err := p.Accounts(func(a *Account) { homes[a.Name] = a.Home }); err != nil {
		t.Fatal(err)
	}
	if len(homes) != 3 || homes["alice"] != "/home/alice" {
		t.Errorf("accounts: %v", homes)
	}
	if err := NewPasswd(path+".gone", func(error) {}).Accounts(func(*Account) { t.Error("an account") }); !errors.Is(err, ErrTemporary) {
		t.Errorf("without a file: %v", err)
	}
	if err := NewPasswd("/nowhere/%d", func(error) {}).Accounts(func(*Account) { t.Error("an account") }); err != nil {
		t.Errorf("files for domains: %v", err)
	}
}
