package main

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"time"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/pop3"
)

// settings is what the front needs of the configuration, as the keeper sends it.
type settings struct {
	Limits      pop3.Limits     `json:"limits"`
	Plaintext   bool            `json:"plaintext"`
	UTF8Headers pop3.UTF8Policy `json:"utf8_headers"`
	Hostname    string          `json:"hostname"`
	Expire      string          `json:"expire"`
	TLS         certs.Protocols `json:"tls"`
	Proxies     []netip.Prefix  `json:"proxies"`
	ProxyCNs    bool            `json:"proxy_cns"` // proxies are believed whose certificate a client has shown
	ClientCA    []byte          `json:"client_ca"` // in PEM; none: clients are not asked for certificates

	ShutdownTime time.Duration `json:"shutdown_time"`
}

func settingsOf(c *config.Config) settings {
	return settings{
		Limits:      c.Limits.Limits,
		Plaintext:   c.Auth.Plaintext,
		UTF8Headers: c.POP3.UTF8Headers,
		Hostname:    cmp.Or(c.Hostname, machineName()),
		Expire:      c.POP3.Expire,
		TLS:         c.TLS.Protocols(),
		Proxies:     c.Listen.Proxies,
		ProxyCNs:    c.Listen.ProxyCertificates,

		ShutdownTime: c.Limits.ShutdownTime,
	}
}

// machineName is the machine's own name. The APOP timestamp needs some name, and
// any will do.
func machineName() string {
	if name, err := os.Hostname(); err == nil && config.ValidHostname(name) {
		return name
	}
	return "localhost"
}

func (s settings) encode() ([]byte, error) { return json.Marshal(s) }

// decodeSettings takes what encode gives, of the same version of the program.
func decodeSettings(data []byte) (s settings, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err = d.Decode(&s)
	return s, err
}

// isProxy says whether an address is a proxy's.
func (s settings) isProxy(a netip.Addr) bool {
	return slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// of the protocol.
func (s settings) pop3() pop3.Settings {
	t := pop3.Settings{
		Limits:         s.Limits,
		AllowPlaintext: s.Plaintext,
		RelayedNames:   s.ProxyCNs,
		UTF8Headers:    s.UTF8Headers,
		Hostname:       s.Hostname,
		Expire:         s.Expire,
	}
	if s.ClientCA != nil {
		t.ClientCAs = x509.NewCertPool()
		t.ClientCAs.AppendCertsFromPEM(s.ClientCA)
	}
	return t
}
