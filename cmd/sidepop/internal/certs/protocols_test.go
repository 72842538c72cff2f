package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"slices"
	"testing"
)

// server makes handshakes with a Server.
type server struct {
	*Server
	address string
	roots   *x509.CertPool
}

// newServer serves a certificate. Legacy may be nil.
func newServer(t *testing.T, f Files, legacy func(net.Conn) bool) *server {
	t.Helper()
	c, err := f.load()
	if err != nil {
		t.Fatal(err)
	}
	if legacy == nil {
		legacy = func(net.Conn) bool { return false }
	}
	s := &server{Server: NewServer(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c, nil }, legacy), roots: x509.NewCertPool()}
	s.roots.AddCert(c.Leaf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.address = l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				over := tls.Server(conn, s.Config())
				if over.Handshake() == nil {
					_, _ = io.WriteString(over, "x")
				}
			}()
		}
	}()
	return s
}

// dial makes a handshake as a client and takes what the server sends, tickets too.
func (s *server) dial(c *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", s.address, c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	return conn.ConnectionState(), err
}

// TestProtocols has protocols beside the versions of clients that are served, and
// the group that is agreed on with a client that knows all.
func TestProtocols(t *testing.T) {
	f := in(t.TempDir())
	writeLocal(t, f)
	legacy := false
	s := newServer(t, f, func(net.Conn) bool { return legacy })
	for _, tt := range []struct {
		Protocols
		ordinary, legacy []uint16
		group            tls.CurveID
	}{
		{Protocols{Minimum: tls.VersionTLS13, Legacy: tls.VersionTLS13}, []uint16{tls.VersionTLS13}, []uint16{tls.VersionTLS13}, tls.X25519MLKEM768},
		{
			Protocols{Minimum: tls.VersionTLS12, Legacy: tls.VersionTLS10, Curves: []tls.CurveID{tls.CurveP384}},
			[]uint16{tls.VersionTLS12, tls.VersionTLS13},
			[]uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}, tls.CurveP384,
		},
		{
			Protocols{Minimum: tls.VersionTLS12, Legacy: tls.VersionTLS11, Curves: []tls.CurveID{tls.X25519, tls.X25519MLKEM768}},
			[]uint16{tls.VersionTLS12, tls.VersionTLS13}, []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}, tls.X25519MLKEM768,
		},
	} {
		s.Apply(tt.Protocols)
		for _, legacy = range []bool{false, true} {
			want := tt.ordinary
			if legacy {
				want = tt.legacy
			}
			for version := uint16(tls.VersionTLS10); version <= tls.VersionTLS13; version++ {
				_, err := s.dial(&tls.Config{RootCAs: s.roots, ServerName: "localhost", MinVersion: version, MaxVersion: version})
				if works := slices.Contains(want, version); works != (err == nil) {
					t.Errorf("%+v, legacy %v, %s: %v", tt.Protocols, legacy, tls.VersionName(version), err)
				}
			}
		}
		state, err := s.dial(&tls.Config{RootCAs: s.roots, ServerName: "localhost"})
		if err != nil || state.CurveID != tt.group {
			t.Errorf("%+v: %v, %v", tt.Protocols, state.CurveID, err)
		}
	}
}

// TestResumption: sessions are resumed across changes of the protocols, but not
// with what is not spoken any longer.
func TestResumption(t *testing.T) {
	f := in(t.TempDir())
	writeLocal(t, f)
	s := newServer(t, f, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s.Apply(Protocols{Minimum: tls.VersionTLS12, Legacy: tls.VersionTLS12})
		client := &tls.Config{RootCAs: s.roots, ServerName: "localhost", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i, curves := range [][]tls.CurveID{nil, nil, {tls.X25519}, {tls.X25519, tls.CurveP256}} {
			s.Apply(Protocols{Minimum: tls.VersionTLS12, Legacy: tls.VersionTLS12, Curves: curves})
			state, err := s.dial(client)
			if err != nil || state.DidResume != (i > 0) {
				t.Errorf("%s, handshake %d: resumed %v, %v", tls.VersionName(version), i, state.DidResume, err)
			}
		}
		s.Apply(Protocols{Minimum: tls.VersionTLS13, Legacy: tls.VersionTLS13})
		if _, err := s.dial(client); (err == nil) != (version == tls.VersionTLS13) {
			t.Errorf("%s where TLS 1.3 is the least: %v", tls.VersionName(version), err)
		}
	}
}

// TestAskClients: clients are asked for certificates where that is wanted, and need
// not have one.
func TestAskClients(t *testing.T) {
	f := in(t.TempDir())
	writeLocal(t, f)
	legacy := false
	s := newServer(t, f, func(net.Conn) bool { return legacy })
	for _, ask := range []bool{false, true} {
		s.Apply(Protocols{Minimum: tls.VersionTLS12, Legacy: tls.VersionTLS12, AskClients: ask})
		for _, legacy = range []bool{false, true} {
			asked := false
			_, err := s.dial(&tls.Config{
				RootCAs: s.roots, ServerName: "localhost",
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					asked = true
					return new(tls.Certificate), nil
				},
			})
			if err != nil || asked != ask {
				t.Errorf("legacy %v, asking %v: asked %v, %v", legacy, ask, asked, err)
			}
		}
	}
}
