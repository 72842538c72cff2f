package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

const (
	// ownLife is the longest that Apple's clients take for a server's certificate,
	// whoever has signed it (support.apple.com/103769, "TLS server certificates ...
	// 825 days or fewer"). Shorter would only ask people more often, who have told
	// their clients to trust it.
	ownLife = 825 * 24 * time.Hour

	// ownRenewal is how long before its end it is replaced: before it would be
	// complained of.
	ownRenewal = EndsSoon + 9*24*time.Hour

	// ownMode is for files with a key in them.
	ownMode = 0o600

	// maxCommonName is the bound of RFC 5280, appendix A.1 (ub-common-name).
	maxCommonName = 64
)

// Own is a certificate that a server makes for itself when there is no other, signed
// by itself: it encrypts, and proves nothing to a client that was not told to trust
// it. It is kept until it ends soon or lacks a name, so that those clients that were
// told stay content.
type Own struct {
	File  string   // certificate and key, in PEM, in a folder that nobody else can change
	Names []string // those of the machine, the most important first: one at least
}

// files is where it is: a key and its certificate in one file are replaced at once.
func (o Own) files() Files { return Files{o.File, o.File} }

// find is the certificate that is there, if it is of use.
func (o Own) find(now time.Time) Found {
	f := Found{Files: o.files(), Whose: "sidepop's own", Own: true}
	if f.pair, f.Fault = load(f.Files); f.Fault == nil {
		f.Leaf = f.pair.current.Leaf
		f.Fault = o.unfit(f.Leaf, now)
	}
	return f
}

// errUnfit is a certificate of the server's own that has to be replaced.
var errUnfit = errors.New("is to be made anew")

func (o Own) unfit(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w: it begins at %s, the clock was wrong then or is now", errUnfit, leaf.NotBefore.UTC().Format(time.RFC3339))
	case leaf.NotAfter.Sub(now) < ownRenewal:
		return fmt.Errorf("%w: it ends at %s", errUnfit, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	for _, name := range o.Names {
		if !slices.Contains(leaf.DNSNames, name) {
			return fmt.Errorf("%w: it is not for %s", errUnfit, name)
		}
	}
	return nil
}

// ready is find, with a new certificate where there is none of use. One that is
// unfit stays in use where no other can be written.
func (o Own) ready(now time.Time) Found {
	f := o.find(now)
	if f.Fault == nil {
		return f
	}
	err := o.write()
	if err == nil {
		return o.find(now)
	}
	if f.Leaf == nil || now.After(f.Leaf.NotAfter) {
		f.Fault = fmt.Errorf("%s can't be made: %w", o.File, err)
		return f
	}
	f.Fault = nil
	return f
}

// write makes a certificate. After a crash there is the old file or the new one.
func (o Own) write() error {
	template := &x509.Certificate{DNSNames: o.Names, Subject: pkix.Name{Organization: []string{"sidepop"}}}
	if len(o.Names[0]) <= maxCommonName {
		template.Subject.CommonName = o.Names[0]
	}
	certificate, key, err := signItself(template, ownLife)
	if err != nil {
		return err
	}
	next := o.File + ".new" // a crash may have left one
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, ownMode)
	if err != nil {
		return err
	}
	_, err = f.Write(append(key, certificate...))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(next, o.File)
}
