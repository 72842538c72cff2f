// Package certs gives a TLS server its certificate: from files that are read
// again when they change, or one that it makes for itself.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// checkInterval is how long a file is taken to be unchanged. A handshake costs
// far more than the two stats, but handshakes come in thousands a second.
const checkInterval = time.Second

// warnBefore is how long before its end a certificate is complained of when it
// is loaded: half of the 30 days before which ACME clients replace one.
const warnBefore = 15 * 24 * time.Hour

// Events is told what happens to a [Pair].
type Events interface {
	Certificate(file string, notAfter time.Time) // loaded, again
	CertificateFault(err error)                  // can't be used, or not for long
}

// Pair is a certificate with its key in files. When they change they are read
// again at the next handshake; while what is there then can't be used, which is
// told once, the old pair stays.
type Pair struct {
	certificate, key string
	events           Events

	mu      sync.Mutex
	current *tls.Certificate
	read    [2]version // what current, or the last attempt to read it, is of
	checked time.Time
	warned  time.Time // when the end of the certificate was told of
}

// Load reads a certificate, its chain and its key, in PEM.
func Load(certificate, key string, events Events) (*Pair, error) {
	p := &Pair{certificate: certificate, key: key, events: events}
	p.read, p.checked = p.versions(), time.Now()
	var err error
	if p.current, err = p.load(); err != nil {
		return nil, err
	}
	p.warnOfEnd(p.checked)
	return p, nil
}

// Config is a TLS configuration with the pair: Go's defaults, with TLS 1.2 as
// the least (RFC 8996). Records are not kept small in the beginning, since mail
// is taken whole and not shown while it arrives.
func (p *Pair) Config() *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		DynamicRecordSizingDisabled: true,
		GetCertificate:              p.get,
	}
}

func (p *Pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.checked) >= checkInterval {
		p.checked = now
		p.refresh()
		p.warnOfEnd(now)
	}
	return p.current, nil
}

// refresh reads the files if they changed. Certificate and key may be replaced
// one after the other: a pair that does not match yet is a fault that the
// second change ends.
func (p *Pair) refresh() {
	now := p.versions()
	if now == p.read {
		return
	}
	p.read = now
	c, err := p.load()
	if err != nil {
		p.events.CertificateFault(fmt.Errorf("the new certificate is not used, the old one stays: %w", err))
		return
	}
	p.current, p.warned = c, time.Time{}
	p.events.Certificate(p.certificate, c.Leaf.NotAfter)
}

func (p *Pair) load() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(p.certificate, p.key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s, key %s: %w", p.certificate, p.key, err)
	}
	if c.Leaf == nil {
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", p.certificate, err)
		}
	}
	return &c, nil
}

// warnEvery is how often it is told that a certificate ends.
const warnEvery = 24 * time.Hour

// warnOfEnd tells when the certificate in use ends soon, or has.
func (p *Pair) warnOfEnd(now time.Time) {
	if p.current.Leaf.NotAfter.Sub(now) < warnBefore && now.Sub(p.warned) >= warnEvery {
		p.warned = now
		p.events.CertificateFault(fmt.Errorf("%s ends at %s: clients refuse it after that",
			p.certificate, p.current.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
}

// version tells versions of a file apart; the zero value is no file.
type version struct {
	device, inode uint64
	size          int64
	mtime, ctime  syscall.Timespec
}

// versions is what the files are now. One that may not be looked at, since it
// was read as root and the process is another user now, counts as unchanged.
func (p *Pair) versions() [2]version {
	vs := p.read
	for i, file := range [...]string{p.certificate, p.key} {
		fi, err := os.Stat(file)
		switch {
		case err == nil:
			s := fi.Sys().(*syscall.Stat_t)
			vs[i] = version{uint64(s.Dev), s.Ino, s.Size, s.Mtim, s.Ctim}
		case !errors.Is(err, fs.ErrPermission):
			vs[i] = version{}
		}
	}
	return vs
}
