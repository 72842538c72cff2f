package certs

import (
	"crypto/tls"
	"net"
	"sync/atomic"
)

// Protocols is what TLS a server speaks.
type Protocols struct {
	Minimum uint16        // the least version, such as tls.VersionTLS12
	Legacy  uint16        // that on listeners for old devices
	Curves  []tls.CurveID // for the exchange of keys; nil: Go's own choice

	// AskClients has clients asked for their certificates. One that can't be verified
	// is as good as none: it does not end the handshake.
	AskClients bool
}

// Server is a TLS configuration in which everything but the keys of its sessions can
// be changed while it is used. Those are changed once a day, and kept for a week,
// by Go. They are in no file and go to no other process: a session is resumed
// across a change of the configuration or of certificates, not across a restart.
type Server struct {
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	legacy      func(net.Conn) bool
	shared      tls.Config // has the keys of sessions
	current     atomic.Pointer[configs]
}

// configs are those for ordinary connections, and for those of old devices.
type configs struct{ ordinary, legacy *tls.Config }

// NewServer makes one that takes certificates as GetCertificate of [tls.Config]
// does, for connections of which legacy says whether they are from old devices.
func NewServer(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), legacy func(net.Conn) bool) *Server {
	s := &Server{certificate: certificate, legacy: legacy}
	s.shared.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		now := s.current.Load()
		if s.legacy(hello.Conn) {
			return now.legacy, nil
		}
		return now.ordinary, nil
	}
	s.Apply(Protocols{Minimum: tls.VersionTLS12, Legacy: tls.VersionTLS12})
	return s
}

// Apply makes other protocols hold for handshakes that begin from now on.
func (s *Server) Apply(p Protocols) {
	s.current.Store(&configs{s.config(p, p.Minimum), s.config(p, p.Legacy)})
}

// config is Go's defaults from a version on. Records are not kept small in the
// beginning, since mail is taken whole and not shown while it arrives.
func (s *Server) config(p Protocols, minimum uint16) *tls.Config {
	c := &tls.Config{
		MinVersion:                  minimum,
		CurvePreferences:            p.Curves,
		DynamicRecordSizingDisabled: true,
		GetCertificate:              s.certificate,
	}
	if p.AskClients {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}

// Config is for [tls.Server].
func (s *Server) Config() *tls.Config { return &s.shared }
