package test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// saslSite is a server that offers every mechanism with a password, to an account
// with one message. Field gives the password as the passwd file has it.
func saslSite(t *testing.T, field func(s *site, password string) string) (*server, account) {
	t.Helper()
	s := newSite(t)
	a := s.account("bob", []mail{{dir: "new", name: "1.M1P1.h", kind: "short", data: []byte("Subject: x\n\ny\n")}})
	srv := s.prepare("")
	config, err := os.ReadFile(srv.config)
	must(t, err)
	config = []byte(strings.Replace(string(config), "[auth]\n", "[auth]\ncram_md5 = true\nchannel_binding = true\n", 1))
	must(t, os.WriteFile(srv.config, config, 0o600))
	users := fmt.Sprintf("%s:%s:%d:%d::%s\n", a.name, field(s, a.password), a.uid, a.gid, a.home)
	must(t, os.WriteFile(s.path("users"), []byte(users), 0o600))
	srv.program = srv.start(exec.Command(sidepop(t), "serve", "--config", srv.config))
	t.Cleanup(srv.stop)
	srv.awaitReady()
	return srv, a
}

func asItIs(_ *site, password string) string { return "{PLAIN}" + password }

// lastMechanism is what the last login so far was by.
func (s *server) lastMechanism() (mechanism string) {
	s.t.Helper()
	for _, e := range s.entries() {
		if e.Message == msgLogin {
			mechanism = e.Mech
		}
	}
	return mechanism
}

// TestMechanismsOfClients logs in with each mechanism of clients that let their user
// choose one. SCRAM is mpop's: Debian builds curl without GNU SASL, so without it.
func TestMechanismsOfClients(t *testing.T) {
	need(t, "curl", "curl")
	need(t, "mpop", "mpop")
	srv, a := saslSite(t, asItIs)
	_, port, err := net.SplitHostPort(srv.pop3s)
	must(t, err)
	byCurl := func(t *testing.T, option string) {
		config := fmt.Sprintf("url = pop3s://localhost:%s/1\nuser = %q\ncacert = %s\nlogin-options = %s\n", port, a.name+":"+a.password, srv.path(caFile), option)
		f := fetching{dir: folder(t)}
		got := run(t, f.dir, "", "curl", "--silent", "--show-error", "--disable", "--config", f.write(t, "config", config, 0o600))
		if !strings.HasPrefix(string(got), "Subject: x\r\n") {
			t.Errorf("curl has got %q", got)
		}
	}
	byMpop := func(t *testing.T, option string) {
		f := fetching{account: a, dir: folder(t), messages: 1}
		deliver, inbox := f.deliver(t)
		run(t, f.dir, "", "mpop", "--quiet", "--file", f.write(t, "mpoprc", fmt.Sprintf(`account default
host localhost
port %s
user %s
password %s
tls on
tls_starttls off
auth %s
tls_trust_file %s
keep on
uidls_file %s/uidls
delivery mda %s
`, port, a.name, a.password, option, srv.path(caFile), f.dir, deliver), 0o600))
		if got := numbered(t, inbox); len(got) != 1 {
			t.Errorf("mpop has got %d messages", len(got))
		}
	}
	for _, c := range []struct {
		program, option, mechanism string
		login                      func(*testing.T, string)
	}{
		{"curl", "AUTH=PLAIN", "PLAIN", byCurl},
		{"curl", "AUTH=LOGIN", "LOGIN", byCurl},
		{"curl", "AUTH=CRAM-MD5", "CRAM-MD5", byCurl},
		{"curl", "AUTH=+APOP", "APOP", byCurl},
		{"curl", "AUTH=*", "CRAM-MD5", byCurl}, // the best that it knows
		{"mpop", "user", "USER", byMpop},
		{"mpop", "plain", "PLAIN", byMpop},
		{"mpop", "login", "LOGIN", byMpop},
		{"mpop", "cram-md5", "CRAM-MD5", byMpop},
		{"mpop", "scram-sha-1", "SCRAM-SHA-1", byMpop},
		{"mpop", "scram-sha-256", "SCRAM-SHA-256", byMpop},
		{"mpop", "apop", "APOP", byMpop},
	} {
		t.Run(c.program+" "+c.option, func(t *testing.T) {
			c.login(t, c.option)
			if got := srv.lastMechanism(); got != c.mechanism {
				t.Errorf("logged in by %s, want %s", got, c.mechanism)
			}
		})
	}
}

// gsasl is the command of GNU SASL, which does the mechanism for a connection that
// the test has.
type gsasl struct {
	t  *testing.T
	in *bufio.Reader
	to func(string)
}

// startGSASL starts it. Bindings are the answers to its questions for channel
// bindings, in base64; without any it uses none.
func startGSASL(t *testing.T, mechanism, user, password string, bindings ...string) *gsasl {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	args := []string{"--client", "--quiet", "--mechanism", mechanism, "--authentication-id", user, "--authorization-id", "", "--password", password}
	if len(bindings) == 0 {
		args = append(args, "--no-cb")
	}
	cmd := command(ctx, t, folder(t), "gsasl", args...)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	g := &gsasl{t: t, in: bufio.NewReader(stdout), to: func(line string) { _, _ = fmt.Fprintln(stdin, line) }}
	if name := g.line(); name != mechanism {
		t.Fatalf("gsasl takes %q", name)
	}
	for _, b := range bindings {
		g.to(b)
	}
	return g
}

// line is the next one that is for the server, without a question before it.
func (g *gsasl) line() string {
	g.t.Helper()
	line, err := g.in.ReadString('\n')
	must(g.t, err)
	return strings.TrimSpace(line[strings.LastIndex(line, ": ")+1:])
}

// authenticate carries lines between gsasl and the server, and gives the outcome.
func (g *gsasl) authenticate(c *conn, mechanism string, serverFirst bool) string {
	g.t.Helper()
	line, err := c.try("AUTH " + mechanism)
	must(g.t, err)
	if serverFirst {
		_ = g.line() // it is empty: the client has nothing to say first
	}
	for first := true; strings.HasPrefix(line, "+ "); first = false {
		if challenge := strings.TrimSpace(line[2:]); !first || serverFirst {
			g.to(challenge)
		}
		line, err = c.try(g.line())
		must(g.t, err)
	}
	return line
}

// TestGNUSASL logs in with GNU SASL, over connections whose channel bindings it is
// told.
func TestGNUSASL(t *testing.T) {
	need(t, "gsasl", "gsasl")
	srv, a := saslSite(t, asItIs)
	for _, c := range []struct {
		mechanism   string
		version     uint16 // of TLS; 0: in plaintext
		binding     string // exporter, unique, a wrong one, or none
		password    string // empty: the right one
		serverFirst bool
		ok          bool
	}{
		{mechanism: "LOGIN", version: tls.VersionTLS13, ok: true},
		{mechanism: "PLAIN", version: tls.VersionTLS13, ok: true},
		{mechanism: "CRAM-MD5", version: tls.VersionTLS13, serverFirst: true, ok: true},
		{mechanism: "CRAM-MD5", serverFirst: true, password: "wrong"},
		{mechanism: "SCRAM-SHA-1", ok: true},
		{mechanism: "SCRAM-SHA-256", ok: true},
		{mechanism: "SCRAM-SHA-256", password: "wrong"},
		{mechanism: "SCRAM-SHA-256", version: tls.VersionTLS12, ok: true},
		{mechanism: "SCRAM-SHA-256-PLUS", version: tls.VersionTLS13, binding: "exporter", ok: true},
		{mechanism: "SCRAM-SHA-1-PLUS", version: tls.VersionTLS13, binding: "exporter", ok: true},
		{mechanism: "SCRAM-SHA-256-PLUS", version: tls.VersionTLS12, binding: "exporter", ok: true},
		{mechanism: "SCRAM-SHA-256-PLUS", version: tls.VersionTLS12, binding: "unique", ok: true},
		{mechanism: "SCRAM-SHA-1-PLUS", version: tls.VersionTLS12, binding: "unique", ok: true},
		{mechanism: "SCRAM-SHA-256-PLUS", version: tls.VersionTLS13, binding: "exporter", password: "wrong"},
		{mechanism: "SCRAM-SHA-256-PLUS", version: tls.VersionTLS13, binding: "wrong"},
		{mechanism: "SCRAM-SHA-256-PLUS", version: tls.VersionTLS13, binding: "unique"}, // which TLS 1.3 does not have
	} {
		t.Run(fmt.Sprintf("%s %s %x %s", c.mechanism, c.binding, c.version, c.password), func(t *testing.T) {
			connection, state := srv.connectVersion(t, c.version)
			if c.password == "" {
				c.password = a.password
			}
			g := startGSASL(t, c.mechanism, a.name, c.password, bindingsFor(t, c.binding, state)...)
			answer := g.authenticate(connection, c.mechanism, c.serverFirst)
			if ok := strings.HasPrefix(answer, "+OK 1 messages"); ok != c.ok || !ok && !strings.HasPrefix(answer, "-ERR [AUTH]") {
				t.Errorf("%q", answer)
			}
			if c.ok && srv.lastMechanism() != c.mechanism {
				t.Errorf("logged in by %s", srv.lastMechanism())
			}
		})
	}
}

// connectVersion connects with one version of TLS, or without.
func (s *server) connectVersion(t *testing.T, version uint16) (*conn, *tls.ConnectionState) {
	t.Helper()
	if version == 0 {
		return s.connect(), nil
	}
	return s.connectWith(t, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
}

// connectWith connects with TLS as it is configured.
func (s *server) connectWith(t *testing.T, config *tls.Config) (*conn, *tls.ConnectionState) {
	t.Helper()
	c, err := tls.Dial("tcp", s.pop3s, config)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	state := c.ConnectionState()
	read := &conn{c, bufio.NewReader(c)}
	_, err = read.answer()
	must(t, err)
	return read, &state
}

// bindingsFor are the answers that GNU SASL gets: it asks for tls-exporter and, if
// there is none, for tls-unique.
func bindingsFor(t *testing.T, which string, state *tls.ConnectionState) []string {
	t.Helper()
	b64 := base64.StdEncoding.EncodeToString
	switch which {
	case "exporter":
		data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		must(t, err)
		return []string{b64(data)}
	case "unique":
		if state.TLSUnique == nil {
			return []string{"", b64([]byte("nothing that TLS 1.3 has"))}
		}
		return []string{"", b64(state.TLSUnique)}
	case "wrong":
		return []string{b64(make([]byte, 32))}
	}
	return nil
}

// TestKeysOfOthers logs in to an account whose SCRAM keys were made by sidepop, and
// by GNU SASL.
func TestKeysOfOthers(t *testing.T) {
	need(t, "gsasl", "gsasl")
	for name, field := range map[string]func(*site, string) string{
		"sidepop": func(s *site, password string) string {
			hash := exec.Command(sidepop(t), "auth", "hash", "--scheme", "scram-sha-256")
			hash.Stdin = strings.NewReader(password + "\n")
			made, err := hash.Output()
			must(t, err)
			return firstLine(made)
		},
		"GNU SASL": func(s *site, password string) string {
			return firstLine(run(t, s.dir, "", "gsasl", "--mkpasswd", "--mechanism", "SCRAM-SHA-256", "--password", password))
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv, a := saslSite(t, field)
			const mechanism = "SCRAM-SHA-256"
			c := srv.connect()
			if answer := startGSASL(t, mechanism, a.name, a.password).authenticate(c, mechanism, false); !strings.HasPrefix(answer, "+OK 1 messages") {
				t.Errorf("%q", answer)
			}
			srv.loginTLS(a) // the password itself is as good
		})
	}
}
