package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"sidepop/auth"
	"sidepop/auth/helper"
	"sidepop/auth/postfix"
	"sidepop/cmd/sidepop/internal/config"
)

// fakeSystem is one with some users, whose password is "pw". The account of "gone" has
// expired.
type fakeSystem struct{}

func (fakeSystem) Authenticate(ctx context.Context, l *helper.Login) (helper.Answer, error) {
	a, err := fakeSystem{}.Lookup(ctx, l.User)
	if a.Outcome != helper.Found || string(l.Password) != "pw" {
		return helper.Answer{Outcome: helper.Credentials}, err
	}
	return fakeSystem{}.Admit(ctx, l)
}

func (fakeSystem) Admit(ctx context.Context, l *helper.Login) (helper.Answer, error) {
	if l.User == "gone" {
		return helper.Answer{Outcome: helper.AccountExpired}, nil
	}
	a, err := fakeSystem{}.Lookup(ctx, l.User)
	a.Outcome = helper.Accepted
	return a, err
}

func (fakeSystem) Lookup(_ context.Context, user string) (helper.Answer, error) {
	uid, ok := map[string]uint32{"ann": 2001, "Bob": 2002, "twice": 2003, "gone": 2004, "root": 0}[user]
	if !ok {
		return helper.Answer{Outcome: helper.Unknown}, nil
	}
	return helper.Answer{Outcome: helper.Found, Account: helper.Account{Name: user, UID: uid, GID: uid, Home: "/home/" + user}}, nil
}

// admitSite has accounts in every source. Postfix has the virtual mailboxes of
// virt.example, and delivers local.example to system users.
func admitSite(t *testing.T) *accounts {
	t.Helper()
	dir := t.TempDir()
	passwd := func(path, file, content string) *auth.Passwd {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return auth.NewPasswd(filepath.Join(dir, path), func(err error) { t.Error(err) })
	}
	p := fakePostfixWith(t, "file@virt.example=file/, joe@virt.example=joe/, tag+x@virt.example=tagged/, mbox@virt.example=mbox, @virt.example=rest/")
	virtual, err := auth.NewVirtual([]*postfix.Postfix{p}, "inline:{joe@virt.example={PLAIN}pw, tag+x@virt.example={PLAIN}pw, any@virt.example={PLAIN}pw, mbox@virt.example={PLAIN}pw}")
	if err != nil {
		t.Fatal(err)
	}
	users := passwd("users", "users", `file@virt.example:{PLAIN}pw
home@virt.example:{PLAIN}pw:3002:3002::/home/own
mail@other.example:{PLAIN}pw:3003:3003::/home/mail::userdb_mail=maildir:~/Mail
alias@other.example:{PLAIN}pw:3004:3004::/home/real::user=real@other.example
small:{PLAIN}pw:3005:3005::/home/small
twice:{PLAIN}pw:3006:3006::/home/file
astray@other.example:{PLAIN}pw:12:12::/home/astray
shut@other.example:{PLAIN}pw:3007:3007::/home/shut::nologin
away@other.example:{PLAIN}pw:3008:3008::/home/away::allow_nets=198.51.100.0/24
`)
	return &accounts{
		places: &places{mailbox: "~/Maildir", minimum: 1000, front: 999},
		Masters: auth.Masters{
			Users: passwd("masters", "masters", "admin:{PLAIN}master\n"),
			Chain: auth.Chain{
				{Name: config.SourcePasswd, Source: located{users, []*postfix.Postfix{p}}},
				{Name: "each", Source: passwd("of-%d", "of-each.example", "jim:{PLAIN}pw:3001:3001::/home/%d/%n\n"), Domains: []string{"each.example"}},
				{Name: config.SourceVirtual, Source: virtual, Domains: []string{"virt.example"}},
				{Name: config.SourcePAM, Domains: []string{"", "local.example"}, Source: auth.NewPAM(auth.PAMOptions{
					Pool: fakeSystem{}, Service: "sidepop", FoldCase: true, Local: p.LocalDomain,
				})},
			},
		},
	}
}

// TestAdmitOpensWhatPasswordsOpen: whatever proves who somebody is, the password, a
// token, a certificate or a master user, one name leads to one mailbox of one owner.
func TestAdmitOpensWhatPasswordsOpen(t *testing.T) {
	a, ctx := admitSite(t), t.Context()
	remote := netip.MustParseAddr("192.0.2.1")
	ways := map[string]func(user string) (*auth.Account, error){
		"password": func(user string) (*auth.Account, error) {
			return a.Verify(ctx, auth.Login{User: user, Password: "pw", Remote: remote})
		},
		"token": func(user string) (*auth.Account, error) { return a.Admit(ctx, user, remote) },
		"certificate": func(user string) (*auth.Account, error) {
			return a.AdmitAs(ctx, auth.Login{User: user, Remote: remote})
		},
		"identity": func(user string) (*auth.Account, error) {
			return a.AdmitAs(ctx, auth.Login{User: user, Identity: user, Remote: remote})
		},
	}
	master := func(user string) (*auth.Account, error) {
		return a.Verify(ctx, auth.Login{User: "admin", Password: "master", Identity: user, Remote: remote})
	}
	for user, want := range map[string]string{
		"file@virt.example":   "file@virt.example /var/vmail/file 5000",
		"FILE@Virt.Example":   "file@virt.example /var/vmail/file 5000",
		"home@virt.example":   "home@virt.example /home/own/Maildir 3002",
		"mail@other.example":  "mail@other.example /home/mail/Mail 3003",
		"Mail@other.example":  "mail@other.example /home/mail/Mail 3003",
		"alias@other.example": "real@other.example /home/real/Maildir 3004",
		"small":               "small /home/small/Maildir 3005",
		"twice":               "twice /home/file/Maildir 3006", // the first source's
		"jim@each.example":    "jim@each.example /home/each.example/jim/Maildir 3001",
		"JIM@EACH.example":    "jim@each.example /home/each.example/jim/Maildir 3001",
		"joe@virt.example":    "joe@virt.example /var/vmail/joe 5000",
		"Joe+1@VIRT.example":  "joe@virt.example /var/vmail/joe 5000",
		`"joe"@virt.example`:  "joe@virt.example /var/vmail/joe 5000",
		"tag+x@virt.example":  "tag+x@virt.example /var/vmail/tagged 5000",
		"any@virt.example":    "any@virt.example /var/vmail/rest 5000",
		"any+1@virt.example":  "any@virt.example /var/vmail/rest 5000",
		"ann":                 "ann /home/ann/Maildir 2001",
		"Ann":                 "ann /home/ann/Maildir 2001",
		"ann@local.example":   "ann /home/ann/Maildir 2001",
		"ANN@LOCAL.example":   "ann /home/ann/Maildir 2001",
		"Bob":                 "Bob /home/Bob/Maildir 2002",
		"twice@local.example": "twice /home/twice/Maildir 2003",
	} {
		for way, ask := range ways {
			if got := a.opened(ask(user)); got != want {
				t.Errorf("%q by %s: %s, want %s", user, way, got, want)
			}
		}
		if got := a.opened(master(user)); got != want {
			t.Errorf("%q by a master user: %s, want %s", user, got, want)
		}
	}
	// Who can't log in, and what a master user comes to who wants their mail.
	for user, want := range map[string][2]string{
		"astray@other.example": {"not served: user id 12", "not served: user id 12"},
		"mbox@virt.example":    {"permanent", "permanent"},
		"root":                 {"denied", "not served: user id 0"},
		"gone":                 {"denied", "gone /home/gone/Maildir 2004"},
		"gone@local.example":   {"denied", "gone /home/gone/Maildir 2004"},
		"shut@other.example":   {"denied", "shut@other.example /home/shut/Maildir 3007"},
		"away@other.example":   {"denied", "away@other.example /home/away/Maildir 3008"},
		"file+1@virt.example":  {"credentials", "denied"}, // extensions are Postfix's, not a passwd file's
		"tag@virt.example":     {"credentials", "denied"},
		"rest@virt.example":    {"credentials", "denied"},
		"real@other.example":   {"credentials", "denied"}, // the name of the account, not of the login
		"jim@other.example":    {"credentials", "denied"},
		"jim":                  {"credentials", "denied"},
		"bob":                  {"credentials", "denied"},
		"ann+1":                {"credentials", "denied"},
		"ann@virt.example":     {"credentials", "denied"},
		"ann@other.example":    {"credentials", "denied"},
		"joe@local.example":    {"credentials", "denied"},
		"nobody":               {"credentials", "denied"},
		"":                     {"credentials", "credentials"},
	} {
		for way, ask := range ways {
			if got := a.opened(ask(user)); got != want[0] {
				t.Errorf("%q by %s: %s, want %s", user, way, got, want[0])
			}
		}
		if got := a.opened(master(user)); got != want[1] {
			t.Errorf("%q by a master user: %s, want %s", user, got, want[1])
		}
	}
}

// opened says in words what mailbox a login comes to, and whose.
func (a *accounts) opened(account *auth.Account, err error) string {
	switch {
	case errors.Is(err, auth.ErrDenied):
		return "denied"
	case errors.Is(err, auth.ErrCredentials):
		return "credentials"
	case errors.Is(err, auth.ErrPermanent):
		return "permanent"
	case err != nil:
		return err.Error()
	}
	path, owner, err := a.places.of(account)
	if err != nil {
		return fmt.Sprintf("not served: user id %d", *account.UID)
	}
	return fmt.Sprintf("%s %s %d", account.Name, path, owner.UID)
}
