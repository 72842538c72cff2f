package wire

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"sidepop/pop3"
)

// Certificate is for [tls.Config].GetCertificate. The private keys are the
// keeper's, which signs.
func (c *Client) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	p := c.pushed.Load()
	if p == nil || len(p.certificates) == 0 {
		return nil, errors.New("the keeper has given no certificate")
	}
	given := choose(p.certificates, hello)
	pop3.NoteCertificate(hello, given)
	return given, nil
}

// choose takes a certificate for a client: see [State].Certificates.
func choose(all []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(all) == 1 {
		return all[0]
	}
	for _, c := range all {
		if hello.SupportsCertificate(c) == nil {
			return c
		}
	}
	if hello.ServerName != "" {
		nameless := *hello
		nameless.ServerName = ""
		return choose(all, &nameless)
	}
	return all[0]
}

// HasCertificates says whether the keeper has given any.
func (c *Client) HasCertificates() bool {
	p := c.pushed.Load()
	return p != nil && len(p.certificates) > 0
}

// signer is a private key of the keeper. It implements [crypto.Signer].
type signer struct {
	client *Client
	id     identity
	public crypto.PublicKey
}

// Public implements [crypto.Signer].
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign implements [crypto.Signer]. The keeper has its own randomness. One that is not
// there is waited for, since it may be being restarted.
func (s *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	scheme, err := schemeOf(opts)
	if err != nil {
		return nil, err
	}
	if len(digest) > maxSigned {
		return nil, fmt.Errorf("not signed: %d octets are too many", len(digest))
	}
	for patience := time.Now().Add(signWait); ; time.Sleep(minRedial) {
		err := errors.New("not signed: the keeper is not there")
		if f := s.client.control.Load(); f != nil {
			var octets []byte
			if octets, err = f.sign(s.id, scheme, digest); !errors.Is(err, errGone) {
				return octets, err
			}
		}
		if time.Now().After(patience) {
			return nil, err
		}
	}
}

// signature is the answer to a request.
type signature struct {
	octets []byte
	err    error
}

func (f *frontControl) sign(id identity, scheme int, digest []byte) ([]byte, error) {
	answer := make(chan signature, 1)
	f.mu.Lock()
	if f.ended != nil {
		f.mu.Unlock()
		return nil, fmt.Errorf("not signed: %w", f.ended)
	}
	f.asked++
	request := f.asked
	f.asks[request] = answer
	f.mu.Unlock()

	b := newBuffer()
	p := append(appendUint(b.begin(verbSign), request), id[:]...)
	err := f.tell(appendBytes(appendUint(p, scheme), digest))
	b.free()
	if isReset(err) || errors.Is(err, net.ErrClosed) { // by whoever has found out that it is gone
		err = errGone
	}
	if err == nil {
		select {
		case s := <-answer:
			return s.octets, s.err
		case <-time.After(signWait):
			err = errors.New("the keeper does not answer in time")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.asks, request)
	return nil, fmt.Errorf("not signed: %w", err)
}

// takeSigned takes an answer, which nobody may wait for any longer.
func (f *frontControl) takeSigned(v verb, d *decoder) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	request := d.uint(f.asked)
	var s signature
	if v == verbSigned {
		s.octets = bytes.Clone(d.bytes(maxSignature))
	} else {
		s.err = fmt.Errorf("not signed by the keeper: %q", d.bytes(maxReason))
	}
	if err := d.end(); err != nil {
		return err
	}
	if answer := f.asks[request]; answer != nil {
		delete(f.asks, request)
		answer <- s
	}
	return nil
}

// end fails the requests that wait, because the connection has ended.
func (f *frontControl) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = err
	for request, answer := range f.asks {
		delete(f.asks, request)
		answer <- signature{err: fmt.Errorf("not signed: %w", err)}
	}
	if f.figuring.answer != nil {
		f.figuring.answer <- nil
		f.figuring.answer = nil
	}
}
