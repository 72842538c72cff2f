package wire

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"sidepop/pop3"
)

// State is what a front has to know. The keeper pushes it, and again when it
// changes.
type State struct {
	// Settings are the caller's own, at most [MaxSettings] octets.
	Settings []byte

	// Plain is the offer for connections where a password may not cross, Secure
	// for those where it may: see [pop3.Peer].
	Plain, Secure pop3.Offer

	// Certificates with their chains and with keys that can sign. Of those that are
	// for the name that a client asks for, and of a kind that it knows, the first
	// one is taken; where it asks for no name, or for another, the first of a kind
	// that it knows; if there is none, the first of all.
	Certificates []tls.Certificate

	// OldSchemes lets the keys sign for TLS 1.0 and 1.1 too, with MD5 and SHA-1.
	// It is not told to fronts.
	OldSchemes bool
}

// identity names a certificate: the SHA-256 of its DER. So a front can have
// handshakes signed across a restart of the keeper.
type identity [sha256.Size]byte

// state is a State as it goes to fronts.
type state struct {
	packets [][]byte
	old     bool // State.OldSchemes
	keys    map[identity]crypto.Signer
	before  map[identity]crypto.Signer // of the state before, for handshakes that have begun
	until   time.Time                  // when these sign no more
}

// key is what signs for a certificate at a time, or nil.
func (s *state) key(id identity, now time.Time) crypto.Signer {
	if s == nil {
		return nil
	}
	if key, ok := s.keys[id]; ok {
		return key
	}
	if now.Before(s.until) {
		return s.before[id]
	}
	return nil
}

// Push makes st what fronts know, those that are connected and those that will
// be. It does not wait until they do. The keys of the state before sign for some
// seconds more. With an error nothing has changed.
func (s *Server) Push(st State) error {
	s.setUp()
	next, err := newState(st)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.state.Load(); old != nil {
		next.before, next.until = old.keys, time.Now().Add(replacedWait)
	}
	s.state.Store(next)
	for _, f := range s.fronts {
		wake(f.changed)
	}
	return nil
}

func newState(st State) (*state, error) {
	switch {
	case len(st.Settings) > MaxSettings:
		return nil, fmt.Errorf("wire: settings of %d octets; at most %d can be pushed", len(st.Settings), MaxSettings)
	case len(st.Certificates) > MaxCertificates:
		return nil, fmt.Errorf("wire: %d certificates; at most %d can be pushed", len(st.Certificates), MaxCertificates)
	}
	p := appendBytes([]byte{version, byte(verbState)}, st.Settings)
	for _, o := range []pop3.Offer{st.Plain, st.Secure} {
		var err error
		if p, err = appendOffer(p, o); err != nil {
			return nil, err
		}
	}
	next := &state{keys: make(map[identity]crypto.Signer), old: st.OldSchemes}
	next.packets = append(next.packets, appendUint(p, len(st.Certificates)))
	for i, c := range st.Certificates {
		packet, err := next.add(c)
		if err != nil {
			return nil, fmt.Errorf("wire: certificate %d: %w", i+1, err)
		}
		next.packets = append(next.packets, packet)
	}
	return next, nil
}

func (s *state) add(c tls.Certificate) (packet []byte, err error) {
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok || len(c.Certificate) == 0 {
		return nil, errors.New("there is no certificate, or no key that can sign")
	}
	if len(c.Certificate) > maxChain {
		return nil, fmt.Errorf("a chain of %d; at most %d can be pushed", len(c.Certificate), maxChain)
	}
	if _, err := x509.ParseCertificate(c.Certificate[0]); err != nil {
		return nil, err
	}
	packet = []byte{version, byte(verbIdentity)}
	for _, der := range c.Certificate {
		packet = appendBytes(packet, der)
	}
	if len(packet) > MaxPacket {
		return nil, fmt.Errorf("a chain of %d octets; at most %d can be pushed", len(packet), MaxPacket)
	}
	s.keys[sha256.Sum256(c.Certificate[0])] = key
	return packet, nil
}

func appendOffer(p []byte, o pop3.Offer) ([]byte, error) {
	if len(o.SASL) > maxOffered {
		return nil, fmt.Errorf("wire: %d mechanisms; at most %d can be offered", len(o.SASL), maxOffered)
	}
	p = appendBool(p, o.Password)
	p = appendBool(p, o.UTF8User)
	p = appendBool(p, o.APOP)
	p = appendUint(p, max(0, o.LoginDelay))
	p = appendUint(p, len(o.SASL))
	for _, mechanism := range o.SASL {
		if len(mechanism) > maxMechanism {
			return nil, fmt.Errorf("wire: mechanism %q is longer than %d octets", mechanism, maxMechanism)
		}
		p = appendBytes(p, mechanism)
	}
	return p, nil
}

func (d *decoder) offer() pop3.Offer {
	o := pop3.Offer{Password: d.bool(), UTF8User: d.bool(), APOP: d.bool(), LoginDelay: time.Duration(d.uint(1<<63 - 1))}
	for range d.int(maxOffered) {
		o.SASL = append(o.SASL, d.string(maxMechanism))
	}
	return o
}
