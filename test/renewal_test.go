package test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"sidepop/test/internal/pki"
)

// certbot is a folder as certbot keeps it: archive with each version of the files,
// and live with a symlink to the newest of each.
type certbot struct {
	t       *testing.T
	dir     string
	version int
}

// renew replaces key and certificate as certbot does: new files first, then each
// symlink removed and made anew.
func (c *certbot) renew() {
	c.t.Helper()
	c.version++
	archive, live := filepath.Join(c.dir, "archive/localhost"), filepath.Join(c.dir, "live/localhost")
	made := filepath.Join(c.dir, "made")
	for _, dir := range []string{archive, live, made} {
		must(c.t, os.MkdirAll(dir, 0o700))
	}
	must(c.t, pki.Write(made, nil, "localhost"))
	names := map[string]string{"fullchain": pki.CertFile, "privkey": pki.KeyFile}
	for kind, file := range names {
		must(c.t, os.Rename(filepath.Join(made, file), filepath.Join(archive, fmt.Sprintf("%s%d.pem", kind, c.version))))
	}
	for kind := range names {
		link := filepath.Join(live, kind+".pem")
		if c.version > 1 {
			must(c.t, os.Remove(link))
		}
		must(c.t, os.Symlink(fmt.Sprintf("../../archive/localhost/%s%d.pem", kind, c.version), link))
	}
}

// TestRenewal replaces the certificate again and again, as certbot does, while
// clients log in: each is taken into use, and no handshake and no login fails.
func TestRenewal(t *testing.T) {
	const renewals, clients = 50, 4
	s := newSite(t)
	mails := sample()[:2]
	a := s.account("bob", mails)
	bot := &certbot{t: t, dir: s.path("letsencrypt")}
	bot.renew()
	srv := s.serveWith([]string{
		s.path(certFile), filepath.Join(bot.dir, "live/localhost/fullchain.pem"),
		s.path(keyFile), filepath.Join(bot.dir, "live/localhost/privkey.pem"),
	})

	var running sync.WaitGroup
	var logins, resumed atomic.Int64
	stop := make(chan struct{})
	for i := range clients {
		config := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12 + uint16(i%2), ServerName: "localhost"}
		if i >= clients/2 {
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := oneLogin(srv, a, config, &resumed); err != nil {
					t.Errorf("after %d logins: %v", logins.Load(), err)
					return
				}
				logins.Add(1)
			}
		})
	}
	for i := range renewals {
		before, certificate := logins.Load(), srv.certificate()
		bot.renew()
		srv.logged("certificate loaded", i+1)
		await(t, "the new certificate", func() bool { return string(srv.certificate()) != string(certificate) })
		await(t, "logins with it", func() bool { return logins.Load() >= before+clients || t.Failed() })
	}
	close(stop)
	running.Wait()
	newest, err := tls.LoadX509KeyPair(filepath.Join(bot.dir, "live/localhost/fullchain.pem"), filepath.Join(bot.dir, "live/localhost/privkey.pem"))
	must(t, err)
	if got := srv.certificate(); string(got) != string(newest.Certificate[0]) {
		t.Error("the certificate is not the newest")
	}
	if resumed.Load() == 0 || resumed.Load() >= logins.Load() {
		t.Errorf("%d of %d sessions were resumed", resumed.Load(), logins.Load())
	}
	t.Logf("%d renewals, %d logins, of which %d resumed a session", renewals, logins.Load(), resumed.Load())
}

// oneLogin is a whole session over TLS, which fetches nothing.
func oneLogin(srv *server, a account, config *tls.Config, resumed *atomic.Int64) error {
	over, err := tls.Dial("tcp", srv.pop3s, config)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	defer over.Close()
	c := newConn(over)
	if _, err := c.answer(); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if over.ConnectionState().DidResume {
		resumed.Add(1)
	}
	for _, command := range []string{"USER " + a.name, "PASS " + a.password, "STAT", "QUIT"} {
		if got, err := c.try(command); err != nil || got[0] != '+' {
			return fmt.Errorf("%.4s: %q, %w", command, got, err)
		}
	}
	return nil
}

// TestCertificatesByName: each client gets the certificate of the name that it asks
// for, of a kind that it knows.
func TestCertificatesByName(t *testing.T) {
	s := newSite(t)
	s.account("bob", sample()[:1])
	list := ""
	for _, c := range []struct {
		dir  string
		name string
		rsa  bool
	}{{"rsa", "localhost", true}, {"other", "pop.example.org", false}} {
		must(t, os.Mkdir(s.path(c.dir), 0o700))
		must(t, pki.Write(s.path(c.dir), pki.NewKey(c.rsa), c.name))
		list += fmt.Sprintf("{ certificate = %q, key = %q },", s.path(c.dir+"/"+certFile), s.path(c.dir+"/"+keyFile))
	}
	srv := s.serveWith([]string{"[tls]\n", "[tls]\ncertificates = [" + list + "]\n"})
	for _, tt := range []struct {
		name string
		rsa  bool // the client knows nothing else
		want string
		kind x509.PublicKeyAlgorithm
	}{
		{"localhost", false, "localhost", x509.ECDSA},
		{"localhost", true, "localhost", x509.RSA},
		{"pop.example.org", false, "pop.example.org", x509.ECDSA},
		{"nobody.example.org", false, "localhost", x509.ECDSA},
		{"nobody.example.org", true, "localhost", x509.RSA},
		{"", true, "localhost", x509.RSA},
	} {
		config := &tls.Config{InsecureSkipVerify: true, ServerName: tt.name}
		if tt.rsa {
			config.MaxVersion, config.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}
		c, err := tls.Dial("tcp", srv.pop3s, config)
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		leaf := c.ConnectionState().PeerCertificates[0]
		must(t, c.Close())
		if leaf.DNSNames[0] != tt.want || leaf.PublicKeyAlgorithm != tt.kind {
			t.Errorf("%+v: a certificate with %v for %v", tt, leaf.PublicKeyAlgorithm, leaf.DNSNames)
		}
	}
}
