package certs

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// LetsEncrypt is where certbot has a folder for each certificate, with symlinks to
// the newest files (certbot(1), "Where are my certificates?"). Other ACME clients
// imitate it.
const LetsEncrypt = "/etc/letsencrypt/live"

// Snakeoil is what Debian's package ssl-cert makes for a machine: signed by itself,
// it encrypts and proves nothing.
var Snakeoil = Files{"/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key"}

// MaxFound is how many certificates of [Search.Live] are looked at: a server's own
// names, not those of everybody it hosts, whose keys need not all be in memory.
const MaxFound = 100

// Search is where to look for certificates when none are named.
type Search struct {
	MTA   string // the mail server's name
	Files Files  // those that it shows to its clients; empty: none
	Live  string // a folder as LetsEncrypt
	Local Files  // a last resort, as Snakeoil
	Name  string // the machine's, for which a certificate is preferred; empty: unknown
	Own   Own    // what is used where there is nothing else; without a file, nothing
}

// Found is a certificate that was found.
type Found struct {
	Files
	Whose string            // a few words for a person
	Own   bool              // it is that of [Search].Own
	Leaf  *x509.Certificate // nil with a fault
	Fault error             // why it can't be used
	Used  bool
	Why   string // it is used or not, in a few words for a person

	pair *pair
}

// Find gives what there is, in the order of preference:
//
//   - the mail server's, which the operator has chosen for mail;
//   - those of the live folder: that for the machine's name, then the others by
//     their folder's name;
//   - the local one.
//
// Of these are used all that clients can trust, the first for those that name no
// server. Without such it is one that has ended, of which clients complain for its
// date alone, or else one that is signed by itself. Where none is used, the last is
// the server's own, with a fault if it is not there yet or has to be made anew.
func (s Search) Find(now time.Time) []Found { return s.find(now, s.Own.find) }

// FindOrMake is Find, and makes the server's own certificate if that is to be used.
func (s Search) FindOrMake(now time.Time) []Found { return s.find(now, s.Own.ready) }

func (s Search) find(now time.Time, own func(time.Time) Found) []Found {
	var all []Found
	add := func(f Files, whose string) {
		p, err := load(f)
		one := Found{Files: f, Whose: whose, Fault: err, pair: p}
		if err == nil {
			one.Leaf = p.current.Leaf
		}
		all = append(all, one)
	}
	if s.Files.Certificate != "" {
		add(s.Files, "that of "+s.MTA)
	}
	for _, f := range s.live() {
		if f != s.Files {
			add(f, "found in "+s.Live)
		}
	}
	s.prefer(all)
	if vs := s.Local.versions(); s.Local != s.Files && vs[0] != (version{}) && vs[1] != (version{}) {
		add(s.Local, "this machine's own")
	}
	choose(all, now)
	if s.Own.File != "" && !slices.ContainsFunc(all, func(f Found) bool { return f.Used }) {
		f := own(now)
		f.Used, f.Why = f.Fault == nil, "there is no other that can be used"
		all = append(all, f)
	}
	return all
}

// live is the pairs of the live folder.
func (s Search) live() (all []Files) {
	certificates, _ := filepath.Glob(filepath.Join(s.Live, "*", "fullchain.pem")) // fails for a bad pattern alone
	for _, file := range certificates[:min(len(certificates), MaxFound)] {
		all = append(all, Files{file, filepath.Join(filepath.Dir(file), "privkey.pem")})
	}
	return all
}

// prefer sorts those that are for the machine's name before others; the mail
// server's is the first in any case.
func (s Search) prefer(all []Found) {
	rank := func(f Found) int {
		switch {
		case f.Files == s.Files:
			return 0
		case f.Leaf != nil && s.Name != "" && f.Leaf.VerifyHostname(s.Name) == nil:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b Found) int { return cmp.Compare(rank(a), rank(b)) })
}

// choose decides which are used.
func choose(all []Found, now time.Time) {
	trusted, ended, local := -1, -1, -1 // the first of each
	first := func(at *int, i int) {
		if *at < 0 {
			*at = i
		}
	}
	for i := range all {
		f := &all[i]
		switch {
		case f.Fault != nil:
			f.Why = "it can't be used"
		case slices.ContainsFunc(all[:i], f.same):
			f.Why = "it is there already"
		case SelfSigned(f.Leaf):
			f.Why = "it is signed by itself"
			if now.Before(f.Leaf.NotAfter) {
				first(&local, i)
			}
		case now.After(f.Leaf.NotAfter):
			f.Why = "it has ended"
			first(&ended, i)
		default:
			f.Used, f.Why = true, "for clients that ask for its names"
			first(&trusted, i)
		}
	}
	switch {
	case trusted >= 0:
		all[trusted].Why = "the first that clients can trust"
	case ended >= 0:
		all[ended].Used, all[ended].Why = true, "it has ended, and there is no other that clients can trust"
	case local >= 0:
		all[local].Used, all[local].Why = true, "it is signed by itself, and there is no other that clients can trust"
	}
}

// same says whether another has the same certificate.
func (f Found) same(other Found) bool {
	return other.Leaf != nil && bytes.Equal(f.Leaf.Raw, other.Leaf.Raw)
}

// Names are those that a certificate is for.
func Names(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// PublicName is the first of a machine's names for which others can sign a certificate:
// one with a dot. Without such it is an example.
func PublicName(names []string) string {
	for _, name := range names {
		if strings.Contains(name, ".") {
			return name
		}
	}
	return "mx.example.org"
}

// SelfSigned says that nobody but its owner vouches for a certificate.
func SelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
