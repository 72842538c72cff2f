package main

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"sidepop/auth"
	"sidepop/auth/postfix"
	"sidepop/cmd/sidepop/internal/config"
)

// fakePostfix is one with the domain virt.example and the mailbox of joe in it.
func fakePostfix(t *testing.T) *postfix.Postfix {
	t.Helper()
	return fakePostfixWith(t, "joe@virt.example=joe/")
}

// fakePostfixWith has these entries of a table of mailboxes, with commas between.
func fakePostfixWith(t *testing.T, mailboxes string) *postfix.Postfix {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"main.cf": "",
		"postmap": "#!/bin/sh\nexit 1\n",
		"postconf": "#!/bin/sh\ncat <<'END'\n" + `mail_version = 3.9.1
config_directory = ` + dir + `
mydestination = local.example
recipient_delimiter = +
virtual_transport = virtual
virtual_mailbox_domains = virt.example
virtual_mailbox_maps = inline:{` + mailboxes + `}
virtual_mailbox_base = /var/vmail
virtual_uid_maps = static:5000
virtual_gid_maps = static:5001
virtual_minimum_uid = 100
END
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, err := postfix.Open(t.Context(), postfix.Options{ConfigDir: dir, Commands: dir})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// APOP asks for the names that passwords are asked for, and finds the same accounts.
func TestAPOPFindsWhatPasswordsFind(t *testing.T) {
	const timestamp = "<1.2@h>"
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("joe@virt.example:{PLAIN}pw\nown@virt.example:{PLAIN}pw::::/home/own\njoe:{PLAIN}pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users := auth.NewPasswd(file, func(err error) { t.Error(err) })
	remote := netip.MustParseAddr("192.0.2.1")
	proof, err := auth.NewAPOP(timestamp, fmt.Sprintf("%x", md5.Sum([]byte(timestamp+"pw"))))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user    string
		domains []string
		maildir string
		err     error
	}{
		{"joe@virt.example", nil, "/var/vmail/joe", nil},
		{"JOE@virt.example", []string{"virt.example"}, "/var/vmail/joe", nil},
		{"own@virt.example", nil, "", nil},
		{"joe", nil, "", nil},
		{"joe", []string{"virt.example"}, "", auth.ErrCredentials},
		{"joe@virt.example", []string{""}, "", auth.ErrCredentials},
		{"joe＠virt.example", []string{""}, "", auth.ErrCredentials},
	} {
		a := &accounts{Masters: auth.Masters{Chain: auth.Chain{{
			Name: config.SourcePasswd, Domains: c.domains,
			Source: located{users, []*postfix.Postfix{fakePostfix(t)}},
		}}}}
		byPassword, err := a.Verify(t.Context(), auth.Login{User: c.user, Password: "pw", Remote: remote})
		byDigest, digestErr := a.Verify(t.Context(), auth.Login{User: c.user, Proof: proof, Remote: remote})
		if !errors.Is(err, c.err) || !errors.Is(digestErr, c.err) {
			t.Errorf("%s, for %q: with a password: %v; with APOP: %v", c.user, c.domains, err, digestErr)
			continue
		}
		if !reflect.DeepEqual(byPassword, byDigest) || byDigest != nil && byDigest.Maildir != c.maildir {
			t.Errorf("%s, for %q: with a password: %+v; with APOP: %+v", c.user, c.domains, byPassword, byDigest)
		}
	}
}

// However the owner of an account may spell its name, guesses at it count together.
func TestNamesOfOneAccount(t *testing.T) {
	a := &accounts{tables: []*postfix.Postfix{fakePostfix(t)}}
	a.local = a.tables[0].LocalDomain
	for name, spelled := range map[string][]string{
		"joe@virt.example": {
			"joe@virt.example", "Joe@Virt.Example", "joe@virt.example.", "joe+@virt.example", "joe+1@virt.example", "joe+a+b@VIRT.example",
			`"joe"@virt.example`, `"j\o\e"@virt.example`, `"joe+1"@virt.example.`,
		},
		"joe": {"joe", "joe@local.example", "joe@LOCAL.example", "joe@local.example."},
		// These are others, as far as anybody knows.
		"joe@other.example": {"joe@other.example", "joe+1@other.example"},
		"+joe@virt.example": {"+joe@virt.example"},
		"joe+1":             {"joe+1", "joe+1@local.example"},
		"@virt.example":     {"@virt.example"},
		"":                  {""},
	} {
		for _, spelling := range spelled {
			if got := a.name(t.Context(), spelling); got != name {
				t.Errorf("%s: counted as %q, want %q", spelling, got, name)
			}
		}
	}
	a.local = func(context.Context, string) (bool, error) { return false, errors.New("the mail server is down") }
	if got := a.name(t.Context(), "joe@local.example"); got != "joe@local.example" {
		t.Errorf("while the mail server can't be asked: counted as %q", got)
	}
	if got := new(accounts).name(t.Context(), "joe+1@local.example"); got != "joe+1@local.example" {
		t.Errorf("without a mail server: counted as %q", got)
	}
}
