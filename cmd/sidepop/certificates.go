package main

import (
	"strings"
	"time"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/mta"
)

// openCertificates has those of a configuration, or those that are found.
func (k *keeper) openCertificates(c *config.Config) (*certs.Store, error) {
	if files := c.TLS.Files(); files != nil {
		return certs.Named(files, k.events)
	}
	found := k.found // another is looked for when the configuration is read again
	find := func() []certs.Found { return certificateSearch(c, found).Find(time.Now()) }
	store := certs.Discovered(find, []string{certs.LetsEncrypt}, k.events)
	if c.Listen.NeedsTLS() && len(store.Current()) == 0 {
		store.Close()
		return nil, config.Problems{noCertificate(c)}
	}
	return store, nil
}

func noCertificate(c *config.Config) *config.Problem {
	return c.Problem("tls", "no certificate that can be used was found, which connections to listen.pop3s need, neither the MTA's nor in "+certs.LetsEncrypt).
		WithRemedy(`set certificate and key in the table [tls] of the configuration; "sidepop check" says what was found`)
}

// certificateSearch is where certificates are looked for when a configuration names
// none.
func certificateSearch(c *config.Config, found *mta.MTA) certs.Search {
	s := certs.Search{Live: certs.LetsEncrypt, Local: certs.Snakeoil, Name: serverName(c, found)}
	if found != nil {
		s.MTA = found.Name
		s.Files.Certificate, s.Files.Key = found.Certificate()
	}
	return s
}

// serverName is the name that clients know the machine by, as far as can be told:
// one with a dot, as others mean nothing outside.
func serverName(c *config.Config, found *mta.MTA) string {
	names := []string{c.Hostname}
	if c.Hostname == "" {
		names = []string{machineName()}
		if found != nil && found.Postfix != nil {
			names = append(names, found.Postfix.Parameter("myhostname"))
		}
	}
	for _, name := range names {
		if strings.Contains(name, ".") {
			return name
		}
	}
	return ""
}
