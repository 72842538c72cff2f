package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
)

const (
	refusalSecret = "very secret pencil"
	wrongSecret   = "not so secret pencil"
)

// loginBy logs in by each mechanism, and gives the server's last answer. A wrong
// password is wrongSecret; what is no password is wrong in another way then. Before is
// called when the server knows who it is and has yet to hear the proof.
var loginBy = map[string]func(c *client, user, password string, before func()) string{
	"USER": func(c *client, user, password string, before func()) string {
		c.expect("USER "+user, "+OK")
		before()
		return c.say("PASS " + password)
	},
	"APOP": func(c *client, user, password string, before func()) string {
		stamp := c.greeting[strings.IndexByte(c.greeting, '<'):]
		before()
		return c.say(fmt.Sprintf("APOP %s %x", user, md5.Sum([]byte(stamp+password))))
	},
	"PLAIN": func(c *client, user, password string, before func()) string {
		return c.authenticate("AUTH PLAIN", func(string) string { before(); return "\x00" + user + "\x00" + password })
	},
	"LOGIN": func(c *client, user, password string, before func()) string {
		return c.authenticate("AUTH LOGIN", func(challenge string) string {
			if challenge == "Username:" {
				return user
			}
			before()
			return password
		})
	},
	"CRAM-MD5": func(c *client, user, password string, before func()) string {
		return c.authenticate("AUTH CRAM-MD5", func(challenge string) string {
			before()
			h := hmac.New(md5.New, []byte(password))
			h.Write([]byte(challenge))
			return fmt.Sprintf("%s %x", user, h.Sum(nil))
		})
	},
	"SCRAM-SHA-1":   scramBy("SCRAM-SHA-1"),
	"SCRAM-SHA-256": scramBy("SCRAM-SHA-256"),
	"OAUTHBEARER": func(c *client, user, password string, before func()) string {
		return c.bearer("OAUTHBEARER", "n,a="+user+",\x01auth=Bearer "+tokenBy(c, user, password)+"\x01\x01", before)
	},
	"XOAUTH2": func(c *client, user, password string, before func()) string {
		return c.bearer("XOAUTH2", "user="+user+"\x01auth=Bearer "+tokenBy(c, user, password)+"\x01\x01", before)
	},
	"EXTERNAL": func(c *client, _, _ string, before func()) string {
		return c.authenticate("AUTH EXTERNAL", func(string) string { before(); return "" })
	},
}

func scramBy(kind string) func(c *client, user, password string, before func()) string {
	return func(c *client, user, password string, before func()) string {
		return c.scramWith(kind, user, password, "", before)
	}
}

// bearer sends a token, and after a failure that the client is told, the empty answer.
func (c *client) bearer(mechanism, response string, before func()) string {
	first := true
	return c.authenticate("AUTH "+mechanism, func(string) string {
		if !first {
			return "\x01"
		}
		first = false
		before()
		return response
	})
}

// tokenBy is a token of a user, which has expired in place of a wrong password.
func tokenBy(c *client, user, password string) string {
	if password == wrongSecret {
		return tokenFor(c.T, user, -time.Hour)
	}
	return tokenFor(c.T, user, time.Hour)
}

// proxied is a connection whose client has shown a proxy a certificate.
type proxied struct {
	*net.TCPConn
	name string
}

func (p proxied) Terminated() *tls.ConnectionState {
	return &tls.ConnectionState{Version: tls.VersionTLS13}
}
func (p proxied) ClientName() string { return p.name }

// dialCertified is dialFrom for the owner of a certificate.
func (s *site) dialCertified(local, name string) *client {
	s.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	defer l.Close()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	conn, err := from.Dial("tcp", l.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close() })
	s.conns = append(s.conns, conn)
	go s.server.ServeConn(proxied{served.(*net.TCPConn), name}, false)
	c := &client{site: s, conn: conn, in: bufio.NewReader(conn)}
	c.greeting = c.line()
	return c
}

// TestRefusals has what can be wrong with a login beside what the client is told, by
// whatever mechanism, and what the log says: the whole reason, and no secret.
func TestRefusals(t *testing.T) {
	const auth401, temporary, permanent = "-ERR [AUTH] authentication failed", "-ERR [SYS/TEMP] temporary failure, try again later", "-ERR [SYS/PERM] the server is not set up for this account"
	faults := []struct {
		name           string // of the users, with the mechanism after it
		line           string // of the passwd file after the name; empty: there is none
		password       string
		answer, reason string
		gone           bool // the passwd file is away when the proof comes
	}{
		{"right", ":{PLAIN}%s", refusalSecret, "+OK 0 messages", "", false},
		{"wrong", ":{PLAIN}%s", wrongSecret, auth401, "wrong password", false},
		{"nobody", "", refusalSecret, auth401, "no such user", false},
		{"locked", ":!{PLAIN}%s", refusalSecret, auth401, "locked", false},
		{"shut", ":{PLAIN}%s::::::nologin", refusalSecret, auth401, "nologin is set", false},
		{"away", ":{PLAIN}%s::::::allow_nets=192.0.2.1", refusalSecret, auth401, "allow_nets does not hold the client's address", false},
		{"broken", ":{NOSUCH}%s", refusalSecret, permanent, "misconfigured", false},
		{"mbox", ":{PLAIN}%s::::::userdb_mail=mbox:/mbox", refusalSecret, permanent, "expected maildir: and a path", false},
		{"homeless", ":{PLAIN}%s::::::userdb_mail=maildir:~/Maildir", refusalSecret, permanent, "the account has no home", false},
		{"other", ":{PLAIN}%s:4242:4242", refusalSecret, permanent, "belongs to user id 4242", false},
		{"gone", ":{PLAIN}%s", refusalSecret, temporary, "no such file or directory", true},
	}
	// What is not wrong for who has shown no password, or wrong in another way.
	otherwise := map[string]map[string][2]string{
		"locked": {"OAUTHBEARER": {"+OK"}, "XOAUTH2": {"+OK"}, "EXTERNAL": {"+OK"}},
		"wrong":  {"OAUTHBEARER": {auth401, "it expired at"}, "XOAUTH2": {auth401, "it expired at"}, "EXTERNAL": {"+OK"}},
		"gone":   {"APOP": {"-ERR mechanism not available"}},
	}
	var users strings.Builder
	for _, f := range faults {
		for mechanism := range loginBy {
			if f.line != "" {
				fmt.Fprintf(&users, "%s-%s%s\n", f.name, strings.ToLower(mechanism), strings.Replace(f.line, "%s", refusalSecret, 1))
			}
		}
	}
	files := map[string]string{"users": users.String()}
	tokens := withTokens(t, files)
	s := newSite(t, files, func(c *config.Config) {
		tokens(c)
		c.Auth.CRAMMD5, c.Auth.SCRAM, c.Listen.ProxyCertificates = true, config.SCRAMAlways, true
	}, "text")
	var err error
	if s.server.Backend.(*backend).accounts.certificates, err = auth.OpenCertificates("", ""); err != nil {
		t.Fatal(err)
	}
	rename := func(from, to string) {
		if err := os.Rename(s.dir+from, s.dir+to); err != nil {
			t.Fatal(err)
		}
	}
	type line struct{ user, mechanism, reason string }
	var logged []line
	number := 0
	for _, f := range faults {
		for mechanism, login := range loginBy {
			user := f.name + "-" + strings.ToLower(mechanism)
			answer, reason := f.answer, f.reason
			if o, ok := otherwise[f.name][mechanism]; ok {
				answer, reason = o[0], o[1]
			}
			number++
			address := fmt.Sprintf("127.0.%d.%d", 1+number/200, 1+number%200) // whose failures are counted
			c := (*client)(nil)
			if mechanism == "EXTERNAL" {
				c = s.dialCertified(address, user)
			} else {
				c = s.dialFrom(address)
			}
			got := login(c, user, f.password, func() {
				if f.gone {
					rename("/users", "/away")
				}
			})
			if f.gone {
				rename("/away", "/users")
			}
			if !strings.HasPrefix(got, answer) {
				t.Errorf("%s, %s: %q, want %q", f.name, mechanism, got, answer)
			}
			if reason != "" {
				logged = append(logged, line{user, mechanism, reason})
			}
			c.expect("QUIT", "+OK")
		}
	}
	log := s.ended()
	for _, l := range logged {
		if !hasLine(log, "login failed", "user="+l.user+" ", "mech="+l.mechanism+" ", l.reason) {
			t.Errorf("%+v is not in the log", l)
		}
	}
	for _, secret := range []string{refusalSecret, wrongSecret, base64.StdEncoding.EncodeToString([]byte(refusalSecret))} {
		if strings.Contains(log, secret) {
			t.Errorf("a secret is in the log")
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}

// TestRefusalsOfTheMechanism has what is no login: the client has cancelled it, or
// does not know the rules. Only what could be an attempt has [AUTH].
func TestRefusalsOfTheMechanism(t *testing.T) {
	files := map[string]string{"users": "joe:{PLAIN}" + refusalSecret + "\n"}
	tokens := withTokens(t, files)
	s := newSite(t, files, func(c *config.Config) { tokens(c); c.Auth.CRAMMD5 = true }, "text")
	b64 := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for i, tt := range []struct {
		command, response, answer, reason string
	}{
		{"AUTH PLAIN", "*", "-ERR authentication cancelled", "cancelled"},
		{"AUTH PLAIN", "!", "-ERR ", "base64"},
		{"AUTH PLAIN", b64("joe"), "-ERR [AUTH]", "malformed SASL response"},
		{"AUTH LOGIN", "*", "-ERR authentication cancelled", "cancelled"},
		{"AUTH CRAM-MD5", b64("joe"), "-ERR [AUTH]", "malformed SASL response"},
		{"AUTH CRAM-MD5", "*", "-ERR authentication cancelled", "cancelled"},
		{"AUTH SCRAM-SHA-256", b64("joe"), "-ERR [AUTH]", "malformed SASL response"},
		{"AUTH SCRAM-SHA-256", b64("p=tls-unique,,n=joe,r=abc"), "-ERR [AUTH]", "channel binding"},
		{"AUTH SCRAM-SHA-256", "*", "-ERR authentication cancelled", "cancelled"},
		{"AUTH SCRAM-SHA-256-PLUS", "", "-ERR mechanism not available", ""},
		{"AUTH EXTERNAL", "", "-ERR mechanism not available", ""},
		{"AUTH NTLM", "", "-ERR mechanism not available", ""},
		{"AUTH XOAUTH2", "*", "-ERR authentication cancelled", "cancelled"},
		{"APOP joe xyz", "", "-ERR ", ""},
	} {
		c := s.dialFrom(fmt.Sprintf("127.0.3.%d", 1+i))
		got := c.say(tt.command)
		if strings.HasPrefix(got, "+ ") {
			got = c.say(tt.response)
		}
		if !strings.HasPrefix(got, tt.answer) || !strings.Contains(tt.answer, "[") && strings.Contains(got, "[") {
			t.Errorf("%s, %q: %q, want %q", tt.command, tt.response, got, tt.answer)
		}
		c.expect("QUIT", "+OK")
		remote := fmt.Sprintf("remote=127.0.3.%d:", 1+i)
		if tt.reason != "" && !hasLine(s.text(), "login failed", remote, tt.reason) {
			t.Errorf("%s, %q: %q is not in the log", tt.command, tt.response, tt.reason)
		}
	}
}
