package mta

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// failureDelay is the least time that a refused login takes, if nothing is said.
const failureDelay = 3 * time.Second

// TestPostfixUnconfigured and TestEximUnconfigured have no configuration of sidepop:
// it serves the system's users with the mail server's certificate.
func TestPostfixUnconfigured(t *testing.T) {
	need(t, "postfix")
	install(t)
	startPostfix(t, "home_mailbox=Maildir/", "smtpd_tls_cert_file="+certFile, "smtpd_tls_key_file="+keyFile)
	testUnconfigured(t)
}

func TestEximUnconfigured(t *testing.T) {
	need(t, "exim")
	install(t)
	for from, to := range map[string]string{certFile: "/etc/exim4/exim.crt", keyFile: "/etc/exim4/exim.key"} {
		run(t, "", "install", "-m", "640", "-g", "Debian-exim", from, to)
	}
	write(t, "/etc/exim4/exim4.conf.localmacros", "MAIN_TLS_ENABLE = yes\n", 0o644)
	startExim(t, "dc_localdelivery=maildir_home")
	testUnconfigured(t)
}

// TestEximWithoutCertificate is Debian's exim4 as it comes, without TLS: sidepop makes
// a certificate for itself, which has the name that clients connect to.
func TestEximWithoutCertificate(t *testing.T) {
	need(t, "exim")
	addService(t, "sidepop")
	startExim(t, "dc_localdelivery=maildir_home")
	startSidepop(t, "self-signed certificate")
	var own []byte
	await(t, "sidepop has a certificate", func() (there bool) {
		var err error
		own, err = os.ReadFile("/var/lib/sidepop/certificate.pem")
		return err == nil
	})
	must(t, os.MkdirAll(configDir, 0o755))
	write(t, caFile, string(own), 0o600) // what clients are told to trust
	alice := addPerson(t, "alice")
	maildir := filepath.Join(alice.home, "Maildir")
	awaitStored(t, maildir, sendmail(t, alice.name))
	expectUIDLs(t, alice.name, alice.password, stored(t, maildir))
}

func testUnconfigured(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(configFile); !os.IsNotExist(err) {
		t.Fatalf("%s: %v, want none", configFile, err)
	}
	startSidepop(t)
	alice := addPerson(t, "alice") // later than sidepop's start
	maildir := filepath.Join(alice.home, "Maildir")
	letters := []letter{sendmail(t, alice.name), sendSMTP(t, alice.name+"@"+hostname)}
	expectMail(t, alice.name, alice.password, maildir, letters...)
	expectUIDLs(t, alice.name+"@"+hostname, alice.password, stored(t, maildir))
	for _, login := range []string{alice.name, "nobody-of-that-name", "root"} {
		begin := time.Now()
		expectStatus(t, statusAuth, login, "not "+alice.password)
		if took := time.Since(begin); took < failureDelay {
			t.Errorf("the refusal of %s took %v, want at least %v", login, took, failureDelay)
		}
	}
}
