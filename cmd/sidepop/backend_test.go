package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sidepop/auth"
	"sidepop/auth/oauth"
	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/index"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

// site is a running server with its files and its log.
type site struct {
	*testing.T
	dir     string
	address string
	server  *pop3.Server
	conns   []net.Conn
	mu      sync.Mutex
	log     bytes.Buffer
}

// Write takes what is logged.
func (s *site) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// text is what was logged so far.
func (s *site) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// ended ends all sessions, so that everything is logged, and gives the log.
func (s *site) ended() string {
	for _, c := range s.conns {
		_ = c.Close()
	}
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.Fatal(err)
	}
	return s.log.String()
}

// newSite makes a folder with files, in which $D stands for it, and serves from
// it. The files are users, a passwd file, and messages.
func newSite(t *testing.T, files map[string]string, change func(*config.Config), format string) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir()}
	for name, content := range files {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "$D", s.dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := config.Default()
	c.Mailbox = s.dir + "/%n"
	c.Auth.PasswdFile = s.dir + "/users"
	c.Auth.APOP = true
	c.Auth.FailureDelay = 10 * time.Millisecond
	c.Listen.POP3 = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	if change != nil {
		change(c)
	}
	log, err := maillog.New(s, "debug", format)
	if err != nil {
		t.Fatal(err)
	}
	c.Index.StateDir = t.TempDir()
	// Without roles: whoever runs the test has the mail.
	o := indexOptions(c, log)
	o.As = nil
	x, err := index.New(o)
	if err != nil {
		t.Fatal(err)
	}
	me := index.ProcessOwner()
	a := onlyPasswd(&places{mailbox: c.Mailbox, self: &me}, auth.NewPasswd(c.Auth.PasswdFile, log.Accounts))
	if c.Auth.Tokens() {
		if a.tokens, err = oauth.New(c.Auth.OAuth); err != nil {
			t.Fatal(err)
		}
	}
	b := newBackend(c, a, lasting{
		auth.NewGuard(guardOptions(c, a)), pop3.NewAccounts(c.Limits.SessionsPerUser, c.Limits.LoginDelay), x,
		auth.NewSalts([]byte("test")), log,
	})
	s.server = &pop3.Server{Backend: b, Events: log, Settings: settingsOf(c).pop3()}
	ls, err := listen(c.Listen)
	if err != nil {
		t.Fatal(err)
	}
	s.address = ls[0].Addr().String()
	start(s.server, ls)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.server.Shutdown(ctx)
		_ = x.Close()
	})
	return s
}

// client is one session's client.
type client struct {
	*site
	conn     net.Conn
	in       *bufio.Reader
	greeting string
}

func (s *site) dial() *client {
	s.Helper()
	return s.dialFrom("127.0.0.1")
}

// dialFrom is dial from another address of this machine.
func (s *site) dialFrom(local string) *client {
	s.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	conn, err := from.Dial("tcp", s.address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close() })
	s.conns = append(s.conns, conn)
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.Fatal(err)
	}
	c := &client{site: s, conn: conn, in: bufio.NewReader(conn)}
	c.greeting = c.line()
	return c
}

func (c *client) line() string {
	c.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.Fatalf("%v after %q", err, line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// say sends a command and gives the first line of the answer.
func (c *client) say(command string) string {
	c.Helper()
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", command); err != nil {
		c.Fatal(err)
	}
	return c.line()
}

// expect says a command and compares the beginning of the answer.
func (c *client) expect(command, want string) {
	c.Helper()
	if got := c.say(command); !strings.HasPrefix(got, want) {
		c.Errorf("%s: got %q, want %q", command, got, want)
	}
}

func (c *client) login(user, password string) string {
	c.Helper()
	c.expect("USER "+user, "+OK")
	return c.say("PASS " + password)
}

const message = "Subject: x\n\ny\n"

// TestLogin has accounts beside the answer to their login and what the log says.
func TestLogin(t *testing.T) {
	other := os.Getuid() + 1
	s := newSite(t, map[string]string{
		"users": fmt.Sprintf(`full:{PLAIN}pw
none:{PLAIN}pw
own:{PLAIN}pw:%d:0::$D/home::userdb_mail=maildir:~/Mail
mine:{PLAIN}pw::::::userdb_mail=mbox:$D/mbox
mbox:{PLAIN}pw
linked:{PLAIN}pw
other:{PLAIN}pw:%d:0
homeless:{PLAIN}pw::::::userdb_mail=maildir:~/Maildir
shut:{PLAIN}pw::::::nologin
broken:{NOSUCH}pw
`, os.Getuid(), other),
		"full/new/1.M1P1.h":      message,
		"full/cur/2.M1P1.h:2,S":  message,
		"home/Mail/new/1.M1P1.h": message,
		"mbox":                   "From x\n",
		"linked/cur/x":           message,
	}, nil, "text")
	if err := os.Symlink("cur", s.dir+"/linked/new"); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ user, password, answer, log string }{
		{"full", "pw", "+OK 2 messages (34 octets)", ""},
		{"full", "PW", "-ERR [AUTH] authentication failed", "wrong password"},
		{"none", "pw", "+OK 0 messages", ""},
		{"unknown", "pw", "-ERR [AUTH] authentication failed", "no such user"},
		{"own", "pw", "+OK 1 messages", ""},
		{"mine", "pw", "-ERR [SYS/PERM]", "mail setting of mine: \\\"mbox:" + s.dir + "/mbox\\\", expected maildir: and a path"},
		{"mbox", "pw", "-ERR [SYS/PERM]", s.dir + "/mbox: it is a file, perhaps an mbox"},
		{"linked", "pw", "-ERR [SYS/TEMP]", s.dir + "/linked/new must be a directory itself"},
		{"other", "pw", "-ERR [SYS/PERM]", fmt.Sprintf("the mail of other belongs to user id %d", other)},
		{"homeless", "pw", "-ERR [SYS/PERM]", "the account has no home"},
		{"shut", "pw", "-ERR [AUTH] authentication failed", "nologin is set"},
		{"broken", "pw", "-ERR [SYS/PERM]", "misconfigured"},
	}
	for _, tt := range tests {
		c := s.dial()
		if got := c.login(tt.user, tt.password); !strings.HasPrefix(got, tt.answer) {
			t.Errorf("%s: got %q, want %q", tt.user, got, tt.answer)
		}
		c.expect("QUIT", "+OK")
	}
	log := s.ended()
	for _, tt := range tests {
		line := "login failed session="
		if tt.log == "" {
			line = "login session="
		}
		if !hasLine(log, line, "user="+tt.user+" ", tt.log) {
			t.Errorf("%s: no line with %q and %q in\n%s", tt.user, line, tt.log, log)
		}
	}
}

// hasLine says whether a line of text has all of some parts.
func hasLine(text string, parts ...string) bool {
	for line := range strings.Lines(text) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}

// TestMessages goes through a session that reads and removes, beside another
// program that removes.
func TestMessages(t *testing.T) {
	s := newSite(t, map[string]string{
		"users":      "a:{PLAIN}pw\n",
		"a/new/1.h":  message,
		"a/new/2.h":  message,
		"a/new/3.h":  message,
		"a/new/.dot": message,
	}, nil, "text")
	c := s.dial()
	if got := c.login("a", "pw"); got != "+OK 3 messages (51 octets)" {
		t.Fatal(got)
	}
	c.expect("LIST 3", "+OK 3 17")
	c.expect("UIDL 3", "+OK 3 3.h")
	if err := os.Remove(s.dir + "/a/new/2.h"); err != nil {
		t.Fatal(err)
	}
	c.expect("RETR 2", "-ERR the message was removed by another program")
	c.expect("RETR 1", "+OK")
	for _, want := range []string{"Subject: x", "", "y", "."} {
		if got := c.line(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	c.expect("DELE 1", "+OK")
	c.expect("DELE 2", "+OK")
	c.expect("QUIT", "+OK")
	left, err := filepath.Glob(s.dir + "/a/new/*")
	if err != nil || len(left) != 2 { // 3.h and .dot
		t.Errorf("left: %v, %v", left, err)
	}
	if log := s.ended(); !hasLine(log, "session closed", "retr=1 dele=2 octets=17 ", "reason=quit") {
		t.Error(log)
	}
}

// TestMarkSeen: what was retrieved is marked at QUIT, where that is wanted.
func TestMarkSeen(t *testing.T) {
	for _, mark := range []bool{true, false} {
		s := newSite(t, map[string]string{"users": "a:{PLAIN}pw\n", "a/new/1.h": message, "a/new/2.h": message, "a/cur/3.h:2,": message},
			func(c *config.Config) { c.Index.MarkSeen = mark }, "text")
		c := s.dial()
		c.login("a", "pw")
		c.expect("RETR 1", "+OK")
		for c.line() != "." {
		}
		c.expect("TOP 2 0", "+OK")
		for c.line() != "." {
		}
		c.expect("QUIT", "+OK")
		s.ended()
		want := map[bool]string{true: "a/cur/1.h:2,S", false: "a/new/1.h"}[mark]
		for _, name := range []string{want, "a/new/2.h", "a/cur/3.h:2,"} {
			if _, err := os.Stat(s.dir + "/" + name); err != nil {
				t.Errorf("mark_seen %v: %v", mark, err)
			}
		}
	}
	for maildir, want := range map[string]bool{"": true, "/own": false} {
		d := t.TempDir()
		f := &folder{maildir: "/own", runtime: "/r", state: "/s", passwd: d + "/p", certificate: d + "/c", key: d + "/k", frontUser: "nobody", config: d + "/toml"}
		if err := errors.Join(certs.WriteLocal(f.certificate, f.key), os.WriteFile(f.passwd, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		_, c, err := (&trial{maildir: maildir}).configure(f)
		if err != nil || c.Index.MarkSeen != want {
			t.Errorf("try with the Maildir %q: %v, %+v", maildir, err, c)
		}
	}
}

// TestSessions: the sessions of an account are counted from login to end.
func TestSessions(t *testing.T) {
	files := map[string]string{"users": "a:{PLAIN}pw\nb:{PLAIN}pw\nbox:{PLAIN}pw\n", "box": "From x\n"}
	s := newSite(t, files, func(c *config.Config) { c.Limits.SessionsPerUser = 1 }, "text")
	first, second := s.dial(), s.dial()
	for _, tt := range []struct {
		c          *client
		user, want string
	}{{first, "a", "+OK"}, {second, "a", "-ERR [IN-USE]"}, {s.dial(), "b", "+OK"},
		// A login that fails after its session has begun ends that session.
		{s.dial(), "box", "-ERR [SYS/PERM]"}, {s.dial(), "box", "-ERR [SYS/PERM]"}} {
		if got := tt.c.login(tt.user, "pw"); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.user, got, tt.want)
		}
	}
	first.expect("QUIT", "+OK")
	if _, err := first.in.ReadByte(); err == nil {
		t.Error("no end after QUIT")
	}
	if got := second.login("a", "pw"); !strings.HasPrefix(got, "+OK") {
		t.Errorf("after the end of the first: %q", got)
	}

	s = newSite(t, files, func(c *config.Config) { c.Limits.LoginDelay = time.Hour }, "text")
	s.dial().login("a", "pw")
	if got := s.dial().login("a", "pw"); !strings.HasPrefix(got, "-ERR [LOGIN-DELAY]") {
		t.Errorf("second login: %q", got)
	}
	c := s.dial()
	for line := c.say("CAPA"); line != "LOGIN-DELAY 3600"; line = c.line() {
		if line == "." {
			t.Fatal("no LOGIN-DELAY")
		}
	}
}

// TestVersion: the keeper keeps listings as long as the mailbox has the same
// messages.
func TestVersion(t *testing.T) {
	s := newSite(t, map[string]string{
		"users":            "alice:{PLAIN}secret\n",
		"alice/cur/1.a:2,": "one\n", "alice/new/2.b": "two\n", "alice/tmp/3.c": "three\n",
	}, nil, "text")
	version := func() uint64 {
		m, err := s.server.Backend.Password(t.Context(), pop3.Peer{Secure: true}, "alice", "secret")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		return m.(wire.Versioned).Version()
	}
	first := version()
	if again := version(); first == 0 || again != first {
		t.Errorf("version %d, then %d", first, again)
	}
	if err := os.Rename(filepath.Join(s.dir, "alice/tmp/3.c"), filepath.Join(s.dir, "alice/new/3.c")); err != nil {
		t.Fatal(err)
	}
	if after := version(); after == first {
		t.Errorf("still version %d after a delivery", after)
	}
}

// TestSecrets runs logins of every kind, right and wrong, in every log format,
// and looks for the secrets and what carries them in the log.
func TestSecrets(t *testing.T) {
	for _, format := range config.Formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel() // wrong passwords take time
			testSecrets(t, format)
		})
	}
}

func testSecrets(t *testing.T, format string) {
	const right, wrong = "correct horse", "battery staple"
	plain := func(password string) string {
		return base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + password))
	}
	word := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	const digest = "0123456789abcdef0123456789abcdef"
	s := newSite(t, map[string]string{"users": "alice:{PLAIN}" + right + "\nbad:{MD5-CRYPT}" + wrong + "\n"}, nil, format)
	for _, password := range []string{wrong, right} {
		answer := map[string]string{wrong: "-ERR", right: "+OK"}[password]
		c := s.dial()
		if got := c.login("alice", password); !strings.HasPrefix(got, answer) {
			t.Errorf("USER: %q", got)
		}
		s.dial().expect("AUTH PLAIN "+plain(password), answer)
		c = s.dial()
		c.expect("AUTH PLAIN", "+ ")
		c.expect(plain(password), answer)
		c = s.dial()
		c.expect("AUTH LOGIN "+word("alice"), "+ ")
		c.expect(word(password), answer)
	}
	c := s.dial()
	c.expect("APOP alice "+digest, "-ERR")
	c.expect("APOP alice "+right, "-ERR")
	c.expect("APOP "+digest, "-ERR")
	c.expect("PASS "+wrong, "-ERR")
	c.expect("PASS", "-ERR")
	c.expect(right, "-ERR")
	c = s.dial()
	c.expect("AUTH PLAIN "+plain(right)+"!", "-ERR")
	c.expect("AUTH FOO "+plain(right), "-ERR")
	c.expect("AUTH "+plain(right), "-ERR")
	if got := c.login("bad", wrong); !strings.HasPrefix(got, "-ERR [SYS/PERM]") {
		t.Errorf("malformed entry: %q", got)
	}
	log := s.ended()
	for _, secret := range []string{
		right, wrong, "horse", "staple", plain(right), plain(wrong), word(right), word(wrong), digest,
	} {
		if strings.Contains(log, secret) {
			t.Errorf("%s: %q is in the log:\n%s", format, secret, log)
		}
	}
	if !strings.Contains(log, "login failed") || !strings.Contains(log, "APOP") {
		t.Errorf("%s: no logins in the log:\n%s", format, log)
	}
}

func TestMaildirOf(t *testing.T) {
	for setting, want := range map[string]string{
		"maildir:~/Maildir":                   "~/Maildir",
		"maildir:/mail/%d/%n:LAYOUT=fs":       "/mail/%d/%n",
		"maildir:~/Mail:INBOX=~/Inbox:INDEX=": "~/Inbox",
		"~/Maildir":                           "~/Maildir",
		"/mail/%u:LAYOUT=fs":                  "/mail/%u",
		"mbox:~/mail":                         "",
		"maildir":                             "",
		"":                                    "",
	} {
		got, err := maildirOf(setting)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v", setting, got, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	const all4, all6 = "0.0.0.0:110", "[::]:110"
	for _, tt := range []struct{ list, address, want string }{
		{all6, all6, "tcp"},
		{all4, all4, "tcp4"},
		{all4 + " " + all6, all6, "tcp6"},
		{"0.0.0.0:995 " + all6, all6, "tcp"},
		{all6, "[::1]:110", "tcp6"},
		{all6, "127.0.0.1:110", "tcp4"},
	} {
		var l config.Listen
		for a := range strings.FieldsSeq(tt.list) {
			l.POP3 = append(l.POP3, netip.MustParseAddrPort(a))
		}
		if got := network(netip.MustParseAddrPort(tt.address), wildcards(l)); got != tt.want {
			t.Errorf("%s of %s: got %s, want %s", tt.address, tt.list, got, tt.want)
		}
	}
}

// onlyPasswd is accounts with one source.
func onlyPasswd(p *places, users *auth.Passwd) *accounts {
	return &accounts{
		Masters: auth.Masters{Chain: auth.Chain{{Name: config.SourcePasswd, Source: users}}},
		places:  p, passwd: users,
	}
}
