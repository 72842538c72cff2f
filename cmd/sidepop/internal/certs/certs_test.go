package certs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// told counts what a Pair tells.
type told struct{ loaded, faults int }

func (t *told) Certificate(string, time.Time) { t.loaded++ }
func (t *told) CertificateFault(error)        { t.faults++ }

// TestPair follows the files of a pair through a replacement.
func TestPair(t *testing.T) {
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	write := func() {
		t.Helper()
		if err := WriteLocal(certificate, key); err != nil {
			t.Fatal(err)
		}
	}
	write()
	var events told
	p, err := Load(certificate, key, &events)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		t.Helper()
		p.Refresh()
		return p.Current().Leaf.SerialNumber.String()
	}
	first := serial()
	if again := serial(); again != first || events != (told{}) {
		t.Errorf("unchanged: serial %s then %s, told %+v", first, again, events)
	}

	if err := os.WriteFile(certificate, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, b := serial(), serial(); a != first || b != first || events != (told{faults: 1}) {
		t.Errorf("damaged: the old pair must stay and one fault be told, told %+v", events)
	}
	if err := os.Remove(certificate); err != nil {
		t.Fatal(err)
	}
	if a, b := serial(), serial(); a != first || b != first || events != (told{faults: 2}) {
		t.Errorf("removed: the old pair must stay, told %+v", events)
	}
	write()
	if serial() == first || events != (told{loaded: 1, faults: 2}) {
		t.Errorf("replaced: the new pair must be used, told %+v", events)
	}
	if p.Refresh() {
		t.Error("unchanged files are a change")
	}
}

func TestLoadFails(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"1", "2"} {
		if err := WriteLocal(filepath.Join(dir, "cert"+n), filepath.Join(dir, "key"+n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range [][2]string{{"cert1", "key2"}, {"none", "key1"}, {"key1", "cert1"}} {
		if _, err := Load(filepath.Join(dir, pair[0]), filepath.Join(dir, pair[1]), new(told)); err == nil {
			t.Errorf("%v is taken", pair)
		}
	}
}

// TestLocal makes a handshake with each of the names of a local certificate.
func TestLocal(t *testing.T) {
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	if err := WriteLocal(certificate, key); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{certificate, key} {
		if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, fi.Mode(), err)
		}
	}
	p, err := Load(certificate, key, new(told))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.current.Leaf)
	current := p.Current()
	l, err := tls.Listen("tcp", "127.0.0.1:0", ServerConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &current, nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	for name, version := range map[string]uint16{
		"localhost": tls.VersionTLS13, "127.0.0.1": tls.VersionTLS12, "::1": tls.VersionTLS13,
		"example.org": 0, "old": tls.VersionTLS11,
	} {
		c := &tls.Config{RootCAs: roots, ServerName: name, MaxVersion: version}
		if name == "old" {
			c.ServerName, c.MinVersion = "localhost", version
		}
		conn, err := tls.Dial("tcp", l.Addr().String(), c)
		if err == nil {
			_ = conn.Close()
		}
		if wrong := name == "example.org" || name == "old"; wrong != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
