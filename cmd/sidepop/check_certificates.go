package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/privilege"
)

// certificates is about the certificates that clients see.
func (c *checkup) certificates() {
	s := c.Section("Certificate")
	var leaves []*x509.Certificate
	var first string
	for i, f := range c.certificatesInUse(s) {
		if i == 0 {
			first = f.Certificate
		}
		if leaf := c.certificate(s, f); leaf != nil {
			leaves = append(leaves, leaf)
		}
	}
	switch {
	case first == "":
		c.noCertificate(s)
		return
	case len(leaves) == 0: // fit says why
	default:
		c.fitsName(first, leaves)
	}
	c.protocols(s)
}

// certificatesInUse are those of the configuration, or of those that are found the
// ones that are used. Why others are not is said.
func (c *checkup) certificatesInUse(s *check.Section) (all []certs.Found) {
	if files := c.config.TLS.Files(); files != nil {
		for _, f := range files {
			all = append(all, certs.Found{Files: f, Whose: "in " + c.file})
		}
		return all
	}
	var found []certs.Found
	privilege.WithoutOverride(func() { found = certificateSearch(c.config, c.found).Find(time.Now()) })
	for _, f := range found {
		if f.Own {
			if f.Used || c.hidden(f.Certificate) {
				all = append(all, f)
			}
			continue
		}
		use := "used"
		if !f.Used {
			use = "not used"
		}
		s.Fact("found", "%s (%s), %s: %s", f.Certificate, f.Whose, use, f.Why)
		if f.Fault != nil && !c.hidden(f.Certificate) && !c.hidden(f.Key) {
			c.Warn("Correct the files, or name those to be used in the table [tls] in "+c.file+".", "A certificate can't be used: %v", f.Fault)
		}
		if f.Used {
			all = append(all, f)
		}
	}
	return all
}

// certificate is about one certificate; nil: it can't be read.
func (c *checkup) certificate(s *check.Section, f certs.Found) *x509.Certificate {
	s.Fact("file", "%s (%s)", f.Certificate, f.Whose)
	s.Fact("key", "%s", c.keyFile(f.Key))
	if c.hidden(f.Certificate) {
		return nil
	}
	leaf, err := check.ReadCertificate(f.Certificate)
	if err != nil {
		return nil // fit says so
	}
	s.Fact("names", "%s", strings.Join(certs.Names(leaf), ", "))
	s.Fact("kind", "%s", leaf.PublicKeyAlgorithm)
	s.Fact("valid", "from %s to %s", leaf.NotBefore.Local().Format(time.DateTime), leaf.NotAfter.Local().Format(time.DateTime))
	issuer := leaf.Issuer.String()
	if certs.SelfSigned(leaf) {
		issuer = "itself: clients take it only if they are told to"
		if c.config.TLS.Files() == nil {
			c.warnOfItself(f.Certificate)
		}
	}
	s.Fact("issued by", "%s", issuer)
	c.Add(check.Dates(f.Certificate, leaf, time.Now())...)
	return leaf
}

// fitsName is about the machine's name, which one of the certificates should be for.
func (c *checkup) fitsName(first string, leaves []*x509.Certificate) {
	name := serverName(c.config, c.found)
	if name == "" || slices.ContainsFunc(leaves, func(leaf *x509.Certificate) bool { return leaf.VerifyHostname(name) == nil }) {
		return
	}
	c.Add(check.ForName(first, leaves[0], name, c.file)...)
}

// protocols is about what TLS is spoken.
func (c *checkup) protocols(s *check.Section) {
	p := c.config.TLS.Protocols()
	s.Fact("TLS", "%s (%s)", config.VersionName(p.Minimum)+" and later", c.config.TLS.Profile)
	if l := c.config.Listen; c.config.TLS.Profile == config.ProfileLegacy {
		s.Fact("for old devices", "%s and later, on %v", config.VersionName(p.Legacy), slices.Concat(l.POP3Legacy, l.POP3SLegacy))
	}
}

// noCertificate is about a server without one.
func (c *checkup) noCertificate(s *check.Section) {
	if c.config.Listen.NeedsTLS() {
		own := certificateSearch(c.config, c.found).Own
		s.Fact("file", "%s, which sidepop makes for itself at its start", own.File)
		s.Fact("names", "%s", strings.Join(own.Names, ", "))
		c.warnOfItself(own.File)
		return
	}
	s.Fact("file", "none")
	c.Warn("Set certificate and key in the table [tls] in "+c.file+".",
		"There is no certificate: users can log in from this machine alone, unless auth.plaintext lets others read their passwords.")
}

// warnOfItself is about a certificate that is signed by itself, and was not chosen.
func (c *checkup) warnOfItself(file string) {
	c.Warn("Get one that clients trust, such as with: certbot certonly --standalone -d "+certs.PublicName(machineNames(c.config, c.found))+". sidepop uses it as soon as it is there. "+
		"Or set certificate and key in the table [tls] in "+c.file+".",
		"The certificate %s is signed by itself, as no other was found: clients warn of it, or refuse it.", file)
}

// keyFile says whose a key is.
func (c *checkup) keyFile(key string) string {
	c.Add(check.Exposed(key, "The private key")...)
	if c.hidden(key) {
		return key
	}
	fi, err := os.Stat(key)
	if err != nil {
		return key
	}
	uid, gid := ownerOf(fi)
	return fmt.Sprintf("%s, of user id %d and group id %d, mode %04o", key, uid, gid, fi.Mode().Perm())
}
