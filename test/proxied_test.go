package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// proxyAddress is where a proxy connects from.
const proxyAddress = "127.0.0.8"

// TestProxies: through HAProxy clients are known by their own addresses, passwords
// cross where it has ended their TLS, and not where they have none, and whoever is
// no proxy can't say to be somebody else.
func TestProxies(t *testing.T) {
	need(t, "haproxy", "haproxy")
	s := newSite(t)
	mails := sample()[:2]
	a := s.account("bob", mails)
	srv := s.serveWith([]string{"[listen]\n", fmt.Sprintf("[listen]\nproxy_networks = [%q]\n", proxyAddress)}, msgRefused)
	ended := "ssl crt " + srv.pair()
	via := srv.haproxy(map[string]relay{
		"v1":         {"", srv.pop3 + " send-proxy"},
		"v2":         {"", srv.pop3 + " send-proxy-v2"},
		"v1-through": {"", srv.pop3s + " send-proxy"},
		"v2-through": {"", srv.pop3s + " send-proxy-v2 proxy-v2-options crc32c"},
		"v2-ended":   {ended, srv.pop3 + " send-proxy-v2-ssl proxy-v2-options ssl,ssl-cipher,authority"},
		"v2-summed":  {ended, srv.pop3 + " send-proxy-v2-ssl proxy-v2-options ssl,ssl-cipher,authority,crc32c"},
	})

	login := func(client, address string, implicit bool) (*conn, error) {
		t.Helper()
		c, err := dialFrom(client, address)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		if implicit {
			if c, err = srv.overTLS(c); err != nil {
				return nil, err
			}
		}
		if _, err := c.answer(); err != nil {
			return nil, err
		}
		if got, err := c.try("USER " + a.name); err != nil || !strings.HasPrefix(got, "+OK") {
			return nil, fmt.Errorf("USER: %q, %w", got, err)
		}
		if got, err := c.try("PASS " + a.password); err != nil || !strings.HasPrefix(got, "+OK") {
			return nil, fmt.Errorf("PASS: %q, %w", got, err)
		}
		return c, nil
	}
	for i, tt := range []struct {
		frontend string
		implicit bool // the client speaks TLS, with whomever
		refused  bool
	}{
		{"v1", false, true}, // in plaintext, from another machine as far as is known
		{"v2", false, true},
		{"v1-through", true, false},
		{"v2-through", true, false},
		{"v2-ended", true, false},
		{"v2-summed", true, false},
	} {
		client := fmt.Sprintf("127.0.1.%d", i+1)
		c, err := login(client, via[tt.frontend], tt.implicit)
		if tt.refused != (err != nil) {
			t.Errorf("%s: %v", tt.frontend, err)
		}
		if err != nil {
			continue
		}
		c.ok(t, "QUIT")
		var last entry
		for _, e := range srv.logged(msgLogin, 1) {
			last = e
		}
		if host, _, _ := net.SplitHostPort(last.Remote); host != client || !strings.HasPrefix(last.TLS, "TLS1.3 TLS_") {
			t.Errorf("%s: the log has a login from %s with %s", tt.frontend, last.Remote, last.TLS)
		}
	}

	// Somebody who is no proxy.
	c := srv.connect()
	if got, err := c.try("PROXY TCP4 192.0.2.7 192.0.2.1 4000 110"); err != nil || !strings.HasPrefix(got, "-ERR unknown command") {
		t.Errorf("a header of nobody's: %q, %v", got, err)
	}
	// A proxy without a header.
	c, err := dialFrom(proxyAddress, srv.pop3)
	must(t, err)
	defer c.Close()
	if got, err := c.try("USER " + a.name); err == nil {
		t.Errorf("a proxy without a header: %q", got)
	}
	if got := srv.logged(msgRefused, 1)[0]; !strings.HasPrefix(got.Reason, "it does not begin with a PROXY header") || !strings.HasPrefix(got.Remote, proxyAddress+":") {
		t.Errorf("refused: %+v", got)
	}
}

// pair is a file with the certificate and its key, as HAProxy wants them.
func (s *server) pair() (file string) {
	s.t.Helper()
	pem, err := os.ReadFile(s.path(certFile))
	must(s.t, err)
	key, err := os.ReadFile(s.path(keyFile))
	must(s.t, err)
	dir := folder(s.t)
	file = dir + "/pair.pem"
	must(s.t, os.WriteFile(file, append(pem, key...), 0o600))
	own(s.t, dir)
	return file
}

// relay is something that HAProxy listens on: what follows "bind" with an address,
// and "server" with a name.
type relay struct{ bind, server string }

// haproxy starts a HAProxy before the server and gives the addresses of what it
// listens on, by name.
func (s *server) haproxy(relays map[string]relay) map[string]string {
	s.t.Helper()
	dir := folder(s.t)
	frontends := make(map[string]string)
	config := "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
	for name, r := range relays {
		frontends[name], _ = freePorts(s.t)
		config += fmt.Sprintf("listen %s\n  bind %s %s\n  source %s\n  server pop %s\n", name, frontends[name], r.bind, proxyAddress, r.server)
	}
	must(s.t, os.WriteFile(dir+"/haproxy.cfg", []byte(config), 0o600))
	own(s.t, dir)

	cmd := command(s.t.Context(), s.t, dir, "haproxy", "-db", "-f", dir+"/haproxy.cfg")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	must(s.t, cmd.Start())
	s.t.Cleanup(func() {
		_ = cmd.Wait() // the test's context has ended it
		if s.t.Failed() {
			s.t.Logf("haproxy:\n%s", out.String())
		}
	})
	for name, address := range frontends {
		await(s.t, "HAProxy's "+name, func() bool {
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
	version, err := exec.Command("haproxy", "-v").Output()
	must(s.t, err)
	s.t.Logf("proxy: %s", firstLine(version))
	return frontends
}
