package main

import (
	"os"
	"path/filepath"
	"slices"
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
	find := func() []certs.Found { return certificateSearch(c, found).FindOrMake(time.Now()) }
	store := certs.Discovered(find, []string{certs.LetsEncrypt}, k.events)
	if c.Listen.NeedsTLS() && len(store.Current()) == 0 { // the reason has been told
		store.Close()
		return nil, config.Problems{noCertificate(c)}
	}
	return store, nil
}

// noCertificate: not even one of sidepop's own could be made.
func noCertificate(c *config.Config) *config.Problem {
	return c.Problem("tls", "there is no certificate that can be used, which connections to listen.pop3s need, and none could be made in "+c.Index.StateDir).
		WithRemedy("make room there, or set certificate and key in the table [tls] of the configuration")
}

// certificateSearch is where certificates are looked for when a configuration names
// none.
func certificateSearch(c *config.Config, found *mta.MTA) certs.Search {
	s := certs.Search{Live: certs.LetsEncrypt, Local: certs.Snakeoil, Name: serverName(c, found)}
	if found != nil {
		s.MTA = found.Name
		s.Files.Certificate, s.Files.Key = found.Certificate()
	}
	if c.Listen.NeedsTLS() {
		s.Own = certs.Own{File: filepath.Join(c.Index.StateDir, ownCertificate), Names: machineNames(c, found)}
	}
	return s
}

// ownCertificate is where in the state folder the certificate is that sidepop makes
// for itself when there is no other.
const ownCertificate = "certificate.pem"

// Files that name a machine: hosts(5), and what Debian calls its mail name
// (Debian Policy, section 11.6).
const (
	hostsFile    = "/etc/hosts"
	mailnameFile = "/etc/mailname"
)

// machineNames are those that clients may know the machine by, the likeliest first:
// that of the configuration, the machine's whole one, and those of its mail. Nobody on
// the network is asked.
func machineNames(c *config.Config, found *mta.MTA) (names []string) {
	short := machineName()
	hosts, _ := os.ReadFile(hostsFile) // either may be missing
	mail, _ := os.ReadFile(mailnameFile)
	all := []string{serverName(c, found), wholeName(string(hosts), short), short, string(mail)}
	if found != nil && found.Postfix != nil {
		all = append(all, found.Postfix.Parameter("myhostname"))
	}
	for _, name := range all {
		name = strings.ToLower(strings.TrimSpace(name))
		if config.ValidHostname(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// wholeName is the first name of the line of hosts(5) that has a name; "" without one.
func wholeName(hosts, name string) string {
	for line := range strings.Lines(hosts) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 1 && slices.Contains(fields[1:], name) {
			return fields[1]
		}
	}
	return ""
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
