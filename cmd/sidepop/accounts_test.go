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
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// A wrong password tells nothing of whether there is such a virtual user, not by what
// is offered after it either.
func TestVirtualFormsAfterLogins(t *testing.T) {
	v, err := auth.NewVirtual([]*postfix.Postfix{fakePostfix(t)}, "inline:{joe@virt.example={PLAIN}pw}")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		password string
		right    bool
		want     auth.Extent
	}{
		{"wrong", false, auth.None},
		{"pw", true, auth.Some},
	} {
		if _, err := v.Verify(t.Context(), auth.Login{User: "joe@virt.example", Password: c.password}); (err == nil) != c.right {
			t.Errorf("password %q: %v", c.password, err)
		}
		for _, form := range []auth.Form{auth.FormClear, auth.FormSCRAMSHA1, auth.FormSCRAMSHA256} {
			if got := v.Holds(form); got != c.want {
				t.Errorf("after the password %q of the form %v there are %v, want %v", c.password, form, got, c.want)
			}
		}
	}
}

// SCRAM's first answer takes its time for virtual users, whoever exists.
func TestVirtualSCRAMTime(t *testing.T) { synctest.Test(t, testVirtualSCRAMTime) }

func testVirtualSCRAMTime(t *testing.T) {
	v, err := auth.NewVirtual([]*postfix.Postfix{fakePostfix(t)}, "inline:{joe@virt.example={PLAIN}pw}")
	if err != nil {
		t.Fatal(err)
	}
	o := auth.SCRAMOptions{
		Kind: auth.SCRAMSHA256, Salts: auth.NewSalts(nil),
		Source: &auth.Masters{Chain: auth.Chain{{Name: config.SourceVirtual, Source: v}}},
	}
	for _, user := range []string{"joe@virt.example", "nobody@virt.example", "joe@other.example"} {
		begin := time.Now()
		challenge, _, err := auth.NewSCRAM(t.Context(), o, nil).Next([]byte("n,,n=" + user + ",r=abc"))
		if took := time.Since(begin); len(challenge) == 0 || err != nil || took != 100*time.Millisecond {
			t.Errorf("%s: %q, %v, after %v", user, challenge, err, took)
		}
	}
}

// TestSaltsOfSpellings: which names of somebody have the same salt does not tell who
// exists, in whichever spelling.
func TestSaltsOfSpellings(t *testing.T) { synctest.Test(t, testSaltsOfSpellings) }

func testSaltsOfSpellings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	content := "joe@local.example:" + keys256 + "\njim:" + keys256 + "\njane@virt.example:" + keys256 + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p := fakePostfix(t)
	virtual, err := auth.NewVirtual([]*postfix.Postfix{p}, "inline:{joe@virt.example="+keys256+"}")
	if err != nil {
		t.Fatal(err)
	}
	users := auth.Binding{Name: config.SourcePasswd, Source: auth.NewPasswd(file, func(err error) { t.Error(err) })}
	for _, chain := range []auth.Chain{{users}, {users, {Name: config.SourceVirtual, Source: virtual}}} {
		a := &accounts{Masters: auth.Masters{Chain: chain}, tables: []*postfix.Postfix{p}, local: localDomains([]string{"local.example"}, nil)}
		challenge := func(user string) string {
			o := auth.SCRAMOptions{Kind: auth.SCRAMSHA256, Salts: auth.NewSalts(nil), Source: &a.Masters, Account: a.saltName}
			got, _, err := auth.NewSCRAM(t.Context(), o, nil).Next([]byte("n,,n=" + user + ",r=abc"))
			if err != nil {
				t.Fatal(err)
			}
			_, factors, _ := strings.Cut(string(got), ",")
			return factors
		}
		for _, name := range []string{"joe", "jim", "jane"} {
			for _, forms := range [][2]string{
				{"%s", "%s@local.example"}, {"%s@virt.example", "%s+1@virt.example"}, {"%s@virt.example", "%s"}, {"%s+1@virt.example", "%s+2@virt.example"},
			} {
				same := func(name string) bool {
					return challenge(fmt.Sprintf(forms[0], name)) == challenge(fmt.Sprintf(forms[1], name))
				}
				if got, want := same(name), same("nobody"); got != want {
					t.Errorf("%d sources: %s and %s of %s have the same salt: %v, of nobody: %v", len(chain), forms[0], forms[1], name, got, want)
				}
			}
		}
	}
}
