package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity is a client's certificate, in files.
type identity struct{ cert, key string }

// clientAuthority makes somebody who signs certificates of clients, with a file of
// its own, and gives what makes these.
func clientAuthority(t *testing.T, file string) (sign func(dir, address string) identity) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients of the tests"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	must(t, err)
	writePEM(t, file, "CERTIFICATE", der)
	return func(dir, address string) identity {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: address}, EmailAddresses: []string{address},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, own.Public(), key)
		must(t, err)
		keyDER, err := x509.MarshalPKCS8PrivateKey(own)
		must(t, err)
		i := identity{filepath.Join(dir, address+".cert"), filepath.Join(dir, address+".key")}
		writePEM(t, i.cert, "CERTIFICATE", der)
		writePEM(t, i.key, "PRIVATE KEY", keyDER)
		return i
	}
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// TestExternal logs in with certificates of clients, and no password: with curl,
// mpop and openssl.
func TestExternal(t *testing.T) {
	need(t, "curl", "curl")
	need(t, "mpop", "mpop")
	need(t, "openssl", "openssl")
	s := newSite(t)
	sign, forge := clientAuthority(t, s.path("clients.pem")), clientAuthority(t, s.path("others.pem"))
	a := s.account("bob@example.org", []mail{{dir: "new", name: "1.M1P1.h", kind: "short", data: []byte("Subject: x\n\ny\n")}})
	srv := s.prepare("")
	config, err := os.ReadFile(srv.config)
	must(t, err)
	config = []byte(strings.Replace(string(config), "[tls]\n", fmt.Sprintf("[tls]\nclient_ca = %q\n", s.path("clients.pem")), 1))
	must(t, os.WriteFile(srv.config, config, 0o600))
	srv.program = srv.start(exec.Command(sidepop(t), "serve", "--config", srv.config))
	t.Cleanup(srv.stop)
	srv.awaitReady()
	_, port, err := net.SplitHostPort(srv.pop3s)
	must(t, err)
	const right, wrong = "bob@example.org", "nobody@example.org"
	f := fetching{account: a, dir: folder(t), messages: 1}
	bob, nobody, forged := sign(f.dir, right), sign(f.dir, wrong), forge(folder(t), right)
	own(t, f.dir)

	t.Run("curl", func(t *testing.T) {
		config := fmt.Sprintf("url = pop3s://localhost:%s/1\nuser = \"%s:\"\ncacert = %s\ncert = %s\nkey = %s\nlogin-options = AUTH=EXTERNAL\n", port, right, srv.path(caFile), bob.cert, bob.key)
		got := run(t, f.dir, "", "curl", "--silent", "--show-error", "--disable", "--config", f.write(t, "config", config, 0o600))
		if !strings.HasPrefix(string(got), "Subject: x\r\n") || srv.lastMechanism() != "EXTERNAL" {
			t.Errorf("curl has got %q by %s", got, srv.lastMechanism())
		}
	})
	t.Run("mpop", func(t *testing.T) {
		deliver, inbox := f.deliver(t)
		run(t, f.dir, "", "mpop", "--quiet", "--file", f.write(t, "mpoprc", fmt.Sprintf(`account default
host localhost
port %s
user %s
tls on
tls_starttls off
tls_trust_file %s
tls_cert_file %s
tls_key_file %s
auth external
keep on
uidls_file %s/uidls
delivery mda %s
`, port, right, srv.path(caFile), bob.cert, bob.key, f.dir, deliver), 0o600))
		if got := numbered(t, inbox); len(got) != 1 {
			t.Errorf("mpop has got %d messages", len(got))
		}
	})
	t.Run("openssl", func(t *testing.T) {
		got := run(t, f.dir, "AUTH EXTERNAL =\nQUIT\n", "openssl", "s_client", "-quiet", "-crlf", "-ign_eof", "-connect", srv.pop3s,
			"-CAfile", srv.path(caFile), "-cert", bob.cert, "-key", bob.key)
		if !strings.Contains(string(got), "+OK 1 messages") {
			t.Errorf("openssl has got %q", got)
		}
	})
	for _, c := range []struct {
		name    string
		who     *identity
		offered bool
		answer  string
	}{
		{"right", &bob, true, "+OK 1 messages"},
		{"unknown user", &nobody, true, "-ERR [AUTH]"},
		{"another authority", &forged, false, "-ERR"},
		{"none", nil, false, "-ERR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			if c.who != nil {
				pair, err := tls.LoadX509KeyPair(c.who.cert, c.who.key)
				must(t, err)
				config.Certificates = []tls.Certificate{pair}
			}
			for _, resumed := range []bool{false, true} {
				connection, state := srv.connectWith(t, config)
				if state.DidResume != resumed {
					t.Errorf("resumed is %v", state.DidResume)
				}
				connection.ok(t, "CAPA")
				capabilities, err := connection.message()
				must(t, err)
				if offered := strings.Contains(string(capabilities), "SASL EXTERNAL "); offered != c.offered {
					t.Errorf("offered: %q", capabilities)
				}
				answer, err := connection.try("AUTH EXTERNAL =")
				if err != nil || !strings.HasPrefix(answer, c.answer) {
					t.Errorf("%q, %v\n%s", answer, err, tail([]byte(srv.readLog())))
				}
				_, _ = connection.try("QUIT")
			}
		})
	}
	// The authorities count as they are, without a reload.
	t.Run("replaced", func(t *testing.T) {
		others, err := os.ReadFile(s.path("others.pem"))
		must(t, err)
		must(t, os.WriteFile(s.path("clients.pem"), others, 0o600))
		answer := func(who *identity) string {
			pair, err := tls.LoadX509KeyPair(who.cert, who.key)
			must(t, err)
			connection, _ := srv.connectWith(t, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
			defer func() { _, _ = connection.try("QUIT") }()
			answer, err := connection.try("AUTH EXTERNAL =")
			must(t, err)
			return answer
		}
		if got := answer(&bob); !strings.HasPrefix(got, "-ERR") {
			t.Errorf("the authority before: %q", got)
		}
		await(t, "a login by the other authority", func() bool { return strings.HasPrefix(answer(&forged), "+OK 1 messages") })
	})
}
