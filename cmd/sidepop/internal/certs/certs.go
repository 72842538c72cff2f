// Package certs has a TLS server's certificate: from files that are read again
// when they change, or one that it makes for itself.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// CheckInterval is how often files are looked at: ACME clients give a new
// certificate weeks before the old one ends, but people who replace one by hand
// look at once.
const CheckInterval = time.Second

// warnBefore is how long before its end a certificate is complained of when it
// is loaded: half of the 30 days before which ACME clients replace one.
const warnBefore = 15 * 24 * time.Hour

// maxChain is more certificates than any chain has: another file was meant, such
// as a machine's collection of authorities.
const maxChain = 10

// Events is told what happens to a [Pair].
type Events interface {
	Certificate(file string, notAfter time.Time) // loaded, again
	CertificateFault(err error)                  // can't be used, or not for long
}

// Pair is a certificate with its key in files. While what is there can't be
// used, which is told once, the pair that was read before stays.
type Pair struct {
	certificate, key string
	events           Events

	mu      sync.Mutex
	current *tls.Certificate
	read    [2]version // what current, or the last attempt to read it, is of
	warned  time.Time  // when the end of the certificate was told of
}

// Load reads a certificate, its chain and its key, in PEM.
func Load(certificate, key string, events Events) (*Pair, error) {
	p := &Pair{certificate: certificate, key: key, events: events}
	p.read = p.versions()
	var err error
	if p.current, err = p.load(); err != nil {
		return nil, err
	}
	p.warnOfEnd(time.Now())
	return p, nil
}

// ServerConfig is a TLS configuration: Go's defaults, with TLS 1.2 as the least
// (RFC 8996). Records are not kept small in the beginning, since mail is taken
// whole and not shown while it arrives.
func ServerConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		DynamicRecordSizingDisabled: true,
		GetCertificate:              certificate,
	}
}

// Current is the pair in use.
func (p *Pair) Current() tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.current
}

// Refresh reads the files if they changed, and says whether there is another
// certificate in use now. Certificate and key may be replaced one after the
// other: a pair that does not match yet is a fault that the second change ends.
func (p *Pair) Refresh() (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warnOfEnd(time.Now())
	now := p.versions()
	if now == p.read {
		return false
	}
	p.read = now
	c, err := p.load()
	if err != nil {
		p.events.CertificateFault(fmt.Errorf("the new certificate is not used, the old one stays: %w", err))
		return false
	}
	p.current, p.warned = c, time.Time{}
	p.events.Certificate(p.certificate, c.Leaf.NotAfter)
	return true
}

func (p *Pair) load() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(p.certificate, p.key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s, key %s: %w", p.certificate, p.key, err)
	}
	if len(c.Certificate) > maxChain {
		return nil, fmt.Errorf("certificate %s: %d certificates, expected that of the server and those above it, %d at most", p.certificate, len(c.Certificate), maxChain)
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

// versions is what the files are now.
func (p *Pair) versions() (vs [2]version) {
	for i, file := range [...]string{p.certificate, p.key} {
		if fi, err := os.Stat(file); err == nil {
			s := fi.Sys().(*syscall.Stat_t)
			vs[i] = version{uint64(s.Dev), s.Ino, s.Size, s.Mtim, s.Ctim}
		}
	}
	return vs
}
