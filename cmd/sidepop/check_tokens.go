package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/check"
)

// tokens is about bearer tokens: whether what they are checked with can be had.
func (c *checkup) tokens(ctx context.Context) {
	if c.accounts == nil || c.accounts.tokens == nil {
		return // not configured, or open has told
	}
	o, s := c.config.Auth.OAuth, c.Section("Tokens")
	if o.Issuer != "" {
		s.Fact("issuer", "%s, for %s", o.Issuer, cmp.Or(strings.Join(o.Audience, ", "), "anybody"))
	}
	if len(o.Audience) == 0 {
		c.Warn("Set auth.oauth_audience in "+c.file+" to what tokens for mail have as their audience; where the authorization server tells no audience, let it answer this client (auth.oauth_client_id) about tokens for mail alone.",
			"A token that any client of %s got opens mail: nothing says whom it has to be for.", o.IntrospectionURL)
	}
	if where := o.JWKSFile + o.JWKSURL; where != "" {
		keys, algorithms, err := c.accounts.tokens.Keys()
		switch {
		case err == nil:
			var names []string
			for _, a := range algorithms {
				names = append(names, string(a))
			}
			s.Fact("keys", "%s, for %s (%s)", plural(int64(keys), "key"), strings.Join(names, ", "), where)
		case o.JWKSURL != "": // of a file, fit says so
			c.unreachable(s, "keys", err)
		}
	}
	if c.accounts.tokens.Asks() {
		if err := c.accounts.tokens.Ask(ctx); err != nil {
			c.unreachable(s, "introspection", err)
		} else {
			s.Fact("introspection", "%s answers", o.IntrospectionURL)
		}
	}
}

// unreachable is something of the issuer's without which nobody's token counts.
func (c *checkup) unreachable(s *check.Section, what string, err error) {
	s.Fact(what, "not to be had")
	c.Error("See whether the address in "+c.file+" is right, and what answers there (curl). Until then clients with such tokens are told to try again later.",
		"Tokens can't be checked: %v", err)
}

// clientCertificates is about those by which clients log in.
func (c *checkup) clientCertificates() {
	byProxies := c.config.Listen.ProxyCertificates
	if c.accounts == nil || c.accounts.certificates == nil {
		return // not configured, or open has told
	}
	s := c.Section("Client certificates")
	if file := c.config.TLS.ClientCA; file != "" {
		text, err := c.accounts.certificates.Authorities()
		if err != nil {
			c.Error("See whether "+file+" is there, and readable.", "The authorities of clients' certificates can't be read: %v", err)
		}
		authorities := parseAuthorities(text)
		s.Fact("authorities", "%s in %s", plural(int64(len(authorities)), "certificate"), file)
		for _, a := range authorities {
			s.Fact("authority", "%s, valid until %s", a.Subject, a.NotAfter.Local().Format(time.DateTime))
			c.authorityEnds(a, file)
		}
	}
	if byProxies {
		s.Fact("by proxies", "what they have verified is believed (listen.proxy_certificates)")
	}
	users := "as the certificate says"
	if file := c.config.Auth.CertificateUsers; file != "" {
		users = "those of " + file
	}
	s.Fact("users", "%s", users)
}

// parseAuthorities gives the certificates of a text in PEM that can be read.
func parseAuthorities(text []byte) (all []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if a, err := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && err == nil {
			all = append(all, a)
		}
	}
	return all
}

// authorityEnds is about an authority after whose end nobody can log in by what it has
// signed.
func (c *checkup) authorityEnds(a *x509.Certificate, file string) {
	when, remedy := a.NotAfter.Local().Format(time.DateTime), "Put the authority's new certificate into "+file+", and give clients such as it has signed."
	switch left := time.Until(a.NotAfter); {
	case left < 0:
		c.Error(remedy, "The authority %s in %s ended at %s: its clients can't log in by their certificates.", a.Subject, file, when)
	case left < certs.EndsSoon:
		c.Warn(remedy, "The authority %s in %s ends at %s, %s.", a.Subject, file, when, fmt.Sprintf("within %d days", int(certs.EndsSoon.Hours()/24)))
	}
}
