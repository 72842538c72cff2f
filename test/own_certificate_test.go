package test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// ownName is the name of the server in the configurations of the tests.
const ownName = "mx1.example.org"

// withoutCertificates is a script that runs the command after its first argument, a
// folder, with an /etc of its own in which there is no certificate.
const withoutCertificates = `mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" &&
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc &&
rm -rf /etc/letsencrypt /etc/ssl/private/ssl-cert-snakeoil.key && shift && exec "$@"`

// TestOwnCertificate starts a server on a machine that has no certificate: it makes
// one for itself, keeps it, and gives it up for the first that comes.
func TestOwnCertificate(t *testing.T) {
	needRoot(t) // to take the machine's certificates away
	need(t, "openssl", "openssl")
	s := newSite(t)
	a := s.account("bob", sample()[:1])
	srv := s.prepare("", msgSelfSigned)
	config, err := os.ReadFile(srv.config)
	must(t, err)
	own := strings.NewReplacer(fmt.Sprintf("certificate = %q\n", s.path(certFile)), "", fmt.Sprintf("key         = %q\n", s.path(keyFile)), "")
	must(t, os.WriteFile(srv.config, []byte(own.Replace(string(config))), 0o600))
	start := func() {
		t.Helper()
		must(t, os.MkdirAll(s.path("etc"), 0o700))
		srv.program = srv.start(exec.Command("unshare", "--mount", "sh", "-c", withoutCertificates, "sh", s.path("etc"), sidepop(t), "serve", "--config", srv.config))
		srv.awaitReady()
	}
	start()
	file := s.path("state/certificate.pem")
	made, err := os.ReadFile(file)
	must(t, err)
	if fi, err := os.Stat(file); err != nil || fi.Mode() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	inUse, warned := srv.logged("certificate in use", 1)[0], srv.logged(msgSelfSigned, 1)[0]
	if inUse.Path != file || !strings.HasPrefix(inUse.Names, ownName) || warned.Path != file ||
		!strings.Contains(warned.Reason, "certbot certonly --standalone -d "+ownName) || !strings.Contains(warned.Reason, "tls.certificate") {
		t.Errorf("the log has %+v and %+v", inUse, warned)
	}

	// Clients that are told to trust it do, and others don't.
	trust := x509.NewCertPool()
	if !trust.AppendCertsFromPEM(made) {
		t.Fatal("no certificate in the file")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, _ := srv.connectWith(t, &tls.Config{RootCAs: trust, ServerName: ownName, MinVersion: version, MaxVersion: version})
		for _, command := range []string{"USER " + a.name, "PASS " + a.password, "QUIT"} {
			c.ok(t, command)
		}
	}
	if c, err := tls.Dial("tcp", srv.pop3s, &tls.Config{ServerName: ownName}); err == nil {
		_ = c.Close()
		t.Error("a client that was not told trusts it")
	}
	public := s.path("public.pem")
	must(t, os.WriteFile(public, made[bytes.Index(made, []byte("-----BEGIN CERTIFICATE")):], 0o644))
	if got := answerOf(t, "QUIT\n", "openssl", "s_client", "-quiet", "-crlf", "-ign_eof", "-verify_return_error", "-verify_hostname", ownName,
		"-starttls", "pop3", "-connect", srv.pop3, "-CAfile", public); !strings.Contains(got, "+OK goodbye") {
		t.Errorf("openssl has got %q", got)
	}

	// Another start has the same one.
	srv.stop()
	start()
	t.Cleanup(func() { srv.stop() })
	if again := srv.certificate(); !bytes.Equal(again, certificateIn(t, made)) {
		t.Error("after another start it is another one")
	}
	// The first of certbot's takes its place.
	bot := &certbot{t: t, dir: fmt.Sprintf("/proc/%d/root/etc/letsencrypt", srv.process.Pid)}
	bot.renew()
	if loaded := srv.logged("certificate loaded", 1)[0]; !strings.HasPrefix(loaded.Names, "localhost") || !strings.HasPrefix(loaded.Path, "/etc/letsencrypt/live/") {
		t.Errorf("the log has %+v", loaded)
	}
	await(t, "the other certificate", func() bool { return !bytes.Equal(srv.certificate(), certificateIn(t, made)) })
}

// certificateIn is the certificate, in DER, of a file that has its key too.
func certificateIn(t *testing.T, content []byte) []byte {
	t.Helper()
	pair, err := tls.X509KeyPair(content, content)
	must(t, err)
	return pair.Certificate[0]
}
