//go:build cgo && linux

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sidepop/auth/helper"
)

// recorder keeps what a pool tells.
type recorder struct {
	mu    sync.Mutex
	pid   int // of the last line
	lines []string
	died  []string
}

func (r *recorder) add(to *[]string, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*to = append(*to, text)
}

func (r *recorder) Logged(pid int, line string) {
	r.add(&r.lines, line)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pid = pid
}
func (r *recorder) Died(err error)        { r.add(&r.died, err.Error()) }
func (r *recorder) Unavailable(err error) { r.add(&r.died, err.Error()) }
func (r *recorder) Available()            {}

// process has a module write a line, to learn which process serves the pool.
func (r *recorder) process(t testing.TB, p *helper.Pool) (pid int) {
	t.Helper()
	try(t, p, login("stdout", "joe"))
	eventually(t, "a line", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		pid = r.pid
		return pid != 0
	})
	return pid
}

func (r *recorder) all() (lines, died []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines), slices.Clone(r.died)
}

// open makes a pool whose program is this one, in the keeper's sandbox.
func open(t testing.TB, change func(*helper.Options)) (*helper.Pool, *recorder) {
	t.Helper()
	needWorld(t)
	events := &recorder{}
	o := helper.Options{Command: []string{world.confine, world.helper}, Env: []string{"LD_LIBRARY_PATH=" + world.library}, Events: events}
	if change != nil {
		change(&o)
	}
	p, err := helper.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, events
}

// login is one with the right password, if nothing else is said.
func login(service, user string) *helper.Login {
	return &helper.Login{Service: service, User: user, Password: helper.Secret(secret), Remote: netip.MustParseAddr("198.51.100.7")}
}

// try logs in.
func try(t testing.TB, p *helper.Pool, l *helper.Login) helper.Answer {
	t.Helper()
	a, err := p.Authenticate(t.Context(), l)
	if err != nil {
		t.Errorf("%s, %s: %v", l.Service, l.User, err)
	}
	return a
}

// TestLogin is about real accounts and modules.
func TestLogin(t *testing.T) {
	p, events := open(t, nil)
	cases := []struct {
		service, user string
		password      string // secret, if empty
		want          helper.Outcome
		message       string // in one of the messages
	}{
		{service: "sidepop", user: "joe", want: helper.Accepted},
		{service: "SidePop", user: "joe", want: helper.Accepted}, // PAM's names are in lower case
		{service: "sidepop", user: "joe", password: "Secret", want: helper.Credentials},
		{service: "sidepop", user: "joe", password: secret + " ", want: helper.Credentials},
		{service: "sidepop", user: "joe", password: strings.Repeat("x", helper.MaxPassword), want: helper.Credentials},
		{service: "sidepop", user: "JOE", want: helper.Credentials},
		{service: "sidepop", user: "nobodythere", want: helper.Credentials},
		{service: "sidepop", user: "locked", want: helper.Credentials},
		{service: "sidepop", user: "starred", want: helper.Credentials},
		{service: "sidepop", user: "starred", password: "*", want: helper.Credentials},
		{service: "sidepop", user: "empty", want: helper.Credentials},
		{service: "plain", user: "empty", want: helper.Credentials},
		// Debian's stack makes one code of many; the module's message tells.
		{service: "sidepop", user: "expired", want: helper.Denied, message: "account has expired"},
		{service: "plain", user: "expired", want: helper.AccountExpired, message: "account has expired"},
		{service: "plain", user: "expired", password: "wrong", want: helper.Credentials},
		{service: "sidepop", user: "aged", want: helper.PasswordExpired, message: "change your password"},
		{service: "sidepop", user: "aged", password: "wrong", want: helper.Credentials},

		{service: "missing", user: "joe", want: helper.Permanent, message: "make the file /etc/pam.d/missing"},
		{service: "auth only", user: "joe", want: helper.Permanent, message: "has not got both"},
		{service: "account only", user: "joe", want: helper.Permanent, message: "has not got both"},
		{service: "permit", user: "joe", want: helper.Credentials, message: "without asking"},
		{service: "no module", user: "joe", want: helper.Permanent, message: "Module is unknown"},
		{service: "syntax", user: "joe", want: helper.Credentials, message: "Permission denied"},

		{service: "access", user: "joe", want: helper.Accepted},
		{service: "exec", user: "joe", want: helper.Accepted},
		{service: "exec", user: "joe", password: "wrong", want: helper.Credentials},
		{service: "exec", user: "other", want: helper.Credentials},

		{service: "auth-temp", user: "joe", want: helper.Temporary},
		{service: "auth-maxtries", user: "joe", want: helper.Locked},
		{service: "auth-expired", user: "joe", want: helper.Credentials},
		{service: "acct-temp", user: "joe", want: helper.Temporary},
		{service: "acct-34", user: "joe", want: helper.Denied},

		{service: "second", user: "joe", want: helper.BrokenPrompt, message: `"Code:"`},
		{service: "same", user: "joe", password: "anything", want: helper.Accepted},
		{service: "optional-second", user: "joe", want: helper.Accepted},
		{service: "optional-second", user: "expired", want: helper.AccountExpired, message: `"Code:"`},
		{service: "ask-echo", user: "joe", want: helper.BrokenPrompt, message: `"login:"`},
		{service: "ask-binary", user: "joe", want: helper.BrokenPrompt},
		{service: "new-password", user: "joe", want: helper.BrokenPrompt, message: `"New password: "`},
		{service: "no-messages", user: "joe", want: helper.BrokenPrompt},
		{service: "repeat", user: "joe", want: helper.Credentials, message: "left out"},
		{service: "flood", user: "joe", want: helper.Credentials, message: "?[2J a long message ?"},
		{service: "vanish", user: "joe", want: helper.Denied, message: `"nobodythere" has no entry`},
		{service: "stdout", user: "joe", want: helper.Accepted},
	}
	var done sync.WaitGroup // all at once, because many sleep
	for _, c := range cases {
		done.Go(func() {
			l := login(c.service, c.user)
			if c.password != "" {
				l.Password = helper.Secret(c.password)
			}
			a := try(t, p, l)
			said := strings.Join(a.Messages, "\n")
			if a.Outcome != c.want || !strings.Contains(said, c.message) {
				t.Errorf("%s, %s, %q: got %v, %q, want %v, %q", c.service, c.user, c.password, a.Outcome, a.Messages, c.want, c.message)
			}
			if a.Outcome == helper.Accepted && a.Account.Name != c.user {
				t.Errorf("%s: got the account %+v", c.user, a.Account)
			}
		})
	}
	done.Wait()
	lines, died := events.all()
	if len(died) > 0 {
		t.Errorf("died: %q", died)
	}
	if want := []string{"?? written to standard output"}; !slices.Equal(lines, want) {
		t.Errorf("logged %q, want %q", lines, want)
	}
}

// TestAccount: what is known of an account after a login and of one looked up.
func TestAccount(t *testing.T) {
	p, _ := open(t, nil)
	joe := helper.Account{Name: "joe", UID: 1001, GID: 1001, Groups: []uint32{2001, 2002}, Home: "/home/joe"}
	other := helper.Account{Name: "other", UID: 1008, GID: 1008, Groups: []uint32{2001}, Home: "/home/other"}
	same := func(what string, got helper.Answer, outcome helper.Outcome, want helper.Account) {
		t.Helper()
		slices.Sort(got.Account.Groups)
		if got.Outcome != outcome || fmt.Sprint(got.Account) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, %+v, want %+v", what, got.Outcome, got.Account, want)
		}
	}
	same("login", try(t, p, login("plain", "joe")), helper.Accepted, joe)
	same("login as somebody whose name a module has changed", try(t, p, login("rename", "joe")), helper.Accepted, other)
	look := func(user string) helper.Answer {
		t.Helper()
		a, err := p.Lookup(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	same("lookup", look("joe"), helper.Found, joe)
	same("lookup of a locked account", look("other"), helper.Found, other)
	for _, user := range []string{"nobodythere", "JOE", "1001", "joe:x", strings.Repeat("x", helper.MaxUser)} {
		same("lookup of "+user, look(user), helper.Unknown, helper.Account{})
	}
	// A service that is down is a fault, even where it says ENOENT.
	if err := os.WriteFile("/run/nss-down", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove("/run/nss-down")
	same("lookup of somebody whom files know", look("joe"), helper.Found, joe)
	if a := look("nobodythere"); a.Outcome != helper.Temporary || len(a.Messages) != 1 || !strings.Contains(a.Messages[0], "NSS") {
		t.Errorf("lookup where nobody knows: got %+v", a)
	}
	if a := try(t, p, login("vanish", "joe")); a.Outcome != helper.Temporary {
		t.Errorf("login of somebody of whom nobody knows: got %+v", a)
	}
}

// TestItems: what modules learn about the client.
func TestItems(t *testing.T) {
	p, _ := open(t, nil)
	for remote, rhost := range map[netip.Addr]string{
		{}:                                      "(unset)",
		netip.MustParseAddr("198.51.100.7"):     "198.51.100.7",
		netip.MustParseAddr("2001:db8::7"):      "2001:db8::7",
		netip.MustParseAddr("fe80::1%eth0"):     "fe80::1",
		netip.MustParseAddr("::ffff:192.0.2.1"): "192.0.2.1",
	} {
		l := login("items", "joe")
		l.Remote = remote
		a := try(t, p, l)
		want := []string{"service=items", "user=joe", "rhost=" + rhost, "ruser=joe", "tty=pop3"}
		if a.Outcome != helper.Accepted || !slices.Equal(a.Messages, want) {
			t.Errorf("%v: got %v, %q, want %q", remote, a.Outcome, a.Messages, want)
		}
	}
}

// TestAccess: pam_access lets in by address.
func TestAccess(t *testing.T) {
	p, _ := open(t, nil)
	for _, c := range []struct {
		user   string
		remote netip.Addr
		want   helper.Outcome
	}{
		{"joe", netip.MustParseAddr("198.51.100.7"), helper.Accepted},
		{"joe", netip.MustParseAddr("192.0.2.9"), helper.Denied},
		{"joe", netip.Addr{}, helper.Accepted},
		{"other", netip.Addr{}, helper.Denied},
		{"other", netip.MustParseAddr("192.0.2.9"), helper.Accepted},
	} {
		l := login("access", c.user)
		l.Remote = c.remote
		if a := try(t, p, l); a.Outcome != c.want {
			t.Errorf("%s from %v: got %v, %q, want %v", c.user, c.remote, a.Outcome, a.Messages, c.want)
		}
	}
}

func TestNoLogin(t *testing.T) {
	p, _ := open(t, nil)
	if a := try(t, p, login("nologin", "joe")); a.Outcome != helper.Accepted {
		t.Errorf("got %v, %q", a.Outcome, a.Messages)
	}
	if err := os.WriteFile("/run/nologin", []byte("going down for tea\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove("/run/nologin")
	a := try(t, p, login("nologin", "joe"))
	if a.Outcome != helper.NoLogin || !strings.Contains(strings.Join(a.Messages, "\n"), "going down for tea") {
		t.Errorf("got %v, %q", a.Outcome, a.Messages)
	}
	wrong := login("nologin", "joe")
	wrong.Password = helper.Secret("wrong")
	if a := try(t, p, wrong); a.Outcome != helper.Credentials {
		t.Errorf("with a wrong password: got %v", a.Outcome)
	}
}

// TestFaillock: pam_faillock keeps count under the sandbox.
func TestFaillock(t *testing.T) {
	t.Parallel() // it sleeps after each failure
	p, _ := open(t, nil)
	if err := os.MkdirAll("/run/faillock", 0o755); err != nil {
		t.Fatal(err)
	}
	wrong := login("faillock", "joe")
	wrong.Password = helper.Secret("wrong")
	for _, step := range []struct {
		login *helper.Login
		want  helper.Outcome
	}{
		{wrong, helper.Credentials},
		{login("faillock", "joe"), helper.Accepted},
		{wrong, helper.Credentials},
		{wrong, helper.Credentials},
		{login("faillock", "joe"), helper.Credentials}, // before it looks at the password
		{login("faillock", "other"), helper.Accepted},
	} {
		if a := try(t, p, step.login); a.Outcome != step.want {
			t.Errorf("%s, %s: got %v, %q, want %v", step.login.User, string(step.login.Password), a.Outcome, a.Messages, step.want)
		}
	}
}

// TestSyslog: what modules tell the system's log, which other programs read.
func TestSyslog(t *testing.T) {
	p, _ := open(t, nil)
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/dev/log", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	wrong := login("plain", "joe")
	wrong.Password = helper.Secret("hunter2")
	try(t, p, wrong)
	_ = log.SetReadDeadline(time.Now().Add(10 * time.Second))
	line := make([]byte, 1<<10)
	n, err := log.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	got := string(line[:n])
	for _, want := range []string{"pam_unix(plain:auth): authentication failure;", "tty=pop3 ruser=joe rhost=198.51.100.7", "user=joe"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Errorf("the password is in %q", got)
	}
}

// TestShadow: where root may not read the hashes without a capability, it has one;
// and where it has none, nobody's password is wrong.
func TestShadow(t *testing.T) {
	before, _ := open(t, nil)
	if a := try(t, before, login("plain", "joe")); a.Outcome != helper.Accepted {
		t.Errorf("got %v, %q", a.Outcome, a.Messages)
	}
	if err := os.Chmod("/etc/shadow", 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod("/etc/shadow", 0o640)
	if a := try(t, before, login("plain", "joe")); a.Outcome != helper.Temporary {
		t.Errorf("without the capability: got %v, %q", a.Outcome, a.Messages)
	}
	after, _ := open(t, nil)
	if a := try(t, after, login("plain", "joe")); a.Outcome != helper.Accepted {
		t.Errorf("with the capability: got %v, %q", a.Outcome, a.Messages)
	}
}

// TestSession: pam_mkhomedir makes a home, with the capabilities for it.
func TestSession(t *testing.T) {
	p, _ := open(t, func(o *helper.Options) { o.Command = []string{world.confine, "-sessions", world.helper} })
	l := login("mkhomedir", "homeless")
	if a := try(t, p, l); a.Outcome != helper.Accepted {
		t.Fatalf("got %v, %q", a.Outcome, a.Messages)
	}
	if _, err := os.Stat("/home/homeless"); err == nil {
		t.Error("a home was made without a session")
	}
	l.SetCred, l.OpenSession = true, true
	a := try(t, p, l)
	info, err := os.Stat("/home/homeless")
	if a.Outcome != helper.Accepted || err != nil {
		t.Fatalf("got %v, %q, %v", a.Outcome, a.Messages, err)
	}
	if owner := ownerOf(info); owner != 1007 || info.Mode().Perm() != 0o700 {
		t.Errorf("the home is user id %d's and has mode %v", owner, info.Mode())
	}
	if again := try(t, p, l); again.Outcome != helper.Accepted {
		t.Errorf("with a home: got %v, %q", again.Outcome, again.Messages)
	}
}
