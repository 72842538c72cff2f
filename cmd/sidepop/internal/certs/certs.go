// Package certs has a TLS server's certificates: from files that are read again
// when they change, found on the machine where none are named, or one that it
// makes for itself. It has the choices of what TLS is spoken, too.
//
// Invariants:
//   - A certificate is used only with its own key: what does not fit together
//     yet, or is not readable, changes nothing. What was read before stays.
//   - Files are followed through every symlink on their way, so that a change of
//     any of these is noticed as one of the file.
//   - A fault is told once for each state of the files, and only if it is there at
//     two looks: whoever replaces a certificate and its key does so in two steps.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"syscall"
	"time"
)

// EndsSoon is how long before its end a certificate is complained of: ACME clients
// replace one 30 days before, and have tried for more than a week then.
const EndsSoon = 21 * 24 * time.Hour

// maxChain is more certificates than any chain has: another file was meant, such
// as a machine's collection of authorities.
const maxChain = 10

// Events is told what happens to certificates.
type Events interface {
	// CertificateInUse: it is in use from the start on.
	CertificateInUse(file string, leaf *x509.Certificate)

	// Certificate: it was loaded while the server runs, perhaps again.
	Certificate(file string, leaf *x509.Certificate)

	// CertificateSelfSigned: nothing better was found than one that is signed by
	// itself.
	CertificateSelfSigned(file string, leaf *x509.Certificate)

	// CertificateFault: it can't be used, or not for long.
	CertificateFault(err error)
}

// Files are those of a certificate with its chain and of its key, in PEM. They
// may be one.
type Files struct{ Certificate, Key string }

// pair is a certificate with its key in files.
type pair struct {
	Files
	current *tls.Certificate
	read    [2]version // what current, or the last attempt to read it, is of
	fault   error      // of that attempt, if it is still to be told
	warned  time.Time  // when the end of the certificate was told of
}

// load reads the files of a pair for the first time.
func load(f Files) (*pair, error) {
	p := &pair{Files: f}
	p.read = p.versions()
	var err error
	p.current, err = f.load()
	return p, err
}

// refresh reads the files if they changed, and says whether there is another
// certificate in use now.
func (p *pair) refresh(now time.Time, events Events) (changed bool) {
	read := p.versions()
	if read == p.read {
		p.tell(events)
		return false
	}
	p.read = read
	var next *tls.Certificate
	if next, p.fault = p.load(); p.fault != nil {
		return false
	}
	p.current, p.warned = next, time.Time{}
	events.Certificate(p.Certificate, next.Leaf)
	p.warnOfEnd(now, events)
	return true
}

// tell tells the fault of the last attempt, once.
func (p *pair) tell(events Events) {
	if p.fault == nil {
		return
	}
	events.CertificateFault(fmt.Errorf("the new certificate is not used, the old one stays: %w", p.fault))
	p.fault = nil
}

func (f Files) load() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s, key %s: %w", f.Certificate, f.Key, err)
	}
	if len(c.Certificate) > maxChain {
		return nil, fmt.Errorf("certificate %s: %d certificates, expected that of the server and those above it, %d at most", f.Certificate, len(c.Certificate), maxChain)
	}
	if c.Leaf == nil {
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", f.Certificate, err)
		}
	}
	return &c, nil
}

// warnEvery is how often it is told that a certificate ends.
const warnEvery = 24 * time.Hour

// warnOfEnd tells when the certificate in use ends soon, or has.
func (p *pair) warnOfEnd(now time.Time, events Events) {
	if p.current.Leaf.NotAfter.Sub(now) < EndsSoon && now.Sub(p.warned) >= warnEvery {
		p.warned = now
		events.CertificateFault(fmt.Errorf("%s ends at %s: clients refuse it after that",
			p.Certificate, p.current.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
}

// version tells versions of a file apart; the zero value is no file.
type version struct {
	device, inode uint64
	size          int64
	mtime, ctime  syscall.Timespec
}

// versions is what the files are now.
func (f Files) versions() (vs [2]version) {
	for i, file := range [...]string{f.Certificate, f.Key} {
		if fi, err := os.Stat(file); err == nil {
			s := fi.Sys().(*syscall.Stat_t)
			vs[i] = version{uint64(s.Dev), s.Ino, s.Size, s.Mtim, s.Ctim}
		}
	}
	return vs
}
