package test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// serveWith is serve with replacements in the configuration, in pairs.
func (s *site) serveWith(replacements []string, tolerated ...string) *server {
	s.t.Helper()
	srv := s.prepare("", tolerated...)
	data, err := os.ReadFile(srv.config)
	must(s.t, err)
	must(s.t, os.WriteFile(srv.config, []byte(strings.NewReplacer(replacements...).Replace(string(data))), 0o600))
	srv.program = srv.start(exec.Command(sidepop(s.t), "serve", "--config", srv.config))
	s.t.Cleanup(srv.stop)
	srv.awaitReady()
	return srv
}

// answerOf runs a program that may fail, as nobody, and gives what it says.
func answerOf(t *testing.T, input, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	cmd := command(ctx, t, folder(t), program, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return string(out)
}

// TestProfiles: programs of others find the versions of TLS that a profile has, on
// each kind of listener, and no weak suite where there are no old devices.
func TestProfiles(t *testing.T) {
	need(t, "sslscan", "sslscan")
	need(t, "openssl", "openssl")
	for _, tt := range []struct {
		profile  string
		settings string
		versions []string // on all but those for old devices
		old      []string // on these; nil: there are none
	}{
		{"modern", "", []string{"TLSv1.3"}, nil},
		{"intermediate", "", []string{"TLSv1.2", "TLSv1.3"}, nil},
		{"intermediate", "minimum_version = \"1.3\"\n", []string{"TLSv1.3"}, nil},
		{"legacy", "", []string{"TLSv1.2", "TLSv1.3"}, []string{"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}},
		{"legacy", "minimum_version = \"1.1\"\n", []string{"TLSv1.2", "TLSv1.3"}, []string{"TLSv1.1", "TLSv1.2", "TLSv1.3"}},
	} {
		t.Run(tt.profile+" "+tt.settings, func(t *testing.T) {
			s := newSite(t)
			s.account("bob", sample()[:1])
			plainOld, tlsOld := freePorts(t)
			listen := "[listen]\n"
			if tt.old != nil {
				listen += fmt.Sprintf("pop3_legacy = [%q]\npop3s_legacy = [%q]\n", plainOld, tlsOld)
			}
			srv := s.serveWith([]string{"[listen]\n", listen, "[tls]\n", fmt.Sprintf("[tls]\nprofile = %q\n%s", tt.profile, tt.settings)},
				msgOldTLS)
			if n := len(slices.DeleteFunc(srv.entries(), func(e entry) bool { return e.Message != msgOldTLS })); (n == 2) != (tt.old != nil) || n%2 != 0 {
				t.Errorf("the log says %d times that old TLS is spoken", n)
			}
			for address, want := range map[string][]string{"pop3s " + srv.pop3s: tt.versions, "pop3 " + srv.pop3: tt.versions, "pop3s " + tlsOld: tt.old, "pop3 " + plainOld: tt.old} {
				if want == nil {
					continue
				}
				protocol, address, _ := strings.Cut(address, " ")
				checkScan(t, protocol, address, want)
			}
		})
	}
}

// oldVersions are those that openssl speaks only if it is told to.
var oldVersions = map[string]string{"TLSv1.0": "-tls1", "TLSv1.1": "-tls1_1"}

// checkScan has an address scanned, and makes handshakes with old versions.
func checkScan(t *testing.T, protocol, address string, want []string) {
	t.Helper()
	args := []string{"--no-colour", "--no-heartbleed", "--no-cipher-details", address}
	starttls := []string(nil)
	if protocol == "pop3" {
		args, starttls = append([]string{"--starttls-pop3"}, args...), []string{"-starttls", "pop3"}
	}
	out := answerOf(t, "", "sslscan", args...)
	for _, version := range []string{"SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"} {
		option, old := oldVersions[version]
		enabled := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(version) + ` +enabled$`).MatchString(out)
		if old { // of which sslscan finds none, since OpenSSL's own configuration has none
			hello := answerOf(t, "QUIT\n", "openssl", append([]string{"s_client", "-connect", address, option, "-cipher", "DEFAULT:@SECLEVEL=0"}, starttls...)...)
			enabled = strings.Contains(hello, "Cipher is ECDHE") || regexp.MustCompile(`Cipher +: ECDHE`).MatchString(hello)
		}
		if enabled != slices.Contains(want, version) {
			t.Errorf("%s %s: %s is spoken: %v\n%s", protocol, address, version, enabled, out)
		}
	}
	for _, weak := range []string{"RC4", "3DES", "DES-CBC", "NULL", "EXP", "anon", "ADH"} {
		if strings.Contains(strings.SplitAfter(out, "Supported Server Cipher(s):")[1], weak) {
			t.Errorf("%s %s: %s is among the suites\n%s", protocol, address, weak, out)
		}
	}
}

// TestWrongPort: a client that expects TLS where connections begin in plaintext, and
// one that expects plaintext where they begin with TLS, end soon, and the log says
// why.
func TestWrongPort(t *testing.T) {
	need(t, "openssl", "openssl")
	s := newSite(t)
	s.account("bob", sample()[:1])
	srv := s.serveWith(nil)
	begun := time.Now()
	if out := answerOf(t, "", "openssl", "s_client", "-connect", srv.pop3); strings.Contains(out, "BEGIN CERTIFICATE") {
		t.Errorf("a handshake on the port where connections begin in plaintext: %s", out)
	}
	c, err := dial(srv.pop3s)
	must(t, err)
	defer c.Close()
	if got, err := c.try("USER bob"); err != nil || got != "-ERR connections begin with TLS on this port" {
		t.Errorf("plaintext on the port where connections begin with TLS: %q, %v", got, err)
	}
	if took := time.Since(begun); took > patience {
		t.Errorf("it took %v", took)
	}
	var reasons []string
	await(t, "both in the log", func() bool {
		reasons = nil
		for _, e := range srv.entries() {
			if e.Message == msgClosed && e.Reason == "TLS handshake failed" {
				reasons = append(reasons, e.Error)
			}
		}
		return len(reasons) == 2
	})
	slices.Sort(reasons)
	if !strings.HasPrefix(reasons[0], "the client begins with TLS, and connections begin in plaintext here") ||
		!strings.HasPrefix(reasons[1], `the client does not speak TLS here: it sent "USER `) {
		t.Errorf("reasons: %q", reasons)
	}
}

// TestSTLS with a program of others: after it CAPA has no STLS, a second one is
// refused, and so is one after the login. Without a certificate there is none.
func TestSTLS(t *testing.T) {
	need(t, "openssl", "openssl")
	s := newSite(t)
	a := s.account("bob", sample()[:1])
	srv := s.serveWith(nil)
	out := answerOf(t, fmt.Sprintf("CAPA\nSTLS\nUSER bob\nPASS %s\nSTLS\nSTAT\nQUIT\n", a.password),
		"openssl", "s_client", "-quiet", "-crlf", "-CAfile", srv.path(caFile), "-verify_return_error", "-starttls", "pop3", "-connect", srv.pop3)
	_, dialog, _ := strings.Cut(strings.ReplaceAll(out, "\r", ""), "+OK begin TLS\n") // which -quiet leaves out
	if dialog == "" {
		dialog = strings.ReplaceAll(out, "\r", "")
	}
	for _, want := range []string{"\n-ERR TLS is active already\n", "\n-ERR command not available in this state\n", "\n+OK 1 "} {
		if !strings.Contains(dialog, want) {
			t.Errorf("%q is not in the dialog:\n%s", want, out)
		}
	}
	if capa, _, _ := strings.Cut(dialog, "\n-ERR"); strings.Contains(capa, "\nSTLS\n") {
		t.Errorf("STLS is announced inside TLS: %s", out)
	}
}

// TestResumption: sessions are resumed after the keeper was started again, over a
// change of certificates and of the configuration.
func TestResumption(t *testing.T) {
	s := newSite(t)
	a := s.account("bob", sample()[:1])
	srv := s.serveWith(nil, msgEnded, msgUnreachable)
	config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1), ServerName: "localhost"}
	resumed := func() bool {
		t.Helper()
		c, err := tls.Dial("tcp", srv.pop3s, config)
		must(t, err)
		defer c.Close()
		_, err = c.Read(make([]byte, 1)) // and the tickets
		must(t, err)
		return c.ConnectionState().DidResume
	}
	if resumed() {
		t.Error("the first session is resumed")
	}
	data, err := os.ReadFile(srv.config)
	must(t, err)
	for what, change := range map[string]func(){
		"nothing": func() {},
		"the keeper": func() {
			keeper := srv.kill(roleKeeper)
			srv.role(roleKeeper, keeper)
			srv.awaitTLS()
			srv.logIn(srv.connectTLS(), a)
		},
		"the certificate": func() {
			certificates(t, s.dir)
			srv.logged("certificate loaded", 1)
		},
		"the configuration": func() {
			srv.reload(strings.Replace(string(data), "[tls]\n", "[tls]\ncurves = [\"X25519\"]\n", 1))
			srv.logged("configuration loaded", 1)
		},
	} {
		change()
		if !resumed() {
			t.Errorf("after a change of %s a session is not resumed", what)
		}
	}
}
