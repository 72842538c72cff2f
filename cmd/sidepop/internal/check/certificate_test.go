package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sidepop/cmd/sidepop/internal/certs"
)

// writeCertificate writes one for names that is valid for some days, and gives
// what it holds.
func writeCertificate(t *testing.T, file string, from, to time.Time, names ...string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: from, NotAfter: to, DNSNames: names, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := append([]byte("A comment\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := ReadCertificate(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDates(t *testing.T) {
	const day = 24 * time.Hour
	file := filepath.Join(t.TempDir(), "cert.pem")
	now := time.Now()
	for _, c := range []struct {
		from, to time.Duration
		severity Severity
		text     string
	}{
		{-day, 60 * day, "", ""},
		{-day, certs.EndsSoon + time.Minute, "", ""},
		{-day, certs.EndsSoon - time.Minute, Warning, "within 21 days"},
		{-2 * day, -day, Error, "ended at"},
		{day, 60 * day, Error, "begins only at"},
	} {
		problems := Dates(file, writeCertificate(t, file, now.Add(c.from), now.Add(c.to)), now)
		switch {
		case c.severity == "" && len(problems) > 0:
			t.Errorf("%v to %v: %+v", c.from, c.to, problems)
		case c.severity == "":
		case len(problems) != 1 || problems[0].Severity != c.severity || !strings.Contains(problems[0].Text, c.text) || problems[0].Remedy == "":
			t.Errorf("%v to %v: %+v, want %s with %q", c.from, c.to, problems, c.severity, c.text)
		}
	}
}

func TestCertificate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cert.pem")
	c := writeCertificate(t, file, time.Now(), time.Now().Add(time.Hour), "mx.example.org", "*.pop.example.org")
	if names := certs.Names(c); !slices.Equal(names, []string{"mx.example.org", "*.pop.example.org", "192.0.2.1"}) {
		t.Errorf("names: %q", names)
	}
	if !certs.SelfSigned(c) {
		t.Error("it is signed by itself")
	}
	for name, right := range map[string]bool{"mx.example.org": true, "a.pop.example.org": true, "pop.example.org": false, "test": false} {
		if problems := ForName(file, c, name, "sidepop.toml"); right != (len(problems) == 0) {
			t.Errorf("%s: %+v", name, problems)
		}
	}
	for _, content := range []string{"", "rubbish", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCertificate(file); err == nil {
			t.Errorf("%q is a certificate", content)
		}
	}
	if _, err := ReadCertificate(file + "x"); err == nil {
		t.Error("a file that is not there is a certificate")
	}
}

// TestReport has the worst first, each once, and statuses.
func TestReport(t *testing.T) {
	r := NewReport()
	if r.Status() != StatusOrder {
		t.Errorf("nothing: %d", r.Status())
	}
	r.Warn("do", "first %d", 1)
	if r.Status() != StatusWarning {
		t.Errorf("a warning: %d", r.Status())
	}
	r.Error("", "second")
	r.Warn("do", "first %d", 1)
	r.Warn("", "third")
	r.Error("", "fourth")
	var texts []string
	for _, p := range r.Problems {
		texts = append(texts, p.Text)
	}
	if want := []string{"second", "fourth", "first 1", "third"}; !slices.Equal(texts, want) || r.Status() != StatusError {
		t.Errorf("%q, want %q; status %d", texts, want, r.Status())
	}
}
