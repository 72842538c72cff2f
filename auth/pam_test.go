package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sidepop/auth/helper"
)

// fakePAM knows some users, whose password is "right", and notes what it is asked.
type fakePAM struct {
	users map[string]helper.Answer // by name; the zero value is accepted
	down  error
	asked []string
	login helper.Login // the last one
}

func (f *fakePAM) note(format string, values ...any) {
	f.asked = append(f.asked, fmt.Sprintf(format, values...))
}

func (f *fakePAM) account(user string) helper.Account {
	return helper.Account{Name: user, UID: uint32(1000 + len(user)), GID: 100, Groups: []uint32{4}, Home: "/home/" + user}
}

func (f *fakePAM) Authenticate(_ context.Context, l *helper.Login) (helper.Answer, error) {
	f.note("authenticate %s %s", l.User, string(l.Password))
	f.login = *l
	if f.down != nil {
		return helper.Answer{}, f.down
	}
	a, ok := f.users[l.User]
	if string(l.Password) != "right" || !ok {
		return helper.Answer{Outcome: helper.Credentials, Messages: []string{"pam_authenticate: Authentication failure"}}, nil
	}
	if a.Outcome == 0 {
		return helper.Answer{Outcome: helper.Accepted, Account: f.account(l.User)}, nil
	}
	return a, nil
}

func (f *fakePAM) Admit(_ context.Context, l *helper.Login) (helper.Answer, error) {
	f.note("admit %s %s %v", l.Service, l.User, l.Remote)
	if f.down != nil {
		return helper.Answer{}, f.down
	}
	if a := f.users[l.User]; a.Outcome != 0 {
		return a, nil
	}
	return helper.Answer{Outcome: helper.Accepted, Account: f.account(l.User)}, nil
}

func (f *fakePAM) Lookup(_ context.Context, user string) (helper.Answer, error) {
	f.note("lookup %s", user)
	if f.down != nil {
		return helper.Answer{}, f.down
	}
	if _, ok := f.users[user]; ok {
		return helper.Answer{Outcome: helper.Found, Account: f.account(user)}, nil
	}
	if user == "nss" {
		return helper.Answer{Outcome: helper.Temporary, Messages: []string{"NSS is down"}}, nil
	}
	return helper.Answer{Outcome: helper.Unknown}, nil
}

// users are those of the fake system, none of them special.
func users(names ...string) map[string]helper.Answer {
	all := make(map[string]helper.Answer)
	for _, name := range names {
		all[name] = helper.Answer{}
	}
	return all
}

func local(_ context.Context, domain string) (bool, error) {
	if domain == "down.example" {
		return false, errors.New("the mail server is down")
	}
	return domain == "host.example", nil
}

// TestPAMNames: which names PAM is asked for.
func TestPAMNames(t *testing.T) {
	for _, c := range []struct {
		user, password string
		fold           bool
		noLocal        bool
		want           string // the account
		err            error
		unknown        bool // the error is ErrUnknown too
		asked          []string
	}{
		{user: "joe", want: "joe", asked: []string{"authenticate joe right"}},
		{user: "joe", fold: true, want: "joe", asked: []string{"authenticate joe right"}},
		{user: "joe", password: "wrong", err: ErrCredentials, asked: []string{"authenticate joe wrong"}},
		{user: "nobody", err: ErrCredentials, asked: []string{"authenticate nobody right"}},
		{user: "Joe", err: ErrCredentials, asked: []string{"authenticate Joe right"}},
		{user: "Joe", fold: true, want: "joe", asked: []string{"lookup Joe", "lookup joe", "authenticate joe right"}},
		{user: "Ann", fold: true, want: "Ann", asked: []string{"lookup Ann", "authenticate Ann right"}},
		{user: "NoBody", fold: true, err: ErrCredentials, asked: []string{"lookup NoBody", "lookup nobody", "authenticate NoBody right"}},
		{user: "NSS", fold: true, err: ErrTemporary, asked: []string{"lookup NSS", "lookup nss"}},
		{user: "joe@host.example", want: "joe", asked: []string{"authenticate joe right"}},
		{user: "joe@HOST.example", want: "joe", asked: []string{"authenticate joe right"}},
		{user: "joe@host.example", noLocal: true, err: ErrCredentials, unknown: true},
		{user: "joe@other.example", err: ErrCredentials, unknown: true},
		{user: "joe@down.example", err: ErrTemporary},
		{user: "joe@", err: ErrCredentials, unknown: true},
		{user: "@host.example", err: ErrCredentials},
		// A directory has users of domains that are not the MTA's.
		{user: "joe@other@host.example", err: ErrCredentials},
		{user: "joe＠other.example", err: ErrCredentials},
		{user: "joe＠other.example", fold: true, err: ErrCredentials},
		{user: "joe＠other.example@host.example", err: ErrCredentials},
		{user: "", err: ErrCredentials},
		{user: "-joe", err: ErrCredentials},
		{user: "-joe@host.example", err: ErrCredentials},
		{user: "../joe", err: ErrCredentials},
		{user: "a\nb", err: ErrCredentials},
		{user: "a\x00b", err: ErrCredentials},
		{user: "a\x7f", err: ErrCredentials},
		{user: "a\u0085b", err: ErrCredentials},
		{user: "a\xffb", err: ErrCredentials},
		{user: strings.Repeat("x", MaxUserOctets+1), err: ErrCredentials},
		{user: "joe", password: strings.Repeat("x", MaxPasswordOctets+1), err: ErrCredentials},
		{user: "joe", password: "a\x00", err: ErrCredentials},
		// SASLprep's other form of a name or password is tried after the typed one.
		{user: "j\u00adoe", want: "joe", asked: []string{"lookup j\u00adoe", "lookup joe", "authenticate joe right"}},
		{user: "joe", password: "r\u00adight", want: "joe", asked: []string{"authenticate joe r\u00adight", "authenticate joe right"}},
	} {
		f := &fakePAM{users: users("joe", "Ann")}
		o := PAMOptions{Pool: f, Service: "sidepop", FoldCase: c.fold, Local: local}
		if c.noLocal {
			o.Local = nil
		}
		password := c.password
		if password == "" {
			password = "right"
		}
		a, err := NewPAM(o).Verify(t.Context(), Login{User: c.user, Password: password})
		got := ""
		if a != nil {
			got = a.Name
		}
		if got != c.want || !errors.Is(err, c.err) || errors.Is(err, ErrUnknown) != c.unknown {
			t.Errorf("%q: got %q, error %v; want %q, %v", c.user, got, err, c.want, c.err)
		}
		if !slices.Equal(f.asked, c.asked) {
			t.Errorf("%q: asked %q, want %q", c.user, f.asked, c.asked)
		}
	}
	if _, err := NewPAM(PAMOptions{Pool: &fakePAM{}}).Verify(t.Context(), Login{User: "joe"}); !errors.Is(err, ErrCredentials) {
		t.Errorf("empty password: %v", err)
	}
}

// TestPAMOutcomes: what becomes of what PAM says.
func TestPAMOutcomes(t *testing.T) {
	for outcome, c := range map[helper.Outcome]struct {
		err  error
		text string
	}{
		helper.Credentials:     {ErrCredentials, "PAM service mail: wrong user name or password: m1; m2"},
		helper.Locked:          {ErrCredentials, "PAM service mail: wrong user name or password: account locked: m1; m2"},
		helper.BrokenPrompt:    {ErrCredentials, "prompt for something else than a password: m1; m2"},
		helper.Denied:          {ErrDenied, "PAM service mail: login not allowed: m1; m2"},
		helper.AccountExpired:  {ErrDenied, "login not allowed: account expired: m1; m2"},
		helper.PasswordExpired: {ErrDenied, "password expired"},
		helper.NoLogin:         {ErrTemporary, "no logins"},
		helper.Temporary:       {ErrTemporary, "temporary fault"},
		helper.Permanent:       {ErrPermanent, "permanent fault"},
		helper.Found:           {ErrPermanent, "found"}, // the pool prevents it
		99:                     {ErrPermanent, "outcome 99"},
	} {
		f := &fakePAM{users: map[string]helper.Answer{"joe": {Outcome: outcome, Messages: []string{"m1", "m2"}}}}
		_, err := NewPAM(PAMOptions{Pool: f, Service: "mail"}).Verify(t.Context(), Login{User: "joe", Password: "right"})
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v: got %v, want %v with %q", outcome, err, c.err, c.text)
		}
		if _, admitted := NewPAM(PAMOptions{Pool: f, Service: "mail"}).Admit(t.Context(), "joe", netip.Addr{}); fmt.Sprint(admitted) != fmt.Sprint(err) {
			t.Errorf("%v: without a password it is %v, with one %v", outcome, admitted, err)
		}
		for _, other := range []error{ErrCredentials, ErrDenied, ErrTemporary, ErrPermanent} {
			if other != c.err && errors.Is(err, other) {
				t.Errorf("%v: %v is %v too", outcome, err, other)
			}
		}
	}
	for down, want := range map[error]error{helper.ErrTemporary: ErrTemporary, helper.ErrRequest: ErrCredentials, context.Canceled: ErrTemporary} {
		p := NewPAM(PAMOptions{Pool: &fakePAM{down: fmt.Errorf("it says: %w", down)}, Service: "mail"})
		if _, err := p.Verify(t.Context(), Login{User: "joe", Password: "right"}); !errors.Is(err, want) || !errors.Is(err, down) {
			t.Errorf("%v: got %v", down, err)
		}
		if _, err := p.Account(t.Context(), "joe"); !errors.Is(err, want) {
			t.Errorf("%v: account: got %v", down, err)
		}
		if _, err := p.Admit(t.Context(), "joe", netip.Addr{}); !errors.Is(err, want) {
			t.Errorf("%v: admission: got %v", down, err)
		}
	}
}

// TestPAMAccount: what an account has, what PAM is told, and who is never served.
func TestPAMAccount(t *testing.T) {
	f := &fakePAM{users: users("joe", "root", "relative")}
	f.users["root"] = helper.Answer{Outcome: helper.Accepted, Account: helper.Account{Name: "root", Home: "/root"}}
	f.users["relative"] = helper.Answer{Outcome: helper.Accepted, Account: helper.Account{Name: "relative", UID: 7, Home: "tmp"}}
	p := NewPAM(PAMOptions{Pool: f, Service: "sidepop", Session: true, Local: local})
	remote := netip.MustParseAddr("192.0.2.1")
	verify := func(user string) (*Account, error) {
		return p.Verify(t.Context(), Login{User: user, Password: "right", Remote: remote})
	}
	a, err := verify("joe")
	if err != nil || a.Name != "joe" || *a.UID != 1003 || *a.GID != 100 || !slices.Equal(a.Groups, []uint32{4}) || a.Home != "/home/joe" {
		t.Errorf("got %+v, error %v", a, err)
	}
	if l := f.login; l.Service != "sidepop" || l.Remote != remote || !l.SetCred || !l.OpenSession || string(l.Password) != "\x00\x00\x00\x00\x00" {
		t.Errorf("PAM was asked %+v", l)
	}
	if a, err := verify("root"); !errors.Is(err, ErrDenied) {
		t.Errorf("root: got %+v, error %v", a, err)
	}
	if a, err := verify("relative"); err != nil || a.Home != "" {
		t.Errorf("home tmp: got %+v, error %v", a, err)
	}
	for user, want := range map[string]error{"joe": nil, "joe@host.example": nil, "Joe": ErrUnknown, "joe@other.example": ErrUnknown, "nss": ErrTemporary, "a/b": ErrCredentials} {
		if a, err := p.Account(t.Context(), user); !errors.Is(err, want) || err == nil && a.Name != "joe" {
			t.Errorf("account of %q: got %+v, error %v", user, a, err)
		}
	}
}

// TestPAMAdmits: who comes without a password is asked about by the account's own name.
func TestPAMAdmits(t *testing.T) {
	f := &fakePAM{users: users("joe", "root", "gone", "renamed")}
	f.users["renamed"] = helper.Answer{Outcome: helper.Accepted, Account: helper.Account{Name: "root"}} // by a module
	f.users["gone"] = helper.Answer{Outcome: helper.AccountExpired, Messages: []string{"your account has expired"}}
	p := NewPAM(PAMOptions{Pool: f, Service: "mail", FoldCase: true, Local: local})
	for _, c := range []struct {
		user, want string
		err        error
		asked      []string
	}{
		{"JOE@host.example", "joe", nil, []string{"lookup JOE", "lookup joe", "admit mail joe 192.0.2.1"}},
		{"gone", "", ErrDenied, []string{"lookup gone", "admit mail gone 192.0.2.1"}},
		{"renamed", "", ErrDenied, []string{"lookup renamed", "admit mail renamed 192.0.2.1"}},
		{"nobody", "", ErrUnknown, []string{"lookup nobody"}},
		{"joe@other.example", "", ErrUnknown, nil},
	} {
		f.asked = nil
		a, err := p.Admit(t.Context(), c.user, netip.MustParseAddr("192.0.2.1"))
		if !errors.Is(err, c.err) || (a == nil) != (err != nil) || a != nil && a.Name != c.want || !slices.Equal(f.asked, c.asked) {
			t.Errorf("%q: %+v, %v, asked %q; want %q, %v, %q", c.user, a, err, f.asked, c.want, c.err, c.asked)
		}
	}
}

// TestPAMSays: what modules say to somebody who may log in is told.
func TestPAMSays(t *testing.T) {
	accepted := helper.Answer{Outcome: helper.Accepted, Account: helper.Account{Name: "joe", UID: 1000, GID: 100}}
	warned := accepted
	warned.Messages = []string{"your password expires", "soon"}
	f := &fakePAM{users: map[string]helper.Answer{"joe": warned, "ann": accepted, "bad": {Outcome: helper.Denied, Messages: []string{"no"}}}}
	var said []string
	p := NewPAM(PAMOptions{Pool: f, Service: "sidepop", Said: func(user string, messages []string) {
		said = append(said, fmt.Sprintf("%s %q", user, messages))
	}})
	for _, user := range []string{"joe", "ann", "bad"} {
		_, _ = p.Verify(t.Context(), Login{User: user, Password: "right"})
	}
	if want := []string{`joe ["your password expires" "soon"]`}; !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
}
