package test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"syscall"
	"testing"
)

// reload has a running server read a configuration.
func (s *server) reload(content string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.config, []byte(content), 0o600))
	must(s.t, s.process.Signal(syscall.SIGHUP))
}

// TestReload: a hangup makes a changed configuration hold for new connections,
// while those that there are go on. One that can't be used changes nothing.
func TestReload(t *testing.T) {
	s := newSite(t)
	mails := sample()[:4]
	a, b := s.account("bob", mails), s.account("new", mails)
	s.accounts = []account{a} // b is not known yet
	srv := s.serve("[limits]\nconnections_per_address = 90\n", msgConfig, msgNeedsRestart)
	s.accounts = append(s.accounts, b)
	data, err := os.ReadFile(srv.config)
	must(t, err)
	before := string(data)
	front, keeper := srv.role(roleFront, 0), srv.role(roleKeeper, 0)
	running := srv.login(a)
	running.ok(t, "DELE 2")
	oldTLS := srv.certificate()

	srv.checkRefused(before)
	srv.fetchOne(a, mails[0])

	srv.reload(s.changed(before, []account{a, b}))
	srv.logged("configuration loaded", 1)
	if got := srv.logged(msgNeedsRestart, 1)[0].Keys; got != "uidl, log" {
		t.Errorf("keys that need a restart: %q", got)
	}
	await(t, "the new settings in the front", func() bool {
		return strings.Contains(srv.capabilities(), "\nEXPIRE 30\n")
	})

	if bytes.Equal(srv.certificate(), oldTLS) {
		t.Error("the certificate is the old one")
	}
	srv.checkChanged(a)
	srv.fetchOne(b, mails[0]) // of the new passwd file

	// The limits and the login of the session that runs are its own.
	for range 3 {
		if got, err := running.try("NONSENSE"); err != nil || !strings.HasPrefix(got, "-ERR") {
			t.Errorf("NONSENSE: %q, %v", got, err)
		}
	}
	running.ok(t, "RETR 1")
	if got, err := running.message(); err != nil || !bytes.Equal(got, mails[0].octets()) {
		t.Errorf("%v, %s", err, difference(got, mails[0].octets()))
	}
	running.ok(t, "QUIT")
	if _, err := os.Stat(mails[1].path(a.maildir)); err == nil {
		t.Error("the session that ran over the change has not removed its message")
	}
	if f, k := srv.role(roleFront, 0), srv.role(roleKeeper, 0); f != front || k != keeper {
		t.Errorf("front and keeper were %d and %d, and are %d and %d", front, keeper, f, k)
	}
}

// checkRefused has the server read configurations that can't be used.
func (s *server) checkRefused(before string) {
	s.t.Helper()
	bad := strings.Replace(before, "connections_per_address = 90", "connections_per_address = 0\nidle_tme = \"1h\"", 1)
	s.reload(bad)
	for i, want := range []string{"limits.connections_per_address: 0, expected", "limits.idle_tme: unknown key"} {
		if got := s.logged(msgConfig, 2)[i].Reason; !strings.Contains(got, want) || !strings.Contains(got, "sidepop.toml:") {
			s.t.Errorf("refused: %q, want %q in it", got, want)
		}
	}
	s.reload(strings.Replace(before, s.path(keyFile), s.path("nothing.pem"), 1))
	if got := s.logged(msgConfig, 3)[2].Reason; !strings.Contains(got, "tls.key") || !strings.Contains(got, "no such file") {
		s.t.Errorf("refused: %q, want the file's name in it", got)
	}
	if capa := s.capabilities(); !strings.Contains(capa, "\nEXPIRE NEVER\n") {
		s.t.Errorf("capabilities after a configuration was refused: %s", capa)
	}
}

// changed is a configuration with other limits, accounts and certificate, and
// other settings that hold only from a start on.
func (s *site) changed(before string, accounts []account) string {
	s.t.Helper()
	other := folder(s.t)
	certificates(s.t, other)
	s.writeUsers("others", accounts)
	return strings.NewReplacer(
		"connections_per_address = 90", "bad_commands = 1\nsessions_per_user = 1",
		s.path("users"), s.path("others"),
		s.path(certFile), other+"/"+certFile,
		s.path(keyFile), other+"/"+keyFile,
		`level  = "debug"`, `level  = "info"`,
		"runtime_dir", "uidl = \"md5\"\nruntime_dir",
	).Replace(before) + "[pop3]\nexpire = 30\n"
}

// checkChanged makes sure that the changed limits hold for new connections, while
// the account has a session.
func (s *server) checkChanged(a account) {
	s.t.Helper()
	c := s.connect()
	c.ok(s.t, "USER "+a.name)
	if got, err := c.try("PASS " + a.password); err != nil || !strings.HasPrefix(got, "-ERR [IN-USE]") {
		s.t.Errorf("sessions_per_user is 1, and the second login is answered with %q, %v", got, err)
	}
	c = s.connect()
	if got, err := c.try("NONSENSE"); err != nil || !strings.HasPrefix(got, "-ERR") {
		s.t.Errorf("NONSENSE: %q, %v", got, err)
	}
	if got, err := c.answer(); err == nil {
		s.t.Errorf("bad_commands is 1, and after one there is %q", got)
	}
}

// TestReloadAndRestart: what was refused can be mended, and what is in force stays
// so for roles that are started again, whatever is in the file meanwhile.
func TestReloadAndRestart(t *testing.T) {
	s := newSite(t)
	mails := sample()[:2]
	a := s.account("bob", mails)
	srv := s.serve("", msgConfig, msgEnded, msgUnreachable, msgFault, msgLoginFailed)
	data, err := os.ReadFile(srv.config)
	must(t, err)
	srv.reload("nonsense")
	srv.logged(msgConfig, 1)
	srv.reload(string(data) + "[pop3]\nexpire = 7\n")
	expires := func() bool { return strings.Contains(srv.capabilities(), "\nEXPIRE 7\n") }
	await(t, "the new settings", expires)
	for _, content := range []string{string(data), "nonsense", ""} {
		must(t, os.WriteFile(srv.config, []byte(content), 0o600))
		if content != string(data) {
			before := len(srv.logged(msgConfig, 1))
			must(t, srv.process.Signal(syscall.SIGHUP))
			srv.logged(msgConfig, before+1)
		}
		keeper, front := srv.kill(roleKeeper), srv.kill(roleFront)
		srv.role(roleKeeper, keeper)
		srv.role(roleFront, front)
		srv.fetchOne(a, mails[0])
		if !expires() {
			t.Errorf("with %.20q in the file, what was in force is not after a restart", content)
		}
	}
}

// capabilities are the lines of CAPA, on a new connection.
func (s *server) capabilities() string {
	s.t.Helper()
	c := s.connect()
	defer c.Close()
	c.ok(s.t, "CAPA")
	lines, err := c.message()
	must(s.t, err)
	return "\n" + strings.ReplaceAll(string(lines), "\r\n", "\n")
}

// certificate is the server's, on a new connection.
func (s *server) certificate() []byte {
	s.t.Helper()
	var leaf []byte
	c, err := tls.Dial("tcp", s.pop3s, &tls.Config{
		InsecureSkipVerify: true, // which certificate it is is what is asked
		VerifyPeerCertificate: func(chain [][]byte, _ [][]*x509.Certificate) error {
			leaf = chain[0]
			return nil
		},
	})
	must(s.t, err)
	must(s.t, c.Close())
	return leaf
}

// TestReloadWithoutKeeper: a hangup while the keeper is down reaches the next
// one, whether what is asked for can be used or not.
func TestReloadWithoutKeeper(t *testing.T) {
	s := newSite(t)
	a := s.account("bob", sample()[:1])
	srv := s.serve("", msgConfig, msgEnded, msgUnreachable)
	data, err := os.ReadFile(srv.config)
	must(t, err)
	good, bad := string(data)+"[pop3]\nexpire = 30\n", strings.Replace(string(data), s.path("users"), s.path("nobody"), 1)
	holds := func() bool { return strings.Contains(srv.capabilities(), "\nEXPIRE 30\n") }
	for i, config := range []string{bad, good} {
		must(t, os.WriteFile(srv.config, []byte(config), 0o600))
		keeper := srv.role(roleKeeper, 0)
		srv.kill(roleKeeper)
		must(t, srv.process.Signal(syscall.SIGHUP))
		srv.role(roleKeeper, keeper)
		if i == 0 {
			srv.logged(msgConfig, 1)
		} else {
			await(t, "the new settings in the front", holds)
		}
		srv.awaitTLS()
		srv.fetchOne(a, sample()[0])
		if i == 0 && holds() {
			t.Error("the new settings hold before they were asked for")
		}
	}
	if n := len(srv.logged(msgConfig, 1)); n != 1 {
		t.Errorf("%d configurations were refused, want 1", n)
	}
}
